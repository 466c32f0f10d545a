"""The pipe between manager and worker, with real processes that answer, print, crash, hang and vanish."""

from __future__ import annotations

import os
import sys
import textwrap
import time
from pathlib import Path

import psutil
import pytest

from depthport.bench.workers.channel import Channel, WorkerGone, WorkerTimeout
from depthport.bench.workers.start import worker_environment

WORKER = """
import os, signal, sys, time
from depthport.bench.workers.channel import WorkerEnd
channel = WorkerEnd()
print("noise on stdout before anything", flush=True)
for request in channel.requests():
    if request["op"] == "echo":
        print("noise on stdout")
        os.write(1, b"noise on file descriptor 1\\n")
        channel.send({"event": "progress", "step": "half way"})
        channel.send({"reply": request["value"]})
    elif request["op"] == "exit":
        print("a last word", file=sys.stderr, flush=True)
        os._exit(request["code"])
    elif request["op"] == "signal":
        os.kill(os.getpid(), getattr(signal, request["name"]))
    elif request["op"] == "hang":
        time.sleep(3600)
    elif request["op"] == "silent":
        os.close(channel._out.fileno())
        time.sleep(3600)
"""


@pytest.fixture
def channel() -> Channel:
    found = Channel([sys.executable, "-c", textwrap.dedent(WORKER)], worker_environment())
    yield found
    found.kill()


def test_what_a_backend_prints_is_no_answer(channel: Channel) -> None:
    events: list[dict] = []
    for value in (1, "é", {"nested": [1.5, None]}):
        assert channel.request({"op": "echo", "value": value}, 30, events.append) == {"reply": value}
    assert [e["step"] for e in events] == ["half way"] * 3


def test_a_reply_longer_than_the_pipe_arrives_whole(channel: Channel) -> None:
    value = list(range(200_000))
    assert channel.request({"op": "echo", "value": value}, 60)["reply"] == value


@pytest.mark.parametrize(
    ("request_", "words"),
    [
        ({"op": "exit", "code": 3}, ["exit code 3", "a last word"]),
        ({"op": "signal", "name": "SIGSEGV"}, ["SIGSEGV"]),
        ({"op": "signal", "name": "SIGKILL"}, ["SIGKILL", "want of memory"]),
    ],
)
def test_a_dead_worker_says_how_it_died(channel: Channel, request_: dict, words: list[str]) -> None:
    with pytest.raises(WorkerGone) as gone:
        channel.request(request_, 30)
    for word in words:
        assert word in gone.value.reason
    with pytest.raises(WorkerGone):
        channel.request({"op": "echo", "value": 1}, 5)


@pytest.mark.parametrize("operation", ["hang"])
def test_a_hanging_worker_is_killed_with_its_group(channel: Channel, operation: str) -> None:
    channel.request({"op": "echo", "value": 0}, 30)
    with pytest.raises(WorkerTimeout):
        channel.request({"op": operation}, 0.3)
    assert not psutil.pid_exists(channel.pid) or psutil.Process(channel.pid).status() == psutil.STATUS_ZOMBIE


def test_waiting_uses_no_cpu(channel: Channel) -> None:
    """The parent blocks on the pipe: a parent that polls steals a core from what it measures."""
    channel.request({"op": "echo", "value": 0}, 30)
    before = time.process_time()
    with pytest.raises(WorkerTimeout):
        channel.request({"op": "hang"}, 1.0)
    assert time.process_time() - before < 0.2


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="PR_SET_PDEATHSIG is Linux")
def test_a_worker_dies_with_its_manager(tmp_path: Path) -> None:
    manager = textwrap.dedent(
        f"""
        import sys, time
        from depthport.bench.workers.channel import Channel
        from depthport.bench.workers.start import worker_environment
        channel = Channel([sys.executable, "-c", {textwrap.dedent(WORKER)!r}], worker_environment())
        channel.request({{"op": "echo", "value": 0}}, 30)
        print(channel.pid, flush=True)
        channel.request({{"op": "hang"}}, 3600)
        """
    )
    import subprocess

    process = subprocess.Popen([sys.executable, "-c", manager], stdout=subprocess.PIPE, text=True, env=worker_environment())
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
        return psutil.Process(pid).status() != psutil.STATUS_ZOMBIE
    except (ProcessLookupError, psutil.NoSuchProcess):
        return False
