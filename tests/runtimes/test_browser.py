"""Runtime `browser`: the contract in a real Chromium, and what is decided for ONNX Runtime Web instead of by it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import psutil
import pytest

from depthport.exporters.core.artifact import Artifact, FileInfo
from depthport.exporters.core.errors import LoadError, PlacementError, RunError, UnsupportedError
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.browser import runtime
from depthport.runtimes.browser.runtime import BrowserRuntime, BrowserSession
from depthport.runtimes.contract import CHECKS, Subject
from depthport.runtimes.contract.subject import infer, nearly_equal
from depthport.runtimes.host.chromium import INSTALL, find_browser
from tests.support.tiny import seal, tiny_onnx

TWO = LoadOptions(threads=2)


@pytest.fixture(scope="module")
def artifact(tmp_path_factory: pytest.TempPathFactory) -> Artifact:
    missing = runtime._missing() or (None if find_browser() else ("no Chromium is installed", INSTALL))
    if missing:
        pytest.skip(": ".join(missing))
    return tiny_onnx(tmp_path_factory.mktemp("tiny"))


def crash_tabs(session: BrowserSession) -> None:
    """Kill the process of the page, and those that the browser holds ready for others."""
    for child in session._page._children():
        if "--type=renderer" in child.cmdline():
            child.kill()


@pytest.mark.browser
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
def test_contract(check: Callable[[Subject, Path], None], artifact: Artifact, tmp_path: Path) -> None:
    check(Subject(BrowserRuntime(), artifact, options=TWO), tmp_path)


@pytest.mark.browser
def test_threads_are_real_and_the_clock_is_the_pages(artifact: Artifact) -> None:
    subject = Subject(BrowserRuntime(), artifact, options=TWO)
    with subject.load() as session:
        wall, clock = time.perf_counter_ns(), session.clock()
        infer(session, subject.inputs(0))
        clock, wall = session.clock() - clock, time.perf_counter_ns() - wall
        placement, memory = session.placement(), session.memory()
    assert 0 < clock < wall
    details = placement.details
    assert details["threads"] == 2 and details["cross_origin_isolated"] is True
    assert set(details["nodes"]) == {"CPUExecutionProvider"} and placement.delegated_share == 1.0
    assert details["webassembly_mib"] > 10
    assert not sys.platform.startswith("linux") or (memory.elsewhere_peak_mib or 0) > details["webassembly_mib"]


@pytest.mark.browser
def test_webgpu_computes_the_same_and_names_what_it_leaves_to_the_cpu(artifact: Artifact) -> None:
    gpu = BrowserRuntime().probe()[1]
    if not gpu.available:
        pytest.skip(f"{gpu.unavailable}: {gpu.remedy}")
    found = []
    for device in ("cpu", "gpu"):
        subject = Subject(BrowserRuntime(), artifact, device, LoadOptions(threads=1))
        with subject.load() as session:
            found.append(infer(session, subject.inputs(0)))
            placement = session.placement()
    assert nearly_equal(found[1], found[0])
    assert placement.details["nodes"]["WebGpuExecutionProvider"] >= 5
    assert len(placement.fallback) == placement.details["nodes"].get("CPUExecutionProvider", 0)


@pytest.mark.browser
def test_a_crashed_tab_is_a_run_error_and_stays_one(artifact: Artifact) -> None:
    subject = Subject(BrowserRuntime(), artifact, options=TWO)
    with subject.load() as session:
        assert isinstance(session, BrowserSession)
        infer(session, subject.inputs(0))
        crash_tabs(session)
        for _ in range(2):
            with pytest.raises(RunError, match="the tab has crashed"):
                session.run()


@pytest.mark.browser
@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX's")
def test_the_browser_ends_with_whoever_started_it(artifact: Artifact, tmp_path: Path) -> None:
    script = (
        "import sys, time; from depthport.exporters.core.artifact import load_artifact\n"
        "from depthport.runtimes.browser.runtime import BrowserRuntime\n"
        "session = BrowserRuntime().load(load_artifact(sys.argv[1]), 'cpu')\n"
        "print(session._page._process.pid, flush=True)\n"
        "time.sleep(600)"
    )
    # Longer than Chromium's socket bears.
    temporary = tmp_path / ("x" * 80)
    temporary.mkdir()
    command = [sys.executable, "-c", script, str(artifact.path)]
    owner = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"TMPDIR": str(temporary)})
    assert owner.stdout is not None
    browser = psutil.Process(int(owner.stdout.readline()))
    family = [browser, *browser.children(recursive=True)]
    owner.kill()
    owner.wait()
    _, alive = psutil.wait_procs(family, timeout=30)
    assert not alive


@pytest.mark.browser
def test_nothing_is_served_without_the_secret_or_beyond_the_files_named(artifact: Artifact) -> None:
    with BrowserRuntime().load(artifact, "cpu", TWO) as session:
        assert isinstance(session, BrowserSession)
        page = session._page
        address = f"http://127.0.0.1:{page._server.server_port}"
        for path in ("", "page.html", "x/page.html", f"{page.secret}/page.py", f"{page.secret}/../page.html"):
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{address}/{path}")
        with urllib.request.urlopen(f"{address}/{page.secret}/page.html") as answer:
            assert answer.headers["Cross-Origin-Embedder-Policy"] == "require-corp"


@pytest.mark.browser
def test_fewer_threads_than_asked_for_is_a_failure(artifact: Artifact, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("depthport.runtimes.host.page._ISOLATED", {})
    with pytest.raises(PlacementError, match=r"has 1 threads, not the 2 asked for \(not isolated from other origins\)"):
        BrowserRuntime().load(artifact, "cpu", TWO)


@pytest.mark.browser
def test_weights_in_a_file_of_their_own_are_fetched(artifact: Artifact, tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    model = onnx.load(artifact.file("model.onnx"))
    onnx.save(model, tmp_path / "model.onnx", save_as_external_data=True, location="weights.bin", size_threshold=1024)
    apart = seal(tmp_path, "onnx")
    assert {info.path for info in apart.manifest.files} == {"model.onnx", "weights.bin"}
    found = []
    for each in (artifact, apart):
        subject = Subject(BrowserRuntime(), each, options=TWO)
        with subject.load() as session:
            found.append(infer(session, subject.inputs(0)))
    assert all((found[0][name] == value).all() for name, value in found[1].items())


@pytest.mark.browser
def test_a_file_of_another_signature_is_a_load_error(artifact: Artifact) -> None:
    wrong = replace(artifact.manifest, outputs=artifact.manifest.outputs[:1])
    with pytest.raises(LoadError, match="export it again"):
        BrowserRuntime().load(Artifact(artifact.path, wrong), "cpu", TWO)


# --- without a browser


def test_what_can_not_fit_is_refused_before_it_is_read(tmp_path: Path) -> None:
    manifest = tiny_onnx(tmp_path).manifest
    large = Artifact(tmp_path, replace(manifest, files=(FileInfo("model.onnx", 5 << 30, "0" * 64),)))
    with pytest.raises(UnsupportedError, match=r"5,120 MiB of files, and WebAssembly addresses 4 GiB"):
        runtime._require_room(large)


def test_probe_without_a_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runtime, "find_browser", lambda: None)
    monkeypatch.setattr(runtime, "_missing", lambda: None)
    assert {device.unavailable for device in BrowserRuntime().probe()} == {"no Chromium or Chrome is installed"}


@pytest.mark.parametrize(
    ("package", "reason"),
    [
        (None, "is not installed in"),
        ("{", "is not installed in"),
        (json.dumps({"version": "1.17.1"}), "onnxruntime-web 1.17.1 is too old: 1.23 or newer is needed"),
    ],
)
def test_probe_without_the_library_says_the_line_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, package: str | None, reason: str
) -> None:
    monkeypatch.setenv(runtime.ENV_FOLDER, str(tmp_path))
    if package is not None:
        (tmp_path / "package.json").write_text(package, encoding="utf-8")
    for device in BrowserRuntime().probe():
        assert reason in (device.unavailable or "")
        assert (device.remedy or "").startswith(f"npm install --prefix {sys.prefix} ")


@pytest.mark.parametrize(
    ("found", "unavailable", "numerics"),
    [
        ("the browser has no WebGPU adapter", "the browser has no WebGPU adapter", None),
        ({"name": "swiftshader", "software": True}, None, "its WebGPU adapter is software"),
        ({"name": "NVIDIA ada", "software": False}, None, None),
    ],
)
def test_an_adapter_is_a_device_and_a_software_one_is_for_numbers_alone(
    monkeypatch: pytest.MonkeyPatch, found: object, unavailable: str | None, numerics: str | None
) -> None:
    monkeypatch.setattr(runtime, "_adapter", lambda browser: found)
    device = runtime._gpu("chromium")
    assert device.unavailable == unavailable
    assert (device.numerics_only or "").startswith(numerics or "") and bool(device.numerics_only) == bool(numerics)


def test_the_adapter_is_small() -> None:
    folder = Path(sys.modules[BrowserRuntime.__module__].__file__ or "").parent
    assert not [path.name for path in folder.glob("*.py") if len(path.read_text(encoding="utf-8").splitlines()) > 250]
