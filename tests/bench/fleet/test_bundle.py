"""The description and the bundle: what is wrong is one line, the hash covers what decides, nothing else is believed."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.fleet import bundle as bundles
from depthport.bench.fleet.bundle import is_inside, load_bundle, parse_bundle, verify_files, version_problem
from depthport.bench.fleet.description import read_fleet
from depthport.bench.fleet.freeze import freeze
from depthport.exporters.core.errors import UsageError
from tests.support.fleet import describe, frozen
from tests.support.paths import ROOT


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("name = 3", "name: expected str, got int"),
        ('name = "x"', "missing required field machine"),
        ('name = "x"\n[machine.a]\naddress = "h"', "has no job"),
        ('name = "x"\n[[bench]]\n[machine.a]\naddress = "h"\nspeed = 3', "unknown field speed"),
        ('name = "../x"\n[[bench]]\n[machine.a]\naddress = "h"', "the name '../x'"),
        ('name = "x"\nscheduler = "http://h"\n[[bench]]\n[machine.a]\naddress = "h"', "is not an address"),
        ('name = "x"\nscheduler = "tls://h:1"\n[[bench]]\n[machine.a]\naddress = "h"', "no [tls] table"),
        ('name = "x"\n[[export]]\nformats = ["onnx"]\n[machine.a]\naddress = "h"', "no machine makes 'onnx'"),
        ('name = "x"\n[conditions]\nmax_load = 7\n[[bench]]\n[machine.a]\naddress = "h"', "max_load above 0"),
        ("name = ", "not a fleet's description"),
    ],
)
def test_a_wrong_description_is_one_line(tmp_path: Path, text: str, says: str) -> None:
    path = tmp_path / "FLEET.toml"
    path.write_text(text)
    with pytest.raises(UsageError) as caught:
        read_fleet(path)
    assert says in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("bench", "says"),
    [
        ('[[bench]]\nshapes = ["504"]', "views x height x width"),
        ('[[bench]]\nmodels = ["da4"]', "da4"),
        ('[[bench]]\nshapes = ["1x29x28"]', "14"),
        ('[[bench]]\nsuite = "big"', "big"),
        (
            '[[bench]]\nshapes = ["1x28x28"]\nweights = "synthetic:0"\nimages = ["photo.png", "photo.png"]',
            "2 images for 1 view",
        ),
        ('[[bench]]\nshapes = ["1x28x28"]\nimages = ["FLEET.toml"]', "FLEET.toml"),
    ],
)
def test_what_no_machine_could_do_is_refused_before_any_is_asked(tmp_path: Path, bench: str, says: str) -> None:
    description = describe(tmp_path, ["a"], bench=bench)
    with pytest.raises(UsageError, match=says):
        frozen(description, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_hash_is_of_what_decides_and_of_nothing_else(tmp_path: Path) -> None:
    one = frozen(describe(tmp_path, ["a"]), tmp_path / "one")
    more = frozen(describe(tmp_path, ["a", "b"], a='devices = ["cpu"]'), tmp_path / "two")
    assert one.sha256 == more.sha256, "a machine more does not make another suite of it"
    assert load_bundle(tmp_path / "one" / "bundle") == one
    (tmp_path / "photo.png").write_bytes((tmp_path / "photo.png").read_bytes() + b"x")
    other = freeze(read_fleet(tmp_path / "FLEET.toml"), tmp_path, tmp_path / "three")
    assert other.sha256 != one.sha256


def test_two_shapes_of_two_models_are_four_jobs_and_exports_go_to_whose_target_they_are(tmp_path: Path) -> None:
    bench = """
[[bench]]
models = ["da3-small", "da3-base"]
shapes = ["1x28x28", "2x28x42"]
weights = "synthetic:0"
[[export]]
formats = ["onnx"]
shapes = ["1x28x28"]
weights = "synthetic:0"
precisions = ["fp32", "fp16"]
target = "ort-cpu"
"""
    pytest.importorskip("skimage", reason="the shipped photographs come with scikit-image")
    found = frozen(describe(tmp_path, ["a", "b"], bench=bench, b='makes = ["onnx@ort-cpu"]'), tmp_path)
    assert [job.kind for job in found.contents.jobs.values()].count("bench") == 4
    assert len(found.machines["a"].jobs) == 4 and len(found.machines["b"].jobs) == 6
    assert set(bundles.SHIPPED) == set(found.contents.inputs)


def test_a_changed_bundle_is_refused(tmp_path: Path) -> None:
    made = frozen(describe(tmp_path, ["a"]), tmp_path)
    data: Any = made.to_json()
    data["contents"]["jobs"]["da3-small-1x1x28x42"]["views"] = 2
    with pytest.raises(UsageError, match="hash does not match its contents"):
        parse_bundle(data)
    photo = next((tmp_path / "bundle" / "inputs").iterdir())
    verify_files(made, tmp_path / "bundle")
    photo.write_bytes(b"another")
    with pytest.raises(UsageError, match=r"inputs/.* is missing or damaged"):
        verify_files(made, tmp_path / "bundle")


@pytest.mark.parametrize("name", ["../x", "/x", "a/../../x", "..", "C:\\x", "a\\..\\x", "", "x\0"])
def test_names_that_leave_the_folder(name: str, tmp_path: Path) -> None:
    assert not is_inside(name)
    data: Any = frozen(describe(tmp_path, ["a"]), tmp_path).to_json()
    data["contents"]["inputs"][name] = "0" * 64
    data["sha256"] = bundles.sha256_of(data["contents"])
    with pytest.raises(UsageError, match=r"names an unexpected file|its hash does not match"):
        parse_bundle(data)


def test_names_that_stay_in_the_folder() -> None:
    assert is_inside("pictures/depth 1.png") and is_inside("a")


def test_what_is_not_a_bundle(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist"):
        load_bundle(tmp_path)
    for text, says in (("{", "not valid JSON"), ("[]", "not a bundle"), ('{"sha256": "x"}', "not a bundle")):
        (tmp_path / "bundle.json").write_text(text)
        with pytest.raises(UsageError, match=says):
            load_bundle(tmp_path)


def test_versions_are_looked_at_before_anything_runs(tmp_path: Path) -> None:
    assert version_problem(frozen(describe(tmp_path, ["a"]), tmp_path)) is None
    wanted = describe(tmp_path, ["a"], extra='[versions]\nnumpy = ">=1.26"\nno-such-package = "2"')
    problem = version_problem(frozen(wanted, tmp_path))
    assert problem is not None and "no-such-package is not installed here, the bundle wants 2" in problem
    data = json.loads((tmp_path / "bundle" / "bundle.json").read_text())
    data["contents"]["versions"]["depthport"] = "9.9"
    data["sha256"] = bundles.sha256_of(data["contents"])
    assert "depthport is" in (version_problem(parse_bundle(data)) or "")
    with pytest.raises(UsageError, match="not a version"):
        frozen(describe(tmp_path, ["a"], extra='[versions]\nnumpy = "newest"'), tmp_path)


def test_the_page_s_description_is_one(tmp_path: Path) -> None:
    page = (ROOT / "bench" / "FLEET.md").read_text(encoding="utf-8")
    path = tmp_path / "FLEET.toml"
    path.write_text(page.partition("```toml\n")[2].partition("```")[0])
    fleet = read_fleet(path)
    assert list(fleet.machine) == ["cpu-box", "mac", "jetson"]
    assert fleet.tls is not None and fleet.tls.ca == str(tmp_path / "fleet-ca.pem")
    assert fleet.conditions_of("jetson").max_temperature_c == 70 and fleet.conditions_of("mac") == fleet.conditions
