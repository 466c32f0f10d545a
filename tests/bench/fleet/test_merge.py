"""Merged results are of one bundle, or it is said what differs; the report says which machine measured what and when."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import pytest
from msgspec.structs import replace

pytest.importorskip("tomli", reason="needs the extra fleet")

from depthport.bench.fleet.bundle import Bundle, sha256_of
from depthport.bench.fleet.description import read_fleet
from depthport.bench.fleet.merge import merge_fleet
from depthport.bench.fleet.work import finished
from depthport.bench.fleet.workflow import workflow
from depthport.bench.report.model.merge import merge
from depthport.bench.report.write import write_report
from depthport.bench.results.load_results import load_results
from depthport.bench.results.model import Results
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.files.atomic import write_json
from tests.support import results as made
from tests.support.fleet import describe, frozen

JOB = "da3-small-1x1x28x42"


def keep(out: Path, bundle: Bundle, machine: str, results: Results, **changes: object) -> Path:
    folder = out / machine / JOB
    folder.mkdir(parents=True)
    carried = msgspec.structs.replace(results, bundle=bundle.ref(machine, JOB), **changes)
    write_json(folder / "results.json", carried.to_json())
    return folder


def other_than(bundle: Bundle) -> Bundle:
    job = bundle.contents.jobs[JOB]
    contents = replace(bundle.contents, jobs={JOB: replace(job, asked={**job.asked, "launches": 9})})
    return replace(bundle, contents=contents, sha256=sha256_of(contents))


def test_the_fleet_s_report_is_the_one_merged_by_hand(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["cuda", "cpu"]), tmp_path)
    folders = [keep(tmp_path, bundle, "cuda", made.h100()), keep(tmp_path, bundle, "cpu", made.cpu_server())]
    merged = merge_fleet(bundle, tmp_path)
    by_hand = write_report([load_results(folder) for folder in folders], tmp_path / "by-hand")
    assert [path.name for path in merged.written] == [path.name for path in by_hand]
    for one, other in zip(merged.written, by_hand, strict=True):
        assert one.read_text().replace("cpu/", "").replace("cuda/", "") == other.read_text().replace("cpu/", "").replace(
            "cuda/", ""
        )
    page = (tmp_path / "report.md").read_text()
    assert "One suite, frozen and carried to each machine" in page
    for machine, when in (("cuda", "2026-03-02 09:30 UTC"), ("cpu", "UTC")):
        line = next(line for line in page.splitlines() if line.startswith(f"| {machine} "))
        assert when in line and JOB in line and bundle.sha256[:12] in line and "A/A" in line and "+5 %" in line


def test_bundles_of_different_hash_are_refused_and_it_is_said_in_what(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["a", "b"]), tmp_path)
    keep(tmp_path, bundle, "a", made.cpu_server())
    keep(tmp_path, other_than(bundle), "b", made.mac())
    with pytest.raises(UsageError, match=rf"different bundles .*{JOB}\.asked\.launches is nothing and 9") as caught:
        merge_fleet(bundle, tmp_path)
    assert "\n" not in str(caught.value)
    assert not (tmp_path / "report.md").exists()


def test_a_bundle_whose_hash_was_written_by_hand_is_refused() -> None:
    results = made.cpu_server()
    from depthport.bench.results.model import BundleRef

    forged = msgspec.structs.replace(results, bundle=BundleRef(sha256="0" * 64, machine="a", job="b", contents={"x": 1}))
    with pytest.raises(UsageError, match="hash does not match its contents"):
        merge([forged])


def test_what_is_of_no_bundle_is_merged_and_noted(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["a"]), tmp_path)
    folder = keep(tmp_path, bundle, "a", made.cpu_server())
    notes = merge([load_results(folder), made.mac()]).notes
    assert any("file 2 belongs to no bundle" in note for note in notes)
    assert not merge([made.cpu_server(), made.mac()]).notes


def test_machines_that_a_fleet_tells_apart_are_two_however_alike(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["left", "right"]), tmp_path)
    folders = [keep(tmp_path, bundle, name, made.cpu_server()) for name in ("left", "right")]
    names = [machine.name for machine in merge([load_results(folder) for folder in folders]).machines]
    assert len(set(names)) == 2 and "left" in names[0] and "right" in names[1]


def test_only_a_whole_result_of_the_bundle_is_finished(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["a"]), tmp_path)
    ref = bundle.ref("a", JOB)
    folder = keep(tmp_path, bundle, "a", made.cpu_server())
    assert finished(folder, ref) == ""
    assert finished(folder, other_than(bundle).ref("a", JOB)) is None
    assert finished(folder, replace(bundle, machines={}).ref("b", JOB)) is None
    data = json.loads((folder / "results.json").read_text())
    write_json(folder / "results.json", {**data, "complete": False})
    assert finished(folder, ref) is None and merge_fleet(bundle, tmp_path).missing == (("a", JOB),)
    assert finished(tmp_path / "nothing", ref) is None


def test_a_result_in_another_machine_s_place_is_refused(tmp_path: Path) -> None:
    bundle = frozen(describe(tmp_path, ["a", "b"]), tmp_path)
    keep(tmp_path, bundle, "a", made.cpu_server())
    (tmp_path / "a").rename(tmp_path / "b")
    with pytest.raises(UsageError, match="is not marked as the result"):
        merge_fleet(bundle, tmp_path)


def test_the_workflow_is_valid_and_no_name_enters_a_script(tmp_path: Path) -> None:
    schema = pytest.importorskip("check_jsonschema", reason="the schema of workflows comes with check-jsonschema")
    import jsonschema
    import yaml

    description = describe(tmp_path, ["cuda-box", "mac"], mac='python = "/opt/$(touch x)/python"')
    text = workflow(read_fleet(description), "fleets/a'b.toml")
    parsed = yaml.safe_load(text)
    vendored = Path(schema.__file__).parent / "builtin_schemas" / "vendor" / "github-workflows.json"
    validator = jsonschema.Draft7Validator(json.loads(vendored.read_text(encoding="utf-8")))
    assert not list(validator.iter_errors(parsed))
    broken = {**parsed, "jobs": {"measure": {"steps": []}}}
    assert list(validator.iter_errors(broken)), "the schema finds nothing"
    matrix = parsed["jobs"]["measure"]["strategy"]["matrix"]["include"]
    assert [row["machine"] for row in matrix] == ["cuda-box", "mac"] and matrix[1]["labels"] == ["self-hosted", "mac"]
    scripts = [step["run"] for job in parsed["jobs"].values() for step in job["steps"] if "run" in step]
    assert scripts and not any("${{" in script or "touch" in script or "a'b" in script for script in scripts)


def test_actionlint_has_nothing_to_say(tmp_path: Path) -> None:
    import shutil
    import subprocess

    linter = shutil.which("actionlint")
    if linter is None:
        pytest.skip("needs actionlint on the path")
    path = tmp_path / ".github" / "workflows" / "fleet.yml"
    path.parent.mkdir(parents=True)
    text = workflow(read_fleet(describe(tmp_path, ["a", "b"])), "FLEET.toml")
    path.write_text(text)
    config = ["-config-file", str(tmp_path / "actionlint.yaml")]
    (tmp_path / "actionlint.yaml").write_text("self-hosted-runner:\n  labels: [a, b]\n")
    found = subprocess.run([linter, *config, str(path)], capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stdout
    path.write_text(text.replace("matrix.machine", "matrix.nothing"))
    assert subprocess.run([linter, *config, str(path)], capture_output=True, check=False).returncode


def test_a_workflow_needs_labels(tmp_path: Path) -> None:
    path = describe(tmp_path, ["a"])
    path.write_text(path.read_text().replace('labels = ["self-hosted", "a"]', ""))
    with pytest.raises(UsageError, match="machine a has no labels"):
        workflow(read_fleet(path), "FLEET.toml")
