"""Parity kept beside an artifact."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from depthport.bench.results.kept_parity import NAME, keep_parity, kept_parity
from depthport.bench.results.sections import Parity
from depthport.exporters.core.artifact import MANIFEST, Shape
from tests.support.fake_runtime import fake_artifact

FOUND: Parity = {"depth": {"rel_l2": 2e-7}, "reference_view": {"equal": True}}


def test_every_cell_adds_its_own_and_the_manifest_stays(tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "artifact", Shape(1, 1, 14, 14))
    manifest = (artifact.path / MANIFEST).read_bytes()
    assert kept_parity(artifact) == {}
    keep_parity(artifact.path, "a/cpu/x/fp32", FOUND)
    keep_parity(artifact.path, "b/cpu/x/fp32", {})
    assert kept_parity(artifact) == {"a/cpu/x/fp32": FOUND, "b/cpu/x/fp32": {}}
    assert (artifact.path / MANIFEST).read_bytes() == manifest
    artifact.verify()
    other = replace(artifact, manifest=replace(artifact.manifest, key="f" * 64))
    assert kept_parity(other) == {}, "found with another artifact in this folder"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"key": 1}', '{"key": "k", "cells": {"a": 3}}'])
def test_a_damaged_file_holds_nothing(text: str, tmp_path: Path) -> None:
    artifact = fake_artifact(tmp_path / "artifact", Shape(1, 1, 14, 14))
    (artifact.path / NAME).write_text(text)
    assert kept_parity(artifact) == {}
    keep_parity(artifact.path, "a/cpu/x/fp32", FOUND)
    assert kept_parity(artifact) == {"a/cpu/x/fp32": FOUND}


def test_an_artifact_that_is_gone_is_no_error(tmp_path: Path) -> None:
    keep_parity(tmp_path / "gone", "a/cpu/x/fp32", FOUND)
    assert not (tmp_path / "gone").exists()
