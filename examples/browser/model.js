// What the model takes. `depthport sample` writes these lines for an artifact.

// depthport:begin
export const MODEL = "model.onnx";
export const VIEWS = 1, HEIGHT = 504, WIDTH = 504;
export const UINT8 = false;
export const MEAN = [0.485, 0.456, 0.406], STD = [0.229, 0.224, 0.225];
// depthport:end
