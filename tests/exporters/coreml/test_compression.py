"""Compressed packages: the expansion is coremltools' own bit for bit, and nothing but constants changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from depthport.exporters.core.errors import ExportError
from depthport.exporters.coreml.compress import (
    RELATIVE_ERROR,
    _constants_by_use,
    _only_constants,
    compress,
    compression_report,
)
from depthport.exporters.coreml.convert import save
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.mil.program import Binding
from depthport.exporters.coreml.options import CoreMLOptions
from depthport.exporters.coreml.palette import palette
from depthport.exporters.coreml.shims import import_coremltools, shimmed

KINDS = {"int8": "iOS17", "int4": "iOS18", "palette8": "iOS17", "palette6": "iOS18", "palette4": "iOS18"}
BITS = {"int8": 8, "int4": 4, "palette8": 8, "palette6": 6, "palette4": 4}


RNG = np.random.default_rng(5)


def small_model(target: str) -> Any:
    """The kinds of layer there are, an excluded one, and a table."""
    ct = import_coremltools()
    from coremltools.converters.mil import Builder as mb

    def weight(*shape: int) -> Any:
        return RNG.standard_normal(shape).astype(np.float32)

    def network(x: Any) -> Any:
        x = mb.conv(x=x, weight=mb.const(val=weight(96, 64, 3, 3), name="head_conv_weight"), pad_type="same")
        x = mb.conv_transpose(x=x, weight=mb.const(val=weight(96, 64, 2, 2), name="head_up_weight"), strides=[2, 2])
        x = mb.add(x=x, y=mb.const(val=weight(1, 64, 16, 16), name="uv_table"))
        x = mb.conv(x=x, weight=mb.const(val=weight(64, 64, 1, 1), name="head_depth_output_logits_weight"))
        x = mb.reshape(x=x, shape=[1, 64, 256])
        return mb.linear(x=x, weight=mb.const(val=weight(96, 256), name="mlp_fc1_weight"), name="y")

    image = mb.TensorSpec(shape=(1, 64, 8, 8))
    program = mb.program(input_specs=[image], opset_version=getattr(ct.target, target))(network)
    with shimmed():
        return ct.convert(
            program, minimum_deployment_target=getattr(ct.target, target), compute_precision=ct.precision.FLOAT16,
            skip_model_load=True,
        )  # fmt: skip


@pytest.fixture(scope="module", params=KINDS)
def compressed(request: Any, tmp_path_factory: Any) -> Any:
    kind = request.param
    folder = tmp_path_factory.mktemp(kind)
    plain = small_model(KINDS[kind])
    save(plain, folder / "plain.mlpackage")
    before = read_package(folder / "plain.mlpackage")
    model = compress(plain, CoreMLOptions(target=KINDS[kind], compress=kind), before.function())
    save(model, folder / "model.mlpackage")
    return kind, before, read_package(folder / "model.mlpackage"), model


def test_size_and_error(compressed: Any) -> None:
    kind, before, after, _ = compressed
    report = compression_report(before.function(), after.function(), kind)
    print(f"\n{kind}: worst constant off by {report['worst_relative_rms']:.2%}")
    assert report["constants"] == 3
    sizes = [sum(f.stat().st_size for f in p.path.rglob("weight.bin")) for p in (before, after)]
    kept = 64 * 64 + 64 * 256
    assert sizes[1] - 2 * kept < (BITS[kind] / 16 + 0.13) * (sizes[0] - 2 * kept)


def test_outputs_are_those_of_the_expanded_weights(compressed: Any) -> None:
    kind, before, after, _ = compressed
    x = {v.name: torch.from_numpy(RNG.standard_normal(v.type.shape)) for v in before.function().inputs}
    plain, rough = (Interpreter(p.function()).run(x)["y"] for p in (before, after))
    assert float((rough - plain).norm() / plain.norm()) < 3 * RELATIVE_ERROR[kind]


def test_expansion_equals_coremltools(compressed: Any, tmp_path: Path) -> None:
    _, _, after, model = compressed
    import coremltools.optimize.coreml as cto

    with shimmed():
        dense = cto.decompress_weights(model)
    save(dense, tmp_path / "dense.mlpackage")
    theirs = read_package(tmp_path / "dense.mlpackage").function()
    origin = _constants_by_use(theirs, after.function())
    constants = theirs.constants()
    seen = 0
    for step in Interpreter(_only_constants(after.function())).steps({}):
        if step.operation.name in origin:
            expected = torch.from_numpy(np.array(constants[origin[step.operation.name]])).float()
            assert torch.equal(step.outputs[0], expected), step.operation.name
            seen += 1
    assert seen == 3


def test_tables_and_last_layers_are_left_alone(compressed: Any) -> None:
    _, _, after, _ = compressed
    expanded = " ".join(op.name for op in after.function().operations if op.type.startswith("constexpr_"))
    assert "fc1" in expanded and "logits" not in expanded and "table" not in expanded


def test_a_reversed_palette_is_found(compressed: Any) -> None:
    kind, before, after, _ = compressed
    if not kind.startswith("palette"):
        pytest.skip("palettes only")
    function = after.function()
    expansion = next(op for op in function.operations if op.type == "constexpr_lut_to_dense")
    if "lut" in expansion.attributes:
        expansion.attributes["lut"] = expansion.attributes["lut"][::-1].copy()
    else:
        binding = expansion.inputs["lut"][0]
        table = function.constants()[binding.name] if binding.name else binding.constant
        expansion.inputs["lut"] = (Binding(None, table[..., ::-1, :].copy()),)
    with pytest.raises(ExportError, match="is off by"):
        compression_report(before.function(), function, kind)


@pytest.mark.parametrize("entries", [16, 64, 256])
def test_palette_is_nearly_optimal(entries: int) -> None:
    """Against the exact optimum by dynamic programming, which coremltools carries."""
    from coremltools._deps import kmeans1d

    values = np.random.default_rng(entries).standard_normal(4000).astype(np.float32)
    table, indices = palette(values, entries)
    found = float(np.square(table[indices] - values).mean())
    best = kmeans1d.cluster(values.astype(float), entries)
    optimum = float(np.square(np.array(best.centroids)[best.clusters] - values).mean())
    assert found < 1.25 * optimum
    assert len(table) == entries and np.all(np.diff(table) >= 0)


def test_palette_of_few_values_is_exact() -> None:
    values = np.array([3, 1, 1, 2, 3, 2], np.float16)
    table, indices = palette(values, 16)
    assert np.array_equal(table[indices], values)
