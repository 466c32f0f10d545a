"""Precision policies: a name for the dtype of each part of the network.

A precision is a *policy*, not a dtype. Upstream's official autocast computes matmuls and attention of the backbone in
bf16 or fp16, keeps LayerNorm and residual sums as autocast decides, and runs the head and the camera decoder in fp32
(`depth_anything_3/model/da3.py` disables autocast there). Every policy here that differs from that says so in
:attr:`PrecisionPolicy.note`. Reference-view selection is fp32 in every policy: rounding flips its argmin and the poses
change by 100 % (measured, in bf16 and in fp16).
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import cast

from depthport.exporters.core.artifact import DType, PolicyFacts, Quantization
from depthport.exporters.core.asked import known_name


@dataclass(frozen=True)
class PrecisionPolicy:
    """The dtype of every part. Names of dtypes are numpy's/torch's (`float32`, `float16`, `bfloat16`)."""

    name: str
    backbone: DType
    """Weights and activations of the transformer blocks (LayerNorm statistics are always accumulated in fp32)."""
    head: DType
    """Convolutions of the DPT head; its exponential tail is fp32 in every policy."""
    camera: DType
    """Camera decoder and the pose arithmetic."""
    reference: DType = "float32"
    """Reference-view selection."""
    camera_token: DType | None = None
    """The camera token's own row of every layer of the backbone, which poses are read from; None: as the backbone."""
    tf32: bool = False
    """Let fp32 matmuls and convolutions use TF32 where the device has it (Ampere and newer)."""
    quantization: Quantization | None = None
    """8-bit layers, chosen by the exporter; everything else follows the dtypes above."""
    note: str = ""

    @property
    def calibrated(self) -> bool:
        """Return whether an export tries the network on photographs, which takes minutes."""
        return self.camera_token is not None or self.quantization is not None

    def to_json(self) -> PolicyFacts:
        return cast(PolicyFacts, asdict(self))

    def unquantized(self) -> PrecisionPolicy:
        """The float policy whose network is quantized."""
        return self if self.quantization is None else replace(self, quantization=None)


POLICIES: dict[str, PrecisionPolicy] = {
    policy.name: policy
    for policy in (
        PrecisionPolicy("fp32", "float32", "float32", "float32", note="IEEE fp32 everywhere; TF32 off"),
        PrecisionPolicy(
            "tf32", "float32", "float32", "float32", tf32=True, note="fp32 storage, TF32 matmuls on NVIDIA GPUs"
        ),
        PrecisionPolicy("fp16", "float16", "float16", "float32", note="head in fp16 too (upstream keeps it fp32)"),
        PrecisionPolicy("bf16", "bfloat16", "bfloat16", "float32", note="head in bf16 too (upstream keeps it fp32)"),
        PrecisionPolicy(
            "bf16-fp16", "bfloat16", "float16", "float32", note="fp16 head: three more bits than bf16, as fast"
        ),
        PrecisionPolicy("fp16-mixed", "float16", "float32", "float32", note="upstream's official fp16 split: fp32 head"),
        PrecisionPolicy("bf16-mixed", "bfloat16", "float32", "float32", note="upstream's official bf16 split: fp32 head"),
        PrecisionPolicy(
            "bf16-poses",
            "bfloat16",
            "bfloat16",
            "float32",
            camera_token="float32",
            note="bf16 that keeps poses: the camera token's rows fp32, weights rounded against photographs",
        ),
        PrecisionPolicy(
            "int8",
            "float32",
            "float32",
            "float32",
            quantization="int8",
            note="int8 where a measured budget of depth and pose errors allows it, rest and camera tokens fp32",
        ),
        PrecisionPolicy(
            "int8-bf16",
            "bfloat16",
            "bfloat16",
            "float32",
            camera_token="float32",
            quantization="int8",
            note="bf16-poses with linear layers in int8 where a measured budget of depth and pose errors allows it",
        ),
        PrecisionPolicy(
            "fp8", "bfloat16", "bfloat16", "float32", quantization="fp8", note="fp8 backbone matmuls, rest bf16"
        ),
    )
}


FIRST_REPORT_NAMES: dict[str, str] = {
    "None": "auto", "False": "fp32", "float32": "fp32", "float16": "fp16", "bfloat16": "bf16",
}  # fmt: skip
"""Meaning here of the first report's precision values: nothing given is what upstream does on that device, `False` is no
autocast, a dtype is that dtype throughout. (Upstream keeps its heads in fp32: bench/plan/first_report.py maps its rows.)"""


def precisions() -> tuple[str, ...]:
    """Names that `--precision` takes, beside :data:`FIRST_REPORT_NAMES`."""
    return ("auto", *POLICIES)


def policy_name(name: str) -> str:
    """The policy's own name for one of :data:`FIRST_REPORT_NAMES`; any other name as it is."""
    return FIRST_REPORT_NAMES.get(name, name)


def auto_precision(device: str) -> str:
    """The policy upstream's own API would use on `device` (`depth_anything_3/api.py::forward`).

    CUDA: bf16 autocast with fp32 heads. Elsewhere upstream would ask for fp16 autocast, which CPUs emulate and MPS
    runs at a loss of pose accuracy; people run fp32 there, and so do we.
    """
    return "bf16-mixed" if device.startswith("cuda") else "fp32"


def resolve_policy(name: str, device: str = "cpu") -> PrecisionPolicy:
    """The policy called `name`, or by one of :data:`FIRST_REPORT_NAMES`; `auto` becomes what upstream does on `device`.

    Raises:
        UsageError: no policy has that name.
    """
    name = policy_name(name)
    if name == "auto":
        name = auto_precision(device)
    return POLICIES[known_name("precision", name, precisions())]
