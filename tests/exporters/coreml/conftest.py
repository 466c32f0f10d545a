"""Packages of a short network, each converted once a test run. Skipped as a whole without torch or coremltools."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from typing import Any

import pytest

if find_spec("torch") is None or find_spec("coremltools") is None:
    collect_ignore_glob = ["test_*.py"]


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> None:
    import torch

    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def upstream() -> Any:
    from tests.support.coreml.short import short_upstream

    return short_upstream()


@pytest.fixture(scope="session")
def converted(upstream: Any, tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Any]:
    """`converted(precision, views=..., images=..., **options)`: the short network as a saved package."""
    from depthport.exporters.core.precision import POLICIES
    from depthport.exporters.coreml.convert import capture, convert, save
    from depthport.exporters.coreml.mil.package import read_package
    from depthport.exporters.coreml.options import CoreMLOptions
    from tests.support.coreml.short import WIDTH, Converted, package_network

    @cache
    def traced(route: str, views: int, images: bool, ane: bool, width: int) -> tuple[Any, Any, Any]:
        network, examples = package_network(upstream, views, images=images, ane=ane, width=width)
        return network, examples, capture(network, examples, route)

    @cache
    def make(precision: str = "fp32", views: int = 3, images: bool = False, width: int = WIDTH, **given: Any) -> Converted:
        options = CoreMLOptions(**given)
        network, examples, graph = traced(options.route, views, images, options.ane, width)
        model = convert(network, examples, options, POLICIES[precision], graph)
        path = tmp_path_factory.mktemp("packages") / "model.mlpackage"
        save(model, path)
        return Converted(path, read_package(path), network, examples, options, model)

    return make
