"""Every family's static network against upstream's, at small size, and at full width on the meta device."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.errors import UnsupportedError, UsageError  # noqa: E402
from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3 import host  # noqa: E402
from depthport.exporters.da3.models import FAMILIES, MODELS, host_steps, validate_outputs  # noqa: E402
from depthport.exporters.da3.registry import get_model  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import build_upstream_on_meta, network_family, upstream_forward  # noqa: E402
from depthport.exporters.da3.weights import resolve_weights  # noqa: E402
from tests.support.family import short_upstream, write_config  # noqa: E402
from tests.support.static_network import assert_parity, run_static  # noqa: E402

FP32 = POLICIES["fp32"]
BOUND = 1e-5
Tiny = Callable[..., Any]


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Tiny:
    """`tiny(name, weights)`: upstream's network of a configuration of tests/support/family.py."""
    folder = tmp_path_factory.mktemp("configs")

    @lru_cache(maxsize=6)
    def build(name: str, weights: str = "synthetic:0") -> Any:
        seed, _, outliers = weights.removeprefix("synthetic:").partition(",")
        return short_upstream(write_config(folder, name), int(seed), bool(outliers))

    return build


@pytest.mark.parametrize("views", [1, 3])
@pytest.mark.parametrize("weights", ["synthetic:0", "synthetic:1,outliers"])
@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested"])
def test_equals_upstream(tiny: Tiny, scene: Any, name: str, weights: str, views: int) -> None:
    source = tiny(name, weights)
    names = FAMILIES[network_family(source)].all_outputs
    image = scene(1, views, 70, 98, seed=views)
    assert_parity(run_static(source, image, names), upstream_forward(source, image, names), BOUND)


@pytest.mark.parametrize("weights", ["synthetic:0", "synthetic:1,outliers"])
def test_giants_blocks_equal_upstream(tiny: Tiny, scene: Any, weights: str) -> None:
    source = tiny("tiny-swiglu", weights)
    assert hasattr(source.backbone.pretrained.blocks[0].mlp, "w12")
    image = scene(1, 3, 42, 56)
    names = FAMILIES["anyview"].all_outputs
    expected = upstream_forward(source, image, names)
    assert_parity(run_static(source, image, names), expected, BOUND)
    if "outliers" in weights:
        assert float(source.backbone.pretrained.blocks[1].mlp.w3.weight.abs().max()) > 30


def test_eight_bits_reach_the_giants_blocks(tiny: Tiny, scene: Any) -> None:
    from depthport.exporters.quantization.layers import candidates, norm_before, observe

    network = build_static(tiny("tiny-swiglu"), 1, 1, 28, 42, ("depth",), FP32)
    linears = [name for name in candidates(network) if name.startswith("backbone.blocks.1.")]
    assert [name.removeprefix("backbone.blocks.1.") for name in linears] == ["attn.qkv", "attn.proj", "mlp.w12", "mlp.w3"]
    modules = dict(network.named_modules())
    assert [norm_before(name) in modules for name in linears] == [True, False, True, False]
    seen = observe(network, [scene(1, 1, 28, 42).numpy()])
    assert seen[linears[2]].hessian.shape == (1536, 1536) and seen[linears[3]].hessian.shape == (4096, 4096)


@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested"])
def test_the_host_finishes_what_upstream_finishes_itself(tiny: Tiny, scene: Any, name: str) -> None:
    source = tiny(name)
    family = network_family(source)
    image = scene(1, 3, 70, 98, "noise")
    names = validate_outputs(FAMILIES[family], None)
    spec = MODELS["da3mono-large" if family == "mono" else "da3nested-giant-large"]
    finished = host.apply(host_steps(spec, names), {k: v.numpy() for k, v in run_static(source, image, names).items()})
    with torch.no_grad():
        expected = source(image)
    sky = finished["sky"] >= 0.3
    assert 10 < sky.sum() < sky.size / 2
    for output in ("depth", "depth_conf", "extrinsics", "intrinsics"):
        if output in names:
            difference = finished[output] - expected[output].numpy()
            assert (difference**2).sum() ** 0.5 <= BOUND * float(expected[output].norm()), output
    if family == "nested":
        assert expected.scale_factor != pytest.approx(1, abs=0.01)


@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested"])
def test_a_finished_batch_equals_its_scenes_one_by_one(tiny: Tiny, scene: Any, name: str) -> None:
    source = tiny(name)
    family = network_family(source)
    names = validate_outputs(FAMILIES[family], None)
    steps = host.steps_for(FAMILIES[family].steps, names)
    image = scene(2, 2, 70, 98, "noise", seed=3)
    together = host.apply(steps, {k: v.numpy() for k, v in run_static(source, image, names).items()})
    for index in range(2):
        alone = run_static(source, image[index : index + 1], names)
        one = host.apply(steps, {k: v.numpy() for k, v in alone.items()})
        for output, value in one.items():
            assert abs(together[output][index : index + 1] - value).max() <= 1e-4 * abs(value).max(), output


def test_more_views_than_go_through_the_head_at_once(tiny: Tiny, scene: Any) -> None:
    image = scene(1, 10, 28, 42)
    source = tiny("tiny-mono")
    assert_parity(run_static(source, image, ("depth", "sky")), upstream_forward(source, image), BOUND)


def test_only_what_is_asked_for_is_computed(tiny: Tiny) -> None:
    sky: Any = build_static(tiny("tiny-mono"), 1, 1, 28, 28, ("sky",), FP32)
    assert sky.output_names == ("sky",) and sky.head.depth is None
    poses = build_static(tiny("tiny-nested"), 1, 1, 28, 28, ("intrinsics",), FP32)
    assert poses.output_names == ("intrinsics",) and poses.metric is None
    # Depth of a nested model is metric, which takes both networks; of a monocular one, the sky.
    assert build_static(tiny("tiny-mono"), 1, 1, 28, 28, ("depth",), FP32).output_names == ("depth", "sky")
    whole = build_static(tiny("tiny-nested"), 1, 1, 28, 28, ("depth",), FP32).output_names
    assert whole == ("depth", "depth_conf", "intrinsics", "sky", "metric_depth")


def test_blocks_after_the_last_one_read_are_left_out(tmp_path: Path) -> None:
    source: Any = build_upstream_on_meta(get_model(write_config(tmp_path, "tiny-mono")))
    assert (len(source.backbone.pretrained.blocks), source.backbone.out_layers) == (12, [0, 1, 2, 3])
    static: Any = build_static(source, 1, 1, 28, 28, None, FP32)
    assert len(static.backbone.blocks) == 4


@pytest.mark.parametrize("policy", ["bf16", "fp16-mixed", "bf16-fp16"])
@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested"])
def test_other_policies_run_and_stay_near(tiny: Tiny, scene: Any, name: str, policy: str) -> None:
    source, image = tiny(name), scene(1, 1, 42, 56)
    expected = upstream_forward(source, image)
    found = run_static(source, image, tuple(expected), POLICIES[policy])
    for output, value in found.items():
        assert value.dtype == expected[output].dtype and value.isfinite().all(), output
    assert float((found["depth"] - expected["depth"]).norm() / expected["depth"].norm()) < 0.2


@pytest.mark.parametrize("model", list(MODELS))
def test_the_structure_at_full_width(model: str) -> None:
    """On the meta device: every layer of upstream's is there, and shapes are those that the manifest promises."""
    spec = get_model(model)
    source = build_upstream_on_meta(spec)
    net = build_static(source, 1, 3, 70, 98, None, FP32).to("meta")
    found = dict(zip(net.output_names, net(torch.empty(1, 3, 3, 70, 98, device="meta")), strict=True))
    assert tuple(found) == spec.outputs
    for name in {"depth", "depth_conf", "sky", "metric_depth"} & set(found):
        assert found[name].shape == (1, 3, 70, 98)
    ours = sum(prod(p.shape) for p in net.parameters())
    left_out = ("aux", "cam_enc", "pos_embed", "cls_token", "camera_token")
    theirs = sum(prod(p.shape) for key, p in source.named_parameters() if not any(part in key for part in left_out))
    # The any-view head's one LayerNorm is in each of the four stages.
    norms = [p for key, p in source.named_parameters() if key.rpartition(".")[0].endswith("head.norm")]
    repeated = sum(3 * prod(p.shape) for p in norms)
    assert ours == theirs + repeated


def test_the_fused_network_refuses_other_structures(tiny: Tiny) -> None:
    from depthport.exporters.da3.fused.network import build_fused

    for name in ("tiny-mono", "tiny-nested", "tiny-swiglu"):
        with pytest.raises(UnsupportedError, match="any-view networks with GELU blocks: leave out the target"):
            build_fused(tiny(name), 1, 1, 28, 28, None, POLICIES["bf16"])


@pytest.mark.parametrize(
    ("model", "outputs", "ray_pose", "message"),
    [
        ("da3mono-large", ["extrinsics"], False, "da3mono-large has no output extrinsics: choose from depth, sky"),
        ("da3mono-large", ["depth"], True, "a pose from rays needs an any-view model"),
        ("da3-small", ["depth"], True, "and output extrinsics or intrinsics"),
    ],
)
def test_impossible_outputs_are_refused(model: str, outputs: list[str], ray_pose: bool, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        validate_outputs(get_model(model), outputs, ray_pose=ray_pose)


def test_a_pose_from_rays_brings_the_rays() -> None:
    assert validate_outputs(get_model("da3-small"), ["extrinsics"], ray_pose=True) == (
        "extrinsics", "intrinsics", "ray", "ray_conf",
    )  # fmt: skip
    names = validate_outputs(get_model("da3nested-giant-large"), None, ray_pose=True)
    steps = host_steps(get_model("da3nested-giant-large"), names, ray_pose=True)
    assert [step.name for step in steps] == ["pose_from_rays", "metric_scale"]


@pytest.mark.parametrize("name", ["tiny-mono", "tiny-nested"])
def test_configurations_give_models_of_their_own(tmp_path: Path, name: str) -> None:
    spec = get_model(write_config(tmp_path, name))
    assert spec.name == name and get_model(spec.reference) is spec
    assert resolve_weights("synthetic:0", spec).sha256 != resolve_weights("synthetic:0", get_model("da3-small")).sha256
