"""The fingerprint: other machines' system files are read right, and nothing that names a person or place gets in."""

from __future__ import annotations

import getpass
import json
import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from depthport.bench.environment.environment import (
    fingerprint,
    free_memory_mib,
    machine_name,
    memory_limit_mib,
    numbers_of,
    package_versions,
    steering_variables,
)
from depthport.exporters.core import nvidia
from depthport.exporters.core.nvidia import Gpu, nvidia_gpus
from depthport.runtimes.host.cpu import Cpu, clean_model_name, command_output, feature_names, parse_cpuinfo

SAPPHIRE_RAPIDS = """processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model\t\t: 143
model name\t: Intel(R) Xeon(R) Platinum 8480C CPU @ 2.00GHz
flags\t\t: fpu avx2 fma f16c avx512f avx512_vnni amx_bf16 amx_tile amx_int8 avx_vnni avx512_bf16 avx512_fp16 hypervisor

processor\t: 1
model name\t: another
"""
GRACE = """processor\t: 0
BogoMIPS\t: 2000.00
Features\t: fp asimd asimdhp asimddp sve i8mm bf16 sve2
CPU implementer\t: 0x41
CPU architecture: 8
CPU part\t: 0xd4f
"""


def test_an_intel_server() -> None:
    name, architecture, features = parse_cpuinfo(SAPPHIRE_RAPIDS)
    assert (name, architecture) == ("Intel Xeon Platinum 8480C", "Sapphire Rapids")
    assert {"avx2", "avx512_vnni", "avx_vnni", "amx_tile", "amx_int8", "amx_bf16", "avx512_bf16"} <= set(features)


def test_an_arm_server() -> None:
    assert parse_cpuinfo(GRACE) == ("Neoverse V2", None, ("neon", "fp16", "dotprod", "i8mm", "bf16", "sve", "sve2"))


@pytest.mark.parametrize("text", ["", "model name: x", "CPU part\t: 0xfff\nCPU implementer : 0x41"])
def test_an_unknown_cpu_is_no_error(text: str) -> None:
    assert parse_cpuinfo(text)[1:] == (None, ())


def test_an_apple_chip() -> None:
    flags = ["AdvSIMD", "FEAT_DotProd", "FEAT_I8MM", "FEAT_BF16", "FEAT_SME", "FEAT_LSE"]
    assert feature_names(flags) == ("neon", "dotprod", "i8mm", "bf16", "sme")


@pytest.mark.parametrize(
    ("name", "clean"),
    [
        ("AMD EPYC 9654 96-Core Processor", "AMD EPYC 9654"),
        ("11th Gen Intel(R) Core(TM) i7-1165G7 @ 2.80GHz", "11th Gen Intel Core i7-1165G7"),
        ("AMD Ryzen 9 7950X 16-Core Processor            ", "AMD Ryzen 9 7950X"),
        ("Apple M2 Pro", "Apple M2 Pro"),
    ],
)
def test_model_names(name: str, clean: str) -> None:
    assert clean_model_name(name) == clean


def test_machine_name() -> None:
    cpu = Cpu("AMD EPYC 9654", "Zen 4", (), 192, 16, 16.0)
    h100 = Gpu("NVIDIA H100 80GB HBM3", 80 << 30, (9, 0), "580.1")
    assert machine_name(cpu, (), 24_104) == "AMD EPYC 9654 (Zen 4), 16 cores, 24 GB"
    assert machine_name(cpu, (h100, h100), 131_072).startswith("2 x NVIDIA H100 80GB HBM3 · AMD EPYC")


def test_memory_limits_of_both_versions_of_control_groups(tmp_path: Path) -> None:
    def write(path: str, text: str) -> None:
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / path).write_text(text)

    assert memory_limit_mib(tmp_path) is None
    write("proc/self/cgroup", "0::/pod/box\n")
    write("sys/fs/cgroup/pod/box/memory.max", "max\n")
    assert memory_limit_mib(tmp_path) is None
    write("sys/fs/cgroup/pod/memory.max", f"{2 << 30}\n")
    assert memory_limit_mib(tmp_path) == 2048
    write("proc/self/cgroup", "4:memory:/docker/1\n3:cpu:/x\n")
    write("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n")
    assert memory_limit_mib(tmp_path) is None
    write("sys/fs/cgroup/memory/docker/1/memory.limit_in_bytes", f"{1 << 30}\n")
    assert memory_limit_mib(tmp_path) == 1024


def test_free_memory_of_a_control_group_counts_what_is_used_and_not_the_pages_of_files(tmp_path: Path) -> None:
    group = tmp_path / "sys/fs/cgroup/pod"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("0::/pod\n")
    (group / "memory.max").write_text(f"{300 << 20}\n")
    (group / "memory.current").write_text(f"{290 << 20}\n")
    (group / "memory.stat").write_text(f"anon {1 << 20}\ninactive_file {90 << 20}\n")
    assert free_memory_mib(tmp_path) == 100
    (group / "memory.max").write_text("max\n")
    assert free_memory_mib(tmp_path) > 100


class _NvmlError(Exception):
    pass


def _nvml(**calls: object) -> SimpleNamespace:
    def refuse(*arguments: object) -> None:
        raise _NvmlError

    names = "nvmlInit nvmlShutdown nvmlSystemGetDriverVersion nvmlDeviceGetCount nvmlDeviceGetHandleByIndex"
    names += " nvmlDeviceGetCudaComputeCapability nvmlDeviceGetEnforcedPowerLimit nvmlDeviceGetMigMode"
    names += " nvmlDeviceGetMemoryInfo nvmlDeviceGetName"
    return SimpleNamespace(NVMLError=_NvmlError, **{name: calls.get(name, refuse) for name in names.split()})


def test_the_driver_by_nvml(monkeypatch: pytest.MonkeyPatch) -> None:
    fake = _nvml(
        nvmlInit=lambda: None,
        nvmlShutdown=lambda: None,
        nvmlSystemGetDriverVersion=lambda: b"580.1",
        nvmlDeviceGetCount=lambda: 1,
        nvmlDeviceGetHandleByIndex=lambda index: index,
        nvmlDeviceGetCudaComputeCapability=lambda handle: (9, 0),
        nvmlDeviceGetMemoryInfo=lambda handle: SimpleNamespace(total=80 << 30),
        nvmlDeviceGetName=lambda handle: "NVIDIA H100",
    )
    monkeypatch.setitem(__import__("sys").modules, "pynvml", fake)
    (gpu,) = nvidia_gpus()
    assert gpu == Gpu("NVIDIA H100", 80 << 30, (9, 0), "580.1")
    assert gpu.to_json() == {
        "name": "NVIDIA H100", "driver": "580.1", "compute_capability": "9.0", "memory_mib": 81920, "power_limit_w": None,
        "mig": False,
    }  # fmt: skip


def test_no_driver_is_no_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "pynvml", _nvml())
    monkeypatch.setattr(nvidia, "cuda_devices", lambda: ())
    assert nvidia_gpus() == ()


def test_a_command_that_is_missing_fails_or_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.host.cpu.COMMAND_TIMEOUT_S", 0.2)
    assert command_output("no-such-command") is None
    assert command_output("false") is None
    assert command_output("sleep", "5") is None
    assert command_output("echo", "x") == "x"


def test_steering_variables_hold_no_paths() -> None:
    seen = steering_variables(
        {"OMP_NUM_THREADS": "2", "CUDA_HOME": "/usr/local/cuda", "HOME": "/home/x", "TORCH_LOGS": r"C:\x", "USER": "x"}
    )
    assert seen == {"OMP_NUM_THREADS": "2"}


def test_the_fingerprint_is_plain_and_anonymous() -> None:
    here = fingerprint()
    text = json.dumps(here, allow_nan=False)
    for private in (socket.gethostname(), getpass.getuser(), str(Path.home()), str(Path.cwd())):
        assert len(private) < 4 or private not in text.replace(here["cpu"]["model"] or "", "")
    assert here["cpu"]["usable_cores"] >= 1 and here["memory"]["usable_mib"] > 100
    assert here["machine"] and here["python"]["version"]
    assert {"numpy", "pillow"} <= package_versions().keys()
    assert os.sep not in here["machine"]


def test_a_kernels_release_is_its_numbers() -> None:
    assert numbers_of("6.8.12-acme-build7") == "6.8.12"
    assert numbers_of("10.0.22631") == "10.0.22631"
    assert numbers_of("custom") == ""
