#!/usr/bin/env bash
# The record of the runtimes for phones and browsers on this CPU: da3-small with 1 and 3 views, ONNX Runtime, OpenVINO, LiteRT,
# ExecuTorch and ONNX Runtime Web in Chromium beside upstream, in the same runs, with both controls.
#
#     bench/records/phones.sh FOLDER [VIEWS ...]       # results in FOLDER/1-view, FOLDER/3-views
#
# `depthport` must be on the PATH, or PYTHON name the interpreter it is installed for. Artifacts go to $DEPTHPORT_ARTIFACTS and
# are made first, one after the other: an ExecuTorch export takes minutes. SIZE (252x252), LAUNCHES (3) and BUDGET_S (300)
# change the run. Times of the last three are marked "not the target device".
set -euo pipefail
folder=${1:?usage: phones.sh FOLDER [VIEWS ...]}
shift
views=("${@:-1}")
[ $# -gt 0 ] || views=(1 3)
python=${PYTHON:-python3}
depthport() { "$python" -m depthport "$@"; }
model=(--size "${SIZE:-252x252}" --weights synthetic:0)

mkdir -p "$folder"
for n in "${views[@]}"; do
    for format in litert executorch onnx; do
        depthport export da3-small --no-check --format "$format" --views "$n" "${model[@]}"
    done
done >"$folder/exports.log" 2>&1

for n in "${views[@]}"; do
    depthport bench da3-small --views "$n" "${model[@]}" --device cpu \
        --runtime pytorch --runtime onnxruntime --runtime openvino --runtime litert --runtime executorch --runtime browser \
        --cell pytorch/cpu/upstream/fp32 --cell onnxruntime/cpu/fp32 --cell openvino/cpu/latency/fp32 \
        --cell litert/cpu/xnnpack/fp32 --cell executorch/cpu/xnnpack/fp32 --cell browser/cpu/wasm/fp32 \
        --launches "${LAUNCHES:-3}" --budget "${BUDGET_S:-300}" --out "$folder/$n-view$([ "$n" = 1 ] || echo s)"
done
