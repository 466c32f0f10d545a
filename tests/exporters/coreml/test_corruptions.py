"""The parity gate finds every planted corruption; the clean floor and the smallest finding are printed with `-s`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from depthport.exporters.core.errors import ArtifactError
from depthport.exporters.coreml.mil.interpreter import Interpreter
from depthport.exporters.coreml.mil.package import read_package
from depthport.exporters.coreml.mil.parity import MAX_OVER_STD, POSE_RELATIVE, POSES, RMS_OVER_STD, compare, violations
from tests.support.coreml.damage import NUMERIC, Edit


@pytest.fixture(scope="module")
def clean(converted: Any) -> Any:
    return converted("fp32", views=3)


def excess(errors: Any) -> float:
    """The worst error over its limit: a conversion is refused above 1."""
    worst: float = max(
        e.relative / POSE_RELATIVE if e.name in POSES else max(e.max_over_std / MAX_OVER_STD, e.rms_over_std / RMS_OVER_STD)
        for e in errors.values()
        if not e.integer
    )
    return worst


def test_clean_package_passes_with_room(clean: Any) -> None:
    errors = compare(Interpreter(clean.package.function()).run(clean.inputs), clean.expected())
    print(f"\nclean floor: {excess(errors):.2f} of the limit")
    assert not violations(errors)
    assert excess(errors) < 0.7


@pytest.mark.parametrize("plant", NUMERIC, ids=lambda plant: plant.__name__)
def test_planted_corruption_is_found(clean: Any, plant: Any, tmp_path: Path) -> None:
    edit = Edit(clean.path, tmp_path)
    plant(edit)
    package = read_package(edit.save())
    try:
        errors = compare(Interpreter(package.function()).run(clean.inputs), clean.expected())
    except ArtifactError as error:
        print(f"\n{plant.__name__}: refused: {error}")
        return
    print(f"\n{plant.__name__}: {excess(errors):.1f} times the limit")
    assert violations(errors)
