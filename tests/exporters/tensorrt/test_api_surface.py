"""The names this project uses exist in TensorRT for RTX, in TensorRT 11 and, where its bindings are given, in 10.13.

Full TensorRT's libraries are not on PyPI, its bindings are. With empty functions in the libraries' place they load, so
every class and attribute can be looked up in the real thing; nothing of it can be called. `DEPTHPORT_TENSORRT_BINDINGS`
names a folder with the unpacked wheel of another version.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

COMMON: dict[str, tuple[str, ...]] = {
    "Builder": ("create_network", "create_builder_config", "create_optimization_profile", "build_serialized_network"),
    "NetworkDefinitionCreationFlag": ("STRONGLY_TYPED",),
    "OnnxParser": ("parse_from_file", "num_errors", "get_error", "supports_operator"),
    "ParserError": ("desc", "node_name", "node_operator"),
    "INetworkDefinition": ("num_layers", "get_layer", "num_inputs", "get_input"),
    "ILayer": ("name", "type", "metadata", "num_inputs", "num_outputs", "get_input", "get_output"),
    "ITensor": ("name", "dtype", "shape", "get_dimension_name"),
    "IBuilderConfig": (
        "builder_optimization_level", "set_memory_pool_limit", "set_flag", "clear_flag", "profiling_verbosity",
        "hardware_compatibility_level", "add_optimization_profile", "progress_monitor", "create_timing_cache",
        "set_timing_cache",
    ),
    "BuilderFlag": ("TF32", "REFIT", "STRIP_PLAN", "REFIT_IDENTICAL"),
    "MemoryPoolType": ("WORKSPACE",),
    "ProfilingVerbosity": ("DETAILED",),
    "HardwareCompatibilityLevel": ("AMPERE_PLUS", "SAME_COMPUTE_CAPABILITY"),
    "IOptimizationProfile": ("set_shape",),
    "IProgressMonitor": ("phase_start", "phase_finish", "step_complete"),
    "ITimingCache": ("serialize",),
    "IHostMemory": ("nbytes",),
    "ILogger": ("WARNING", "ERROR"),
    "Runtime": ("deserialize_cuda_engine",),
    "ICudaEngine": (
        "create_execution_context", "create_engine_inspector", "num_io_tensors", "get_tensor_name", "num_layers",
        "get_tensor_profile_shape", "device_memory_size_v2",
    ),
    "IExecutionContext": ("set_tensor_address", "set_input_shape", "get_tensor_shape", "execute_async_v3"),
    "EngineInspector": ("get_engine_information",),
    "LayerInformationFormat": ("JSON",),
    "Refitter": ("refit_cuda_engine",),
    "OnnxParserRefitter": ("refit_from_file",),
}  # fmt: skip
NEWER: dict[str, tuple[str, ...]] = {"IAttention": ("decomposable",), "IAttentionOutputLayer": ("attention",)}
"""From 10.14 on."""
RTX: dict[str, tuple[str, ...]] = {
    "IBuilderConfig": ("num_compute_capabilities", "set_compute_capability"),
    "ComputeCapability": ("SM75", "SM80", "SM86", "SM89", "SM120", "SM121"),
    "ICudaEngine": ("create_runtime_config",),
    "IRuntimeConfig": ("create_runtime_cache", "set_runtime_cache"),
    "IRuntimeCache": ("serialize", "deserialize"),
}  # fmt: skip

LIST = """
import json, sys
sys.path.insert(0, sys.argv[1])
import tensorrt_bindings.tensorrt as module
print(json.dumps({name: dir(kind) for name, kind in vars(module).items() if isinstance(kind, type)}))
"""


def missing(surface: dict[str, Any], *wanted: dict[str, tuple[str, ...]]) -> list[str]:
    return [
        f"{kind}.{name}"
        for table in wanted
        for kind, names in table.items()
        for name in names
        if name not in surface.get(kind, ())
    ]


def test_tensorrt_for_rtx(trt: Any) -> None:
    surface = {name: dir(kind) for name, kind in vars(trt).items() if isinstance(kind, type)}
    assert missing(surface, COMMON, NEWER, RTX) == []


def test_tensorrt_11(tmp_path: Path) -> None:
    spec = find_spec("tensorrt_bindings")
    if spec is None or not spec.submodule_search_locations:
        pytest.skip("tensorrt-cu13-bindings is not installed")
    surface = bindings(Path(next(iter(spec.submodule_search_locations))).parent, tmp_path)
    assert missing(surface, COMMON, NEWER) == []
    # Gone with weak typing; whoever sets one of them fails on 11.
    assert not {"FP16", "BF16", "INT8", "FP8"} & set(surface["BuilderFlag"])


def test_tensorrt_10(tmp_path: Path) -> None:
    folder = os.environ.get("DEPTHPORT_TENSORRT_BINDINGS")
    if not folder:
        pytest.skip("DEPTHPORT_TENSORRT_BINDINGS names no other version's bindings")
    surface = bindings(Path(folder), tmp_path)
    assert missing(surface, COMMON) == []


def bindings(root: Path, folder: Path) -> dict[str, Any]:
    """Attributes of every class of `tensorrt_bindings` below `root`, with empty libraries of the names it needs."""
    tools = [shutil.which(name) for name in ("cc", "readelf", "nm")]
    if None in tools:
        pytest.skip("needs cc, readelf and nm")
    library = root / "tensorrt_bindings" / "tensorrt.so"
    needed = re.findall(r"NEEDED.*\[(libnv[^\]]+)\]", output("readelf", "-d", str(library)))
    undefined = [line.split()[-1] for line in output("nm", "-D", "--undefined-only", str(library)).splitlines()]
    functions = [name for name in undefined if re.match(r"create\w+_INTERNAL|get\w+Registry|getNv|initLib", name)]
    source = folder / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in functions), encoding="ascii")
    for index, name in enumerate(needed):
        code = str(source) if index == 0 else os.devnull
        subprocess.run(["cc", "-shared", "-fPIC", "-x", "c", code, "-o", str(folder / name)], check=True)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder)}
    done = subprocess.run(
        [sys.executable, "-c", LIST, str(root)], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode != 0 and "undefined symbol" not in done.stderr and "ImportError" in done.stderr:
        pytest.skip(f"the bindings are for another Python: {done.stderr.splitlines()[-1]}")
    assert done.returncode == 0, done.stderr
    surface: dict[str, Any] = json.loads(done.stdout)
    return surface


def output(*command: str) -> str:
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout
