"""The shims: each repairs what it is for, and leaves coremltools as it was."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.shims import SHIMS, import_coremltools, shimmed, shims_needed


class Reciprocal(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return 3.0 / x


class Alias(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        alias: Tensor = torch.ops.aten.alias(x)
        return alias + 1


class ShapeArithmetic(nn.Module):
    """`int()` of a product of sizes, which tracing records as an operation on an array of one element."""

    def forward(self, x: Tensor) -> Tensor:
        return x.reshape(x.shape[0], int(x.shape[1] * x.shape[2]))


def package_of(module: nn.Module, example: Tensor, folder: Any, route: str) -> Any:
    ct = import_coremltools()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with shimmed():
            traced = (
                torch.jit.trace(module, example)
                if route == "trace"
                else torch.export.export(module, (example,)).run_decompositions({})
            )
            model = ct.convert(
                traced, inputs=[ct.TensorType(name="x", shape=example.shape)], outputs=[ct.TensorType(name="y")],
                minimum_deployment_target=ct.target.iOS17, compute_precision=ct.precision.FLOAT32, skip_model_load=True,
            )  # fmt: skip
        model.save(str(folder / f"{route}.mlpackage"))
    return read_package(folder / f"{route}.mlpackage").function()


def test_reciprocal_is_exact_on_both_routes(tmp_path: Any) -> None:
    x = torch.tensor([1e-4, 1e-3, 0.3, 20.0])
    for route in ("export", "trace"):
        function = package_of(Reciprocal(), x, tmp_path, route)
        assert "inverse" not in {op.type for op in function.operations}
        torch.testing.assert_close(Interpreter(function).run({"x": x})["y"], 3.0 / x, rtol=1e-6, atol=0)


def test_int_of_a_traced_size(tmp_path: Any) -> None:
    x = torch.arange(24.0).reshape(2, 3, 4)
    function = package_of(ShapeArithmetic(), x, tmp_path, "trace")
    assert torch.equal(Interpreter(function).run({"x": x})["y"], x.reshape(2, 12))


def test_coremltools_is_left_as_it_was() -> None:
    import_coremltools()
    from coremltools.converters.mil.frontend.torch import ops
    from coremltools.converters.mil.frontend.torch.torch_op_registry import _TORCH_OPS_REGISTRY
    from coremltools.converters.mil.mil.passes.pass_registry import PASS_REGISTRY
    from coremltools.converters.mil.mil.program import Program
    from tqdm import tqdm

    def state() -> list[Any]:
        table = _TORCH_OPS_REGISTRY.name_to_func_mapping
        return [
            ops._cast, dict(table), dict(PASS_REGISTRY.passes), Program.validate, tqdm.__init__
        ]  # fmt: skip

    before = state()
    try:
        with shimmed():
            assert state() != before
            raise RuntimeError
    except RuntimeError:
        pass
    assert state() == before
    assert np.array_equal([1], [1])


def test_switched_off_once_fixed() -> None:
    assert [shim.name for shim in shims_needed("9.0")] == ["reciprocal", "alias", "scalars"]
    assert [shim.name for shim in shims_needed("8.3.0")] == ["reciprocal", "alias", "scalars"]
    # Division is exact with the shim whether a version needs it or not; 9.1.dev1 still does.
    for version in ("9.1.dev1", "9.1", "10.0b1"):
        assert [shim.name for shim in shims_needed(version)] == ["reciprocal"]
    assert all(shim.issue.startswith("https://github.com/apple/coremltools/") for shim in SHIMS)


@pytest.mark.parametrize("name", ["reciprocal", "alias", "scalars"])
def test_the_installed_version_has_the_defects_it_is_said_to_have(
    name: str, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each defect without its shim, in whatever coremltools is here: pre-releases are tried by installing them."""
    needed = [shim.name for shim in shims_needed()]
    monkeypatch.setattr("depthport.exporters.coreml.shims.shims_needed", lambda version=None: [])

    def defective() -> bool:
        if name == "reciprocal":
            function = package_of(Reciprocal(), torch.tensor([1e-4, 0.3]), tmp_path, "export")
            return "inverse" in {op.type for op in function.operations}
        module, example, route = {
            "alias": (Alias(), torch.ones(3), "export"),
            "scalars": (ShapeArithmetic(), torch.ones(2, 3, 4), "trace"),
        }[name]
        try:
            package_of(module, example, tmp_path, route)
        except (TypeError, ValueError, RuntimeError, NotImplementedError):
            return True
        return False

    if name == "scalars" and np.lib.NumpyVersion(np.__version__) < "2.4.0":
        pytest.skip("numpy below 2.4 still converts an array of one element")
    assert defective() == (name in needed)
