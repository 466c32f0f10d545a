"""Versions of TensorRT that are known to compute Vision Transformers wrongly, with the report that says so.

A warning, never a refusal: parity, measured on the outputs, decides. Sources: the issues named in each entry, read in
November 2026.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

Version = tuple[int, ...]


@dataclass(frozen=True)
class KnownIssue:
    """One report: which versions, precisions and GPUs it is about."""

    what: str
    issue: str
    first: Version
    fixed: Version | None
    """First version reported to be right; None: none is."""
    precisions: tuple[str, ...] = ()
    """Dtypes of the backbone it is about; empty: all."""
    capabilities: tuple[str, ...] = ()
    """GPUs it is about; empty: all."""


ISSUES: tuple[KnownIssue, ...] = (
    KnownIssue(
        "fp16 engines of ViTs give wrong maps", "https://github.com/NVIDIA/TensorRT/issues/4723",
        (10, 3), (10, 4), ("float16",),
    ),
    KnownIssue(
        "scale and poses of Depth Anything 3 change from frame to frame (JetPack 6.2); 10.16.1 is reported right",
        "https://github.com/ika-rwth-aachen/ros2-depth-anything-v3-trt/issues/16", (10, 3), (10, 4),
    ),
    KnownIssue(
        "DINOv3 ViT-B engines are uncorrelated with the network in fp32 and NaN in fp16",
        "https://github.com/NVIDIA/TensorRT/issues/4742", (10, 4), (10, 5),
    ),
    KnownIssue(
        "fused attention of ViTs is silently wrong in fp16 and bf16 on consumer Blackwell, still in 10.16.1",
        "https://github.com/NVIDIA/TensorRT/issues/4837", (10, 0), None, ("float16", "bfloat16"), ("sm120", "sm121"),
    ),
)  # fmt: skip
"""About the package `tensorrt`; none is known for TensorRT for RTX."""


def known_issues(format: str, version: str, backbone: str, capabilities: Iterable[str]) -> list[str]:
    """A line for every report that concerns this build.

    Args:
        format: `tensorrt` or `tensorrt-rtx`.
        version: of the package.
        backbone: dtype of the backbone (exporters/core/precision.py).
        capabilities: GPUs the engine is for (`sm120`).
    """
    if format != "tensorrt":
        return []
    numbers = parse_version(version)
    return [
        f"TensorRT {version}: {issue.what} ({issue.issue}); measure parity before you trust it"
        for issue in ISSUES
        if issue.first <= numbers
        and (issue.fixed is None or numbers < issue.fixed)
        and (not issue.precisions or backbone in issue.precisions)
        and (not issue.capabilities or set(issue.capabilities) & set(capabilities))
    ]


def parse_version(text: str) -> Version:
    """`10.13.3.9` as numbers; what is not one ends it."""
    numbers = []
    for part in text.split("."):
        if not part.isdigit():
            break
        numbers.append(int(part))
    return tuple(numbers)
