"""The camera decoder's graph: :mod:`depthport.exporters.da3.static.camera`, in fp32.

`Tan` has no kernel on CUDA: a sine over a cosine. Matrices are built by a few broadcast products instead of the forty
elementwise operations that writing out each entry takes; sums of products stay out of matrix products, which TF32 rounds.
The decoder's own products still come out in fp32: see :func:`split_product`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from depthport.exporters.da3.static.camera import CameraDecoder, PoseMatrices

if TYPE_CHECKING:
    from depthport.exporters.onnx.cuda.emitter import Emitter, Value

FP16_MAX = 65504.0


def emit_camera(
    g: Emitter, decoder: CameraDecoder, pose: PoseMatrices, tokens: Value, views: int, split: bool
) -> tuple[Value, Value]:
    """Camera tokens (V, 2C) fp32 to `extrinsics` (V, 3, 4) and `intrinsics` (V, 3, 3).

    `split` is for a provider that rounds the operands of fp32 products to TF32.
    """
    g.scope = "camera."
    x = tokens
    for name, layer in (("hidden1", decoder.hidden1), ("hidden2", decoder.hidden2)):
        x = g.op("Relu", _linear(g, name, x, layer.weight, layer.bias, views, split))
    encoding = _linear(g, "heads", x, decoder.weight, decoder.bias, views, split)
    found = _extrinsics(g, encoding, views), _intrinsics(g, encoding, pose, views)
    g.scope = ""
    return found


def _linear(g: Emitter, name: str, x: Value, weight: Tensor, bias: Tensor, views: int, split: bool) -> Value:
    if split:
        product = split_product(g, name, x, weight, views)
    else:
        product = g.op("MatMul", x, g.constant(f"{name}.weight", weight.T, torch.float32))
    return g.op("Add", product, g.constant(f"{name}.bias", bias, torch.float32))


def split_product(g: Emitter, name: str, x: Value, weight: Tensor, views: int) -> Value:
    """X Wᵀ of (V, I) and (O, I), right to fp32's last bits even if operands are rounded to TF32's 11.

    Both are written as a sum of a part that TF32 holds exactly and a rest: one product gives all four partial products.
    (The provider's tensor-core convolutions of fp16 maps come with `use_tf32` only, and with it TF32 products.)
    """
    high = g.op("Clip", x, g.scalar(-FP16_MAX), g.scalar(FP16_MAX))
    high = g.cast(g.cast(high, torch.float16), torch.float32)
    parts = g.op("Concat", high, g.op("Sub", x, high), axis=0)
    coarse = tf32(weight)
    weights = torch.cat((coarse, weight - coarse))
    products = g.op("MatMul", parts, g.constant(f"{name}.weight", weights.T, torch.float32))
    return g.op("ReduceSum", g.reshape(products, 2, views, 2, weight.shape[0]), g.integers(0, 2), keepdims=0)


def tf32(x: Tensor) -> Tensor:
    """`x` fp32 rounded to 11 significant bits."""
    bits = x.contiguous().view(torch.int32)
    return ((bits + 0x1000) & ~0x1FFF).view(torch.float32)


def rotation_terms() -> Tensor:
    """(3, 3, 4, 4): entry (a, b) of the identity less Rᵀ, per 2/|q|², as a sum over products of q's components.

    R is the rotation of a quaternion q = (i, j, k, r) that need not be normalised.
    """
    terms = torch.zeros(3, 3, 4, 4)
    i, j, k, r = range(4)
    for row, column, products in (
        (0, 0, ((j, j, 1), (k, k, 1))), (0, 1, ((i, j, -1), (k, r, -1))), (0, 2, ((i, k, -1), (j, r, 1))),
        (1, 0, ((i, j, -1), (k, r, 1))), (1, 1, ((i, i, 1), (k, k, 1))), (1, 2, ((j, k, -1), (i, r, -1))),
        (2, 0, ((i, k, -1), (j, r, -1))), (2, 1, ((j, k, -1), (i, r, 1))), (2, 2, ((i, i, 1), (j, j, 1))),
    ):  # fmt: skip
        for a, b, sign in products:
            terms[row, column, a, b] = sign
    return terms


def _extrinsics(g: Emitter, encoding: Value, views: int) -> Value:
    """(V, 3, 4): the inverse of the camera-to-world pose, (Rᵀ, -Rᵀ t)."""
    quaternion = g.slice(encoding, 1, 3, 7)
    products = g.op("Mul", g.reshape(quaternion, views, 4, 1), g.reshape(quaternion, views, 1, 4))
    square = g.reduce("ReduceSum", g.op("Mul", quaternion, quaternion), 1)
    factor = g.op("Div", g.scalar(2.0), g.reshape(square, views, 1, 1))
    terms = g.constant("terms", rotation_terms().flatten(2).flatten(0, 1)[None])
    sums = g.reduce("ReduceSum", g.op("Mul", g.reshape(products, views, 1, 16), terms), 2, keep=False)
    turned = g.op("Mul", g.reshape(sums, views, 3, 3), factor)
    rotation = g.op("Sub", g.constant("identity", torch.eye(3)[None]), turned)
    position = g.reshape(g.slice(encoding, 1, 0, 3), views, 1, 3)
    translation = g.op("Neg", g.reduce("ReduceSum", g.op("Mul", rotation, position), 2))
    return g.op("Concat", rotation, translation, axis=2)


def _intrinsics(g: Emitter, encoding: Value, pose: PoseMatrices, views: int) -> Value:
    """(V, 3, 3) with the principal point in the middle, from the vertical and horizontal field of view."""
    half = g.op("Mul", g.op("Relu", g.slice(encoding, 1, 7, 9)), g.scalar(0.5))
    tangent = g.op("Max", g.op("Div", g.op("Sin", half), g.op("Cos", half)), g.scalar(1e-6))
    focal = g.op("Div", g.constant("half_size", pose.half_size), tangent)
    axes = g.constant("axes", torch.stack((pose.axis_y, pose.axis_x))[None])
    scaled = g.reduce("ReduceSum", g.op("Mul", g.reshape(focal, views, 2, 1, 1), axes), 1, keep=False)
    return g.op("Add", scaled, g.constant("centre", pose.centre[None]))
