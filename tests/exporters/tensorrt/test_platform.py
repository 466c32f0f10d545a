"""What an engine is bound to, without one GPU or package."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.tensorrt.known_issues import known_issues, parse_version
from depthport.exporters.tensorrt.platform import TENSORRT, TENSORRT_RTX, EngineGpu, damage, mismatch, read_header

ADA = EngineGpu("NVIDIA RTX 4090", "sm89", "580.1")


def engine(folder: Path, magic: bytes = b"vtrt", size: int = 1000, version: bytes = bytes((1, 7, 1, 116))) -> Path:
    path = folder / "model.engine"
    header = magic + bytes(12) + size.to_bytes(8, "little") + version
    path.write_bytes(header + bytes(1000 - len(header)))
    return path


def test_the_header_says_size_and_version(tmp_path: Path) -> None:
    header = read_header(engine(tmp_path))
    assert header is not None and (header.magic, header.size_bytes, header.version) == (b"vtrt", 1000, "1.7.1.116")


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({}, None),
        ({"size": 2000}, "truncated or damaged: it holds 1000 bytes of the 2000"),
        ({"magic": b"ftrt"}, "is an engine of TensorRT, not of TensorRT for RTX"),
        ({"magic": b"PK\x03\x04"}, "is not an engine of TensorRT for RTX"),
    ],
)
def test_damage_is_one_line(changes: dict[str, Any], complaint: str | None, tmp_path: Path) -> None:
    found = damage(engine(tmp_path, **changes), TENSORRT_RTX)
    assert found is None if complaint is None else complaint in (found or "")
    assert "\n" not in (found or "")


def test_a_file_too_short_for_a_header(tmp_path: Path) -> None:
    path = tmp_path / "model.engine"
    path.write_bytes(b"vtrt")
    assert "holds 4 bytes, too few for an engine" in (damage(path, TENSORRT_RTX) or "")


def test_full_tensorrt_is_told_by_its_magic(tmp_path: Path) -> None:
    assert damage(engine(tmp_path, magic=b"ftrt", size=0), TENSORRT) is None


TARGET = {"package": "TensorRT", "version": "11.4.0.106", "capabilities": ["sm89"], "gpu": "NVIDIA RTX 4090"}


@pytest.mark.parametrize(
    ("target", "version", "gpu", "complaint"),
    [
        ({}, "11.4.0.106", ADA, None),
        ({}, "11.3.0.1", ADA, "built by TensorRT 11.4.0.106 and this is 11.3.0.1"),
        ({}, "11.4.0.106", EngineGpu("NVIDIA H100", "sm90"), "the engine is for sm89 and this GPU, NVIDIA H100, is sm90"),
        ({}, "11.4.0.106", EngineGpu("NVIDIA L4", "sm89"), "built on NVIDIA RTX 4090 and this GPU is NVIDIA L4"),
        ({"compatibility": "same-cc"}, "11.4.0.106", EngineGpu("NVIDIA L4", "sm89"), None),
        ({"compatibility": "ampere+"}, "11.4.0.106", EngineGpu("NVIDIA H100", "sm90"), None),
        ({"compatibility": "ampere+"}, "11.4.0.106", EngineGpu("NVIDIA T4", "sm75"), "the engine is for sm89"),
        ({"gpu": None, "capabilities": ["sm86", "sm89"]}, "11.4.0.106", EngineGpu("NVIDIA L4", "sm89"), None),
    ],
)
def test_mismatch(target: dict[str, Any], version: str, gpu: EngineGpu, complaint: str | None) -> None:
    found = mismatch({**TARGET, **target}, version, gpu)
    assert found is None if complaint is None else complaint in (found or "")


@pytest.mark.parametrize(
    ("version", "backbone", "capability", "issues"),
    [
        ("10.3.0.30", "float16", "sm87", ["4723", "v3-trt/issues/16"]),
        ("10.3.0.30", "float32", "sm87", ["v3-trt/issues/16"]),
        ("10.4.0", "float32", "sm86", ["4742"]),
        ("10.16.1", "bfloat16", "sm120", ["4837"]),
        ("10.16.1", "float32", "sm120", []),
        ("11.4.0.106", "float16", "sm90", []),
    ],
)
def test_known_bad_versions_are_named(version: str, backbone: str, capability: str, issues: list[str]) -> None:
    found = known_issues("tensorrt", version, backbone, [capability])
    assert len(found) == len(issues)
    for line, issue in zip(found, issues, strict=True):
        assert issue in line and version in line and "parity" in line


def test_no_issue_is_held_against_the_other_package() -> None:
    assert known_issues("tensorrt-rtx", "1.7.1.116", "float16", ["sm120"]) == []


def test_versions_are_numbers() -> None:
    assert parse_version("10.13.3.9") == (10, 13, 3, 9) and parse_version("11.0.0rc1") == (11, 0)
