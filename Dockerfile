# depthport on a CPU. Photographs and results are in the folder mounted at /work; checkpoints and compiled code stay in
# the volume:
#
#   docker build -t depthport .
#   docker run --rm -v "$PWD:/work" -v depthport:/home/depthport depthport predict da3-small photo.jpg
FROM python:3.13-slim
RUN useradd --create-home depthport && mkdir /work && chown depthport /work
WORKDIR /src
COPY constraints.txt ./
# torch first: PyPI's brings CUDA, and its layer stays while the source changes.
RUN pip install --no-cache-dir --constraint constraints.txt torch --index-url https://download.pytorch.org/whl/cpu
COPY . .
RUN pip install --no-cache-dir --constraint constraints.txt ".[da3,onnx,openvino,predict,report]"
RUN pip install --no-cache-dir --no-deps --ignore-requires-python depth-anything-3==0.1.1
USER depthport
WORKDIR /work
ENTRYPOINT ["depthport"]
CMD ["doctor"]
