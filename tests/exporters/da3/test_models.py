"""Models, outputs and shapes as data."""

from __future__ import annotations

import subprocess
import sys

import pytest

from depthport.exporters.core.errors import UsageError
from depthport.exporters.da3.models import MODELS, OUTPUTS, validate_outputs
from depthport.exporters.da3.registry import get_model
from depthport.exporters.da3.shapes import NetworkShape, validate_shape


def test_every_model_is_named_as_its_key_and_lists_its_outputs_in_order() -> None:
    for name, spec in MODELS.items():
        assert spec.name == name
        assert spec.hub_id.lower().startswith(f"depth-anything/{name}")
        assert list(spec.all_outputs) == [output for output in OUTPUTS if output in spec.all_outputs]
        assert set(spec.outputs) <= set(spec.all_outputs)


@pytest.mark.parametrize(
    ("model", "licence"),
    [
        ("da3-small", "Apache-2.0"),
        ("da3-base", "Apache-2.0"),
        ("da3mono-large", "Apache-2.0"),
        ("da3metric-large", "Apache-2.0"),
        ("da3-large", "CC BY-NC 4.0"),
        ("da3-giant", "CC BY-NC 4.0"),
        ("da3nested-giant-large", "CC BY-NC 4.0"),
    ],
)
def test_licences_are_those_of_the_checkpoints(model: str, licence: str) -> None:
    assert get_model(model).licence == licence


def test_an_unknown_model_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UsageError, match=r"unknown model 'da3-tiny'.* choose one of da3-small, da3-base"):
        get_model("da3-tiny")


def test_outputs_come_in_the_canonical_order_without_repetition() -> None:
    spec = get_model("da3-small")
    assert validate_outputs(spec, None) == ("depth", "depth_conf", "extrinsics", "intrinsics", "reference_view")
    assert validate_outputs(spec, ["ray", "depth", "ray"]) == ("depth", "ray")


@pytest.mark.parametrize(("outputs", "message"), [(["sky"], "has no output sky"), ([], "no output asked for")])
def test_impossible_outputs_are_refused(outputs: list[str], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate_outputs(get_model("da3-small"), outputs)


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((1, 1, 500, 504), "height must be a multiple of 14, not 500: the nearest is 504"),
        ((1, 1, 504, 13), "width must be a multiple of 14, not 13: the nearest is 14"),
        ((1, 1, 504, 0), "width must be a multiple of 14, not 0: the nearest is 14"),
        ((1, 1, -14, 504), "height must be a multiple of 14, not -14: the nearest is 14"),
        ((0, 1, 504, 504), "batch must be at least 1, not 0"),
        ((1, 0, 504, 504), "views must be at least 1, not 0"),
    ],
)
def test_impossible_shapes_are_refused_with_the_nearest_possible(shape: tuple[int, ...], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate_shape(*shape)


def test_sizes_inside_the_network_follow_from_the_shape() -> None:
    shape = NetworkShape(2, 3, 70, 98)
    assert shape.grid == (5, 7)
    assert shape.tokens == 36
    assert shape.pyramid == ((20, 28), (10, 14), (5, 7), (3, 4))
    assert shape.fused == (40, 56)


def test_models_and_weights_import_without_torch() -> None:
    code = (
        "import sys; sys.modules['torch'] = None\n"
        "from depthport.exporters.da3 import hub, models, synthetic, weights\n"
        "from depthport.exporters.da3.registry import get_model\n"
        "print(weights.resolve_weights('synthetic:1', get_model('da3-large')).sha256)"
    )
    assert len(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True).stdout) >= 64
