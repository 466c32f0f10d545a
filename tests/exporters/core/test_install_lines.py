"""Every line that installs something: said in one place, of extras that there are, and resolved by a registry."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement

from depthport.exporters.core import install
from depthport.exporters.core.errors import UnavailableError
from tests.support.paths import ROOT
from tests.support.wheel import build_wheel

LINES = {name: value for name, value in vars(install).items() if isinstance(value, install.Install)}
_TABLE = re.search(
    r"^\[project\.optional-dependencies\]\n(.*?)^\[",
    (ROOT / "pyproject.toml").read_text(encoding="utf-8"),
    re.DOTALL | re.MULTILINE,
)
assert _TABLE is not None
EXTRAS = set(re.findall(r"^([a-z0-9]+) = \[", _TABLE[1], re.MULTILINE))
OTHER_INDICES = ("wheel_stub",)
"""Of source distributions that fetch a wheel from their maker's own index."""
FOLDERS = ("exporters", "runtimes", "bench", "depthport/predict")


def test_no_line_is_said_elsewhere() -> None:
    known = ROOT / "exporters" / "core" / "install.py"
    sources = [path for folder in FOLDERS for path in (ROOT / folder).rglob("*.py") if path != known]
    said = [path.name for path in sources if re.search(r"\bpip3? (un)?install\b", path.read_text(encoding="utf-8"))]
    assert len(sources) > 300 and not said


@pytest.mark.parametrize("page", sorted(ROOT.glob("**/*.md")), ids=lambda page: page.name)
def test_pages_say_no_other(page: Path) -> None:
    """What a page says of an extra is of one that there is, and quoted as every shell reads it."""
    if {".venv", "node_modules", "results"} & set(page.parts):
        return
    for quote, names in re.findall(r"pip install (['\"]?)depthport\[([a-z0-9,]+)\]", page.read_text(encoding="utf-8")):
        assert quote == '"' and set(names.split(",")) <= EXTRAS


@pytest.mark.parametrize("name", LINES)
def test_requirements_and_extras_are_real(name: str) -> None:
    for text in LINES[name].requirements:
        requirement = Requirement(text)
        assert requirement.extras <= EXTRAS and (not requirement.extras or requirement.name == "depthport")


def test_the_makefile_installs_the_same_upstream() -> None:
    text = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert f"DA3 := {install.DA3_PACKAGE.requirements[0]}\n" in text
    assert "--no-deps --ignore-requires-python $(DA3)" in text


def test_what_is_printed_is_what_pip_runs() -> None:
    (command,) = install.DA3_PACKAGE.commands()
    assert command[:3] == [sys.executable, "-m", "pip"]
    assert " ".join(["pip", *command[3:]]) == str(install.DA3_PACKAGE)
    assert str(install.DA3_ONNX) == 'pip install "depthport[da3,onnx]"'
    assert str(install.ONNXRUNTIME_GPU) == "pip uninstall -y onnxruntime && pip install onnxruntime-gpu"
    assert [command[3] for command in install.ONNXRUNTIME_GPU.commands()] == ["uninstall", "install"]


def test_an_environment_of_uv_has_no_pip(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(install, "find_spec", lambda name: None)
    monkeypatch.setattr(install, "which", lambda name: None)
    with pytest.raises(UnavailableError, match="neither pip nor uv"):
        list(install.DA3.commands())
    monkeypatch.setattr(install, "which", lambda name: "uv")
    here = ["uv", "pip", "install", "--python", sys.executable]
    assert list(install.DA3.commands()) == [[*here, "depthport[da3]"]]
    assert list(install.DA3_PACKAGE.commands()) == [[*here, "--no-deps", "depth-anything-3==0.1.1"]]
    assert install.as_here(str(install.DA3_PACKAGE)) == "uv pip install --no-deps depth-anything-3==0.1.1"
    assert install.as_here(str(install.ONNXRUNTIME_AGAIN)) == "uv pip install --reinstall onnxruntime"
    assert list(install.ONNXRUNTIME_AGAIN.commands()) == [[*here, "--reinstall", "onnxruntime"]]


def test_pins_of_a_run_leave_builds_and_upstreams_requirements_out() -> None:
    lines = install.pinned("torch==2.13.0+cpu", "depth-anything-3==0.1.1", "numpy==2.3.5")
    assert [str(line) for line in lines] == [
        "pip install torch==2.13.0 numpy==2.3.5",
        "pip install --no-deps --ignore-requires-python depth-anything-3==0.1.1",
    ]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with depthport's wheel and nothing that it asks for."""
    folder = tmp_path_factory.mktemp("fresh")
    subprocess.run([sys.executable, "-m", "venv", folder], check=True)
    python = folder / ("Scripts" if sys.platform == "win32" else "bin") / "python"
    subprocess.run([python, "-m", "pip", "install", "--quiet", "--no-deps", build_wheel(folder)], check=True)
    return python


def _resolves(fresh: Path, line: install.Install) -> None:
    arguments = [word for word in line._options(pip=True) if word != "--force-reinstall"]
    command = [
        str(fresh),
        "-m",
        "pip",
        "install",
        "--dry-run",
        "--quiet",
        "--retries=1",
        *arguments,
        *map(str, line.requirements),
    ]
    done = subprocess.run(command, capture_output=True, text=True, timeout=900)
    elsewhere = line.index or next((host for host in OTHER_INDICES if host in done.stderr), None)
    if done.returncode != 0 and elsewhere is not None:
        pytest.skip(f"needs {elsewhere}")
    assert done.returncode == 0, done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("name", LINES)
def test_a_registry_resolves_every_line(name: str, fresh: Path) -> None:
    line = LINES[name]
    if line.where and not Marker(line.where).evaluate():
        pytest.skip(f"for {line.where}")
    _resolves(fresh, line)


@pytest.mark.slow
def test_a_registry_resolves_what_reproduce_prints(fresh: Path) -> None:
    from depthport.bench.choice.reproduce import reproduce
    from depthport.bench.results.load_results import load_results

    for file in (ROOT / "bench" / "records").glob("*cpu*/results.json"):
        results = load_results(file).results
        for pins in {reproduce(results, cell.id).install for cell in results.cells}:
            for line in install.pinned(*pins):
                _resolves(fresh, line)
