"""Precision policies: which part is in which dtype, and how far that takes the outputs from fp32."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("depth_anything_3")

from depthport.exporters.core.precision import POLICIES  # noqa: E402
from depthport.exporters.da3.static.layers import torch_dtype  # noqa: E402
from depthport.exporters.da3.static.network import build_static  # noqa: E402
from depthport.exporters.da3.upstream import upstream_forward  # noqa: E402
from tests.support.static_network import relative_l2, run_static  # noqa: E402

FLOATING = [name for name, policy in POLICIES.items() if policy.quantization is None]


@pytest.mark.parametrize("name", FLOATING)
def test_each_part_computes_in_the_dtype_of_its_policy(upstream: Any, scene: Any, name: str) -> None:
    policy = POLICIES[name]
    net = build_static(upstream(), 1, 3, 70, 98, None, policy)
    computed: dict[str, set[Any]] = {}

    def record(part: str) -> Any:
        return lambda _module, args, output: computed.setdefault(part, set()).update((args[0].dtype, output.dtype))

    for module_name, module in net.named_modules():
        if isinstance(module, (torch.nn.Linear, torch.nn.Conv2d, torch.nn.ConvTranspose2d)):
            part = "tail" if module_name.endswith("output.logits") else module_name.partition(".")[0]
            if policy.camera_token and (".camera." in module_name or module_name == "backbone.patch_embed"):
                part = "camera token"
            module.register_forward_hook(record(part))
        elif isinstance(module, torch.nn.LayerNorm):
            module.register_forward_hook(record("norms"))
    with torch.no_grad():
        outputs = net(scene(1, 3, 70, 98))
    own = {"camera token": {torch_dtype(policy.camera_token)}} if policy.camera_token else {}
    assert computed == own | {
        "backbone": {torch_dtype(policy.backbone)},
        "head": {torch_dtype(policy.head)},
        "camera": {torch_dtype(policy.camera)},
        "tail": {torch.float32},
        "norms": {torch.float32},
    }
    assert [value.dtype for value in outputs] == [torch.float32] * 4 + [torch.int64]


@pytest.mark.parametrize("weights", ["synthetic:0", "synthetic:0,outliers"])
@pytest.mark.parametrize(("name", "autocast"), [("bf16-mixed", "bfloat16"), ("fp16-mixed", "float16")])
def test_mixed_policies_are_as_near_fp32_as_upstreams_autocast(
    upstream: Any, scene: Any, name: str, autocast: Any, weights: str
) -> None:
    source = upstream("da3-small", weights)
    outputs = ("depth", "depth_conf", "extrinsics", "intrinsics")
    ours: dict[str, list[float]] = {output: [] for output in outputs}
    upstreams: dict[str, list[float]] = {output: [] for output in outputs}
    for seed in range(4):
        image = scene(1, 2, 70, 98, seed=seed)
        exact = upstream_forward(source, image)
        with torch.autocast("cpu", dtype=torch_dtype(autocast)):
            rounded = upstream_forward(source, image)
        actual = run_static(source, image, outputs, POLICIES[name])
        for output in outputs:
            ours[output].append(relative_l2(actual[output], exact[output]))
            upstreams[output].append(relative_l2(rounded[output], exact[output]))
    for output in outputs:
        assert sum(ours[output]) <= 1.5 * sum(upstreams[output]), output


@pytest.mark.parametrize("name", FLOATING)
def test_every_policy_survives_massive_activations(upstream: Any, scene: Any, name: str) -> None:
    source = upstream("da3-small", "synthetic:0,outliers")
    image = scene(1, 2, 70, 98)
    exact = upstream_forward(source, image)
    for output, value in run_static(source, image, tuple(exact), POLICIES[name]).items():
        if output != "reference_view":
            assert relative_l2(value, exact[output]) < 0.1, output
