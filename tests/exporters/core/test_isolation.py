"""A converter's own process: what it reports comes through, what it must not do it can't, how it ends is told."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from depthport.exporters.core.errors import ExportError, UsageError
from depthport.exporters.core.isolation import call_isolated
from depthport.exporters.core.isolation.call import Isolated

# --- what the child runs


def add(a: int, b: int, progress: Callable[[str], None]) -> dict[str, object]:
    print("converters print")
    progress("adding")
    return {"sum": a + b, "folder": Path.cwd().name, "offline": os.environ["HF_HUB_OFFLINE"]}


def connect(progress: Callable[[str], None]) -> None:
    with socket.socket() as tried:
        tried.connect(("127.0.0.1", 9))


def resolve(progress: Callable[[str], None]) -> None:
    socket.getaddrinfo("example.org", 443)


def install(progress: Callable[[str], None]) -> None:
    subprocess.run([sys.executable, "-m", "pip", "--version"], check=True)


def shell(progress: Callable[[str], None]) -> None:
    os.system("pip --version")


def named(progress: Callable[[str], None]) -> None:
    """Found on no PATH."""
    subprocess.run(["pip", "--version"], check=True)


def granted(progress: Callable[[str], None]) -> str:
    return subprocess.run([sys.executable, "-c", "print(6 * 7)"], check=True, capture_output=True, text=True).stdout.strip()


def interfaces(progress: Callable[[str], None]) -> list[str]:
    return [name for _, name in socket.if_nameindex()]


def die(progress: Callable[[str], None]) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def leave(progress: Callable[[str], None]) -> None:
    print("no more memory", file=sys.stderr)
    os._exit(3)


def refuse(progress: Callable[[str], None]) -> None:
    raise UsageError("such a thing is not made here")


# --- the tests


def call(function: Callable[..., object], folder: Path, **arguments: object) -> Isolated:
    return call_isolated(function, arguments, folder)


@pytest.fixture(autouse=True)
def _importable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(Path(__file__).parents[3]))


def test_result_steps_and_folder_come_through(tmp_path: Path) -> None:
    steps: list[str] = []
    done = call_isolated(add, {"a": 2, "b": 3}, tmp_path, steps.append)
    assert done.value == {"sum": 5, "folder": tmp_path.name, "offline": "1"}
    assert steps == ["adding"]
    assert done.isolation["network"] in ("none (namespace)", "refused in Python")


@pytest.mark.parametrize("function", [connect, resolve])
def test_there_is_no_network(function: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a converter may not use the network"):
        call(function, tmp_path)


@pytest.mark.parametrize("function", [install, shell, named])
def test_no_installer_is_started(function: Callable[..., object], tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="a converter may not start programs"):
        call(function, tmp_path)


def test_a_program_may_be_granted(tmp_path: Path) -> None:
    assert call_isolated(granted, {}, tmp_path, programs=(Path(sys.executable).name,)).value == "42"


def test_a_namespace_holds_no_interface(tmp_path: Path) -> None:
    done = call(interfaces, tmp_path)
    if done.isolation["network"] != "none (namespace)":
        pytest.skip("this system allows no network namespace")
    assert done.value == ["lo"]


@pytest.mark.skipif(os.name != "posix", reason="signals are POSIX")
def test_a_killed_converter_is_an_export_error(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="killed by SIGKILL"):
        call(die, tmp_path)


def test_last_words_are_told(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="exit code 3 and no answer; its last output: no more memory"):
        call(leave, tmp_path)


def test_a_typed_error_keeps_its_line(tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=r"^such a thing is not made here$"):
        call(refuse, tmp_path)
