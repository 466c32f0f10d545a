"""`doctor`: every adapter's state with what to do, licences, oddities of the set-up; and it never fails itself."""

from __future__ import annotations

import copy
import io
import json
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from depthport.bench.cli.doctor_view import render
from depthport.bench.diagnose import doctor
from depthport.bench.diagnose.checkpoints import cached_mib, checkpoints, hub_cache
from depthport.bench.diagnose.findings import findings, release
from depthport.bench.environment.environment import fingerprint
from depthport.exporters.core.errors import UnavailableError
from depthport.runtimes.base import Device, Mode


class _Plugin:
    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def probe(self) -> Any:
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def gains(self, device: Device) -> dict[str, float]:
        return {"bf16-poses": 0.51} if device.available else {}


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine with a good runtime, one without its package, one that breaks; one format here, one broken."""
    adapters = {
        "good": _Plugin([Device("cpu", "Chip [8 cores]", (Mode("fast", "."),), ("fp32",), notes=("a note",))]),
        "missing": _Plugin([Device("cuda", "", unavailable="no package", remedy="pip install thing[cuda]")]),
        "broken": _Plugin(ValueError("first\nsecond")),
    }
    exporters = {"onnx": _Plugin(None), "coreml": _Plugin("not here: pip install coremltools")}
    exporters["gone"] = _Plugin(UnavailableError("moved away"))
    monkeypatch.setattr("depthport.bench.diagnose.doctor.runtimes", lambda: list(adapters))
    monkeypatch.setattr("depthport.bench.diagnose.doctor.get_runtime", adapters.__getitem__)
    monkeypatch.setattr("depthport.bench.diagnose.doctor.formats", lambda: list(exporters))
    monkeypatch.setattr("depthport.bench.diagnose.doctor.get_exporter", exporters.__getitem__)


def test_every_adapter_is_a_row(machine: None) -> None:
    report = doctor.collect()
    good, missing, broken = report.runtimes
    assert good.available and good.modes == ("fast",) and good.precisions == ("fp32",)
    assert good.notes == ("products of bf16-poses run at 0.5 times fp32's rate here: not worth it", "a note")
    assert not missing.available and missing.remedy == "pip install thing[cuda]"
    assert broken.reason == "its adapter failed: first"
    assert [(row.format, row.available, row.reason) for row in report.formats] == [
        ("onnx", True, None),
        ("coreml", False, "not here: pip install coremltools"),
        ("gone", False, "moved away"),
    ]
    assert report.free_gib > 0
    json.dumps(report.to_json(), allow_nan=False)


def test_it_reads_well_on_wide_and_narrow_terminals(machine: None) -> None:
    report = doctor.collect()
    for width in (60, 160):
        text = io.StringIO()
        render(report, Console(file=text, width=width))
        said = text.getvalue()
        for word in ("good", "Chip [8", "thing[cuda]", "coremltools", "da3-large", "CC BY-NC 4.0", "Apache-2.0"):
            assert word in said.replace("\n", " "), word
        assert max(len(line) for line in said.splitlines() if "→" not in line) <= width


def test_checkpoints_in_the_cache(tmp_path: Path) -> None:
    environment = {"HF_HUB_CACHE": str(tmp_path)}
    assert all(checkpoint.cached_mib is None for checkpoint in checkpoints(environment))
    snapshot = tmp_path / "models--depth-anything--DA3-SMALL" / "snapshots" / "abc"
    snapshot.mkdir(parents=True)
    (snapshot / "model.safetensors").symlink_to(tmp_path / "half-downloaded")
    assert cached_mib(tmp_path, "depth-anything/DA3-SMALL") is None
    (tmp_path / "half-downloaded").write_bytes(bytes(3 << 20))
    found = {checkpoint.model: checkpoint.cached_mib for checkpoint in checkpoints(environment)}
    assert found["da3-small"] == 3 and found["da3-base"] is None


@pytest.mark.parametrize(
    ("environment", "folder"),
    [
        ({"HF_HUB_CACHE": "/a", "HF_HOME": "/b"}, "/a"),
        ({"HF_HOME": "/b"}, "/b/hub"),
        ({"XDG_CACHE_HOME": "/c"}, "/c/huggingface/hub"),
        ({}, "~/.cache/huggingface/hub"),
    ],
)
def test_where_the_cache_is(environment: dict[str, str], folder: str) -> None:
    assert hub_cache(environment) == Path(folder).expanduser()


def test_the_cache_is_where_huggingface_hub_has_it() -> None:
    constants = pytest.importorskip("huggingface_hub.constants")
    assert hub_cache() == Path(constants.HF_HUB_CACHE)


GPU = {"name": "NVIDIA H100", "driver": "580", "compute_capability": "9.0", "memory_mib": 81920}


def _found(free_gib: float = 100.0, adapters: int = 4, **changes: Any) -> list[str]:
    environment: Any = copy.deepcopy(fingerprint())
    environment["packages"] = {"depth-anything-3": "0.1.1", "torch": "2.13.0+cpu", "numpy": "2.3.5"}
    environment["gpus"] = []
    environment["memory"] = {"total_mib": 65536, "usable_mib": 65536}
    environment["cpu"] |= {"features": ["avx2"], "quota_cores": None, "logical_cores": 8}
    environment["system"] |= {"architecture": "x86_64"}
    environment["power"] = {"source": None, "low_power_mode": None}
    for key, value in changes.items():
        environment[key] = environment[key] | value if isinstance(value, dict) else value
    found = findings(environment, free_gib, adapters)
    return [f"{finding.message} {finding.remedy or ''}" for finding in found]


def test_nothing_odd_about_a_good_machine() -> None:
    assert _found() == []


@pytest.mark.parametrize(
    ("words", "changes"),
    [
        ("can't use the NVIDIA H100.*--force-reinstall .torch>=", {"gpus": [GPU]}),
        ("only take space.*whl/cpu", {"packages": {"torch": "2.13.0", "nvidia-cudnn-cu13": "9"}}),
        ("overwrite each other.*pip uninstall", {"packages": {"onnxruntime": "1", "onnxruntime-gpu": "1"}}),
        ("coremltools can't trace.*numpy<2.4", {"packages": {"coremltools": "9.0", "numpy": "2.4.6"}}),
        ("not installed.*pip install -e", {"adapters": 0}),
        ("free for artifacts.*DEPTHPORT_ARTIFACTS", {"free_gib": 3.0}),
        ("too little to export da3-large", {"memory": {"usable_mib": 4096}}),
        ("limits this process to 1.5 of 8", {"cpu": {"quota_cores": 1.5}}),
        ("no AVX2", {"cpu": {"features": ["f16c"]}}),
        ("on battery", {"power": {"source": "battery"}}),
        ("low power mode", {"power": {"low_power_mode": True}}),
    ],
)
def test_each_oddity_is_named_with_its_remedy(words: str, changes: dict[str, Any]) -> None:
    import re

    found = _found(**changes)
    assert len(found) == 1 and re.search(words, found[0]) and "\n" not in found[0]


def test_upstream_missing_and_no_torch() -> None:
    environment: Any = fingerprint() | {"packages": {}, "gpus": [GPU]}
    assert any("--no-deps" in (f.remedy or "") for f in findings(environment, 100.0, 4))


def test_versions_as_numbers() -> None:
    assert release("2.13.0+cpu") == (2, 13, 0) and release("2.4.0rc1") == (2, 4) and release("") == ()
