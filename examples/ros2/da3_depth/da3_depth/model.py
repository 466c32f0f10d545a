"""Inputs of the model. `depthport sample` writes these lines for an artifact."""

# depthport:begin
MODEL = "model.onnx"
VIEWS, HEIGHT, WIDTH = 1, 504, 504
UINT8 = False
MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
# depthport:end
