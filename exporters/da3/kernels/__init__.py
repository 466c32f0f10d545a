"""Our operators for NVIDIA GPUs, where a fused kernel beats a chain of a library's.

Each is a `torch.library` operator in the namespace `depthport`, so a program that calls it can be exported, saved,
loaded and captured in a CUDA graph like any other. Each has one definition, a few lines of plain PyTorch that run
on every device, and a Triton kernel that takes its place on CUDA:

| operator | module | what it replaces |
|---|---|---|
| `branch_norm`, `residual_norm` | `norms` | x + scale · branch, of one or two branches, then LayerNorm |
| `feature_norm` | `norms` | residual, two LayerNorms and a concatenation, before the head |
| `qk_norm_rope` | `qk_norm_rope` | LayerNorm and rotary embedding of queries and keys, softmax scale |
| `qkv_by_card` | `qk_norm_rope` | the same and the packing of what cards that share heads send each other |
| `attention` | `attention` | softmax(q kᵀ) v; without the running maximum where the scores are bounded |
| `linear_gelu` | `linear_gelu` | linear, then GELU |
| `convolution_relu` | `convolution` | 3×3 convolution, bias, ReLU |
| `merge_maps` | `maps` | bias, skip connection, upsampled coarser map, ReLU |
| `upsampled_convolution` | `upsampled` | 3×3 convolution of an upsampled map, never storing that map |
| `upsampled_depth` | `upsampled` | the same at full resolution, then ReLU, 1×1 convolution and exponential |
| `select_reference_view`, `pose_matrices` | `reference_view`, `pose` | dozens of operations on a few numbers |

Importing this package registers all of them; it needs no GPU and no Triton.
"""

from depthport.exporters.da3.kernels.attention import attention
from depthport.exporters.da3.kernels.convolution import convolution_relu
from depthport.exporters.da3.kernels.linear_gelu import linear_gelu
from depthport.exporters.da3.kernels.maps import merge_maps
from depthport.exporters.da3.kernels.norms import branch_norm, feature_norm, residual_norm
from depthport.exporters.da3.kernels.pose import pose_matrices
from depthport.exporters.da3.kernels.qk_norm_rope import qk_norm_rope, qkv_by_card
from depthport.exporters.da3.kernels.reference_view import select_reference_view
from depthport.exporters.da3.kernels.upsampled import upsampled_convolution, upsampled_depth

__all__ = [
    "attention",
    "branch_norm",
    "convolution_relu",
    "feature_norm",
    "linear_gelu",
    "merge_maps",
    "pose_matrices",
    "qk_norm_rope",
    "qkv_by_card",
    "residual_norm",
    "select_reference_view",
    "upsampled_convolution",
    "upsampled_depth",
]
