"""Licences of the runtimes, for `choose`: what may be shipped with a product is a constraint like any other.

Names are SPDX identifiers where there is one. The weights' licence is the checkpoint's and stands in the
results.
"""

from __future__ import annotations

RUNTIME_LICENCES: dict[str, str] = {
    "pytorch": "BSD-3-Clause",
    "onnxruntime": "MIT",
    "openvino": "Apache-2.0",
    "executorch": "BSD-3-Clause",
    "litert": "Apache-2.0",
    "ncnn": "BSD-3-Clause",
    "mnn": "Apache-2.0",
    "tvm": "Apache-2.0",
    "ggml": "MIT",
    "tensorrt": "NVIDIA SLA",
    "tensorrt-rtx": "NVIDIA SLA",
    "coreml": "Apple SLA",
}
OPEN_SOURCE = frozenset({"BSD-3-Clause", "MIT", "Apache-2.0"})
NON_COMMERCIAL_MARKS = ("-nc", " nc", "noncommercial", "non-commercial")


def licence_of(runtime: str) -> str | None:
    """The runtime's licence, or None for a runtime that is not in the table."""
    return RUNTIME_LICENCES.get(runtime)


def is_open_source(licence: str | None) -> bool:
    return licence in OPEN_SOURCE


def is_non_commercial(licence: str) -> bool:
    """Whether a checkpoint's licence forbids commercial use (the CC BY-NC family)."""
    return any(mark in licence.lower() for mark in NON_COMMERCIAL_MARKS)
