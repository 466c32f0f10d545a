"""The pipe between manager and worker, with real processes that answer, print, crash, hang and vanish."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import Struct

from depthport.bench.results.model import Status
from depthport.bench.workers.channel import Channel, RequestFailed, WorkerGone, WorkerTimeout
from depthport.bench.workers.messages import Failure, Request
from depthport.bench.workers.start import worker_environment
from tests.support.paths import ROOT

WORKER = """
import json, os, signal, sys, time
from depthport.bench.workers.channel import WorkerEnd
from depthport.bench.workers.messages import Answer, Failure
channel = WorkerEnd()
print("noise on stdout before anything", flush=True)
for line in channel.lines():
    request = json.loads(line)
    if request["do"] == "echo":
        print("noise on stdout")
        os.write(1, b"noise on file descriptor 1\\n")
        channel.progress("half way")
        channel.send(Answer(reply={"value": request["value"]}))
    elif request["do"] == "exit":
        print("a last word", file=sys.stderr, flush=True)
        os._exit(request["value"])
    elif request["do"] == "signal":
        os.kill(os.getpid(), getattr(signal, request["value"]))
    elif request["do"] == "fail":
        channel.send(Answer(failure=Failure("unsupported", request["value"])))
    elif request["do"] == "hang":
        time.sleep(3600)
"""


class Value(Struct, frozen=True):
    value: Any


class Ask(Request[Value], frozen=True):
    reply = Value
    do: str
    value: Any = None


@pytest.fixture
def channel() -> Iterator[Channel]:
    found = Channel([sys.executable, "-c", textwrap.dedent(WORKER)], worker_environment())
    yield found
    found.kill()


def test_what_a_backend_prints_is_no_answer(channel: Channel) -> None:
    steps: list[str] = []
    for value in (1, "é", {"nested": [1.5, None]}):
        assert channel.request(Ask(do="echo", value=value), 30, steps.append) == Value(value)
    assert steps == ["half way"] * 3


def test_a_failure_is_typed_and_the_worker_lives_on(channel: Channel) -> None:
    with pytest.raises(RequestFailed, match="not here") as failed:
        channel.request(Ask(do="fail", value="not here"), 30)
    assert failed.value.failure == Failure(Status.UNSUPPORTED, "not here")
    assert channel.request(Ask(do="echo", value=1), 30) == Value(1)


def test_a_reply_longer_than_the_pipe_arrives_whole(channel: Channel) -> None:
    value = list(range(200_000))
    assert channel.request(Ask(do="echo", value=value), 60).value == value


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        (Ask(do="exit", value=3), ["exit code 3", "a last word"]),
        (Ask(do="signal", value="SIGSEGV"), ["SIGSEGV"]),
        (Ask(do="signal", value="SIGKILL"), ["SIGKILL", "lack of memory"]),
    ],
)
def test_a_dead_worker_says_how_it_died(channel: Channel, request_: Ask, words: list[str]) -> None:
    with pytest.raises(WorkerGone) as gone:
        channel.request(request_, 30)
    for word in words:
        assert word in gone.value.reason
    with pytest.raises(WorkerGone):
        channel.request(Ask(do="echo", value=1), 5)


def test_a_hanging_worker_is_killed_with_its_group(channel: Channel) -> None:
    channel.request(Ask(do="echo", value=0), 30)
    with pytest.raises(WorkerTimeout):
        channel.request(Ask(do="hang"), 0.3)
    assert not psutil.pid_exists(channel.pid) or psutil.Process(channel.pid).status() == psutil.STATUS_ZOMBIE


def test_waiting_uses_no_cpu(channel: Channel) -> None:
    """The parent blocks on the pipe: a parent that polls steals a core from what it measures."""
    channel.request(Ask(do="echo", value=0), 30)
    before = time.process_time()
    with pytest.raises(WorkerTimeout):
        channel.request(Ask(do="hang"), 1.0)
    assert time.process_time() - before < 0.2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
def test_a_worker_dies_with_its_manager(tmp_path: Path) -> None:
    manager = textwrap.dedent(
        f"""
        import sys, time
        from depthport.bench.workers.channel import Channel
        from depthport.bench.workers.start import worker_environment
        channel = Channel([sys.executable, "-c", {textwrap.dedent(WORKER)!r}], worker_environment())
        sys.path.insert(0, {str(ROOT)!r})
        from tests.bench.workers.test_channel import Ask
        channel.request(Ask(do="echo", value=0), 30)
        print(channel.pid, flush=True)
        channel.request(Ask(do="hang"), 3600)
        """
    )
    import subprocess

    process = subprocess.Popen(
        [sys.executable, "-c", manager], stdout=subprocess.PIPE, text=True, env=worker_environment(), cwd=ROOT
    )
    assert process.stdout is not None
    worker = int(process.stdout.readline())
    process.kill()
    process.wait()
    deadline = time.monotonic() + 20
    while _alive(worker) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not _alive(worker)


def _alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
        return bool(psutil.Process(pid).status() != psutil.STATUS_ZOMBIE)
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
