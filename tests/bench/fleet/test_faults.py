"""What happens to machines: a link that is cut, a full disk, another Python, ssh. Slow; what needs root says so."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

pytest.importorskip("distributed", reason="needs the extra fleet")
pytest.importorskip("tomli", reason="needs the extra fleet")

from tests.bench.fleet.test_dask import JOB, fleet_run
from tests.support.fleet import SITE, Host, describe, hosts, journals, steps_of, wait_for
from tests.support.paths import ROOT

pytestmark = pytest.mark.slow

CUT_S = 30
HERE, THERE = "10.213.77.1", "10.213.77.2"
OTHER_PYTHON = "DEPTHPORT_OTHER_PYTHON"

if TYPE_CHECKING:
    from asyncssh import SSHServerProcess


def system(*command: str) -> None:
    subprocess.run(command, check=True, capture_output=True)


@pytest.fixture
def namespace() -> Iterator[str]:
    """A network of its own, with one link to this one."""
    name = f"fleet{os.getpid()}"
    if os.name != "posix" or shutil.which("ip") is None or os.geteuid() != 0:
        pytest.skip("needs root and iproute2, to make a network namespace")
    try:
        system("ip", "netns", "add", name)
    except subprocess.CalledProcessError as error:
        pytest.skip(f"no network namespace can be made here: {error.stderr.decode().strip()}")
    try:
        system("ip", "link", "add", f"{name}a", "type", "veth", "peer", "name", f"{name}b", "netns", name)
        system("ip", "addr", "add", f"{HERE}/30", "dev", f"{name}a")
        system("ip", "link", "set", f"{name}a", "up")
        system("ip", "-n", name, "addr", "add", f"{THERE}/30", "dev", f"{name}b")
        system("ip", "-n", name, "link", "set", f"{name}b", "up")
        system("ip", "-n", name, "link", "set", "lo", "up")
        yield name
    finally:
        subprocess.run(["ip", "netns", "del", name], check=False)


def test_a_link_that_is_cut_for_half_a_minute_costs_nothing(tmp_path: Path, namespace: str) -> None:
    description = describe(tmp_path, ["far", "near"])
    text = description.read_text().replace("tcp://127.0.0.1", f"tcp://{HERE}")
    text = text.replace('[machine.far]\naddress = "127.0.0.1"', f'[machine.far]\naddress = "{THERE}"')
    description.write_text(text.replace('[machine.near]\naddress = "127.0.0.1"', f'[machine.near]\naddress = "{HERE}"'))
    out = tmp_path / "out"
    running = fleet_run(description, out)
    far = Host(description, "far", tmp_path, seconds=50, prefix=("ip", "netns", "exec", namespace))
    with hosts(far, Host(description, "near", tmp_path)):
        wait_for(lambda: max(journals(far), default=0) > 1)
        system("ip", "-n", namespace, "link", "set", f"{namespace}b", "down")
        cut = time.time()
        time.sleep(CUT_S)
        mended = time.time()
        assert running.state("near") == "done", "the other did not go on"
        system("ip", "-n", namespace, "link", "set", f"{namespace}b", "up")
        rows = running.end(180)
    assert {name: row.state() for name, row in rows.machines.items()} == {"far": "done", "near": "done"}
    assert any(line[0] == "far" and "silent for" in line[4] for line in running.seen)
    steps = steps_of(out / "far" / JOB / "results.json")
    assert len(steps) == 10 and len({pid for pid, _ in steps}) == 1, "the measurement was disturbed"
    assert sum(cut < when < mended for _, when in steps) > 1, "the measurement waited for the link"


def test_a_full_disk_is_that_machine_s_row(tmp_path: Path) -> None:
    description = describe(tmp_path, ["full", "fine"])
    out = tmp_path / "out"
    folder = tmp_path / "cache-full"
    folder.mkdir()
    try:
        system("mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder))
    except (OSError, subprocess.CalledProcessError) as error:
        pytest.skip(f"needs root, to mount a small disk: {error}")
    try:
        running = fleet_run(description, out)
        full = Host(description, "full", tmp_path, environment={"DEPTHPORT_FAKE_BYTES": str(8 << 20)})
        with hosts(full, Host(description, "fine", tmp_path)):
            rows = running.end()
    finally:
        system("umount", "-l", str(folder))
    assert rows.machines["fine"].state() == "done"
    assert rows.machines["full"].state() == "failed" and "the disk is full" in rows.machines["full"].why()


def test_another_python_without_torch(tmp_path: Path) -> None:
    python = os.environ.get(OTHER_PYTHON)
    if python is None:
        pytest.skip(f"name the Python of another environment that has depthport[fleet]: {OTHER_PYTHON}")
    description = describe(tmp_path, ["other", "same"])
    out = tmp_path / "out"
    running = fleet_run(description, out)
    with hosts(Host(description, "other", tmp_path, python=python), Host(description, "same", tmp_path)):
        rows = running.end()
    assert {name: row.state() for name, row in rows.machines.items()} == {"other": "done", "same": "done"}


def test_a_machine_without_torch_says_what_it_lacks_and_others_are_measured(tmp_path: Path) -> None:
    python = os.environ.get(OTHER_PYTHON)
    if python is None:
        pytest.skip(f"name the Python of another environment that has depthport[fleet]: {OTHER_PYTHON}")
    bench = """
[[bench]]
shapes = ["1x28x28"]
weights = "synthetic:0"
images = ["photo.png"]
protocol = "quick"
budget_s = 5
runtimes = ["onnxruntime"]
[[export]]
shapes = ["1x28x28"]
weights = "synthetic:0"
formats = ["onnx"]
target = "ort-cpu"
"""
    description = describe(tmp_path, ["bare", "whole"], bench=bench, whole='makes = ["onnx@ort-cpu"]')
    out = tmp_path / "out"
    running = fleet_run(description, out)
    with hosts(
        Host(description, "bare", tmp_path, python=python, seconds=None), Host(description, "whole", tmp_path, seconds=None)
    ):
        rows = running.end(580)
    assert rows.machines["whole"].state() == "done", rows.table()
    assert rows.machines["bare"].state() == "failed", rows.table()
    assert rows.machines["bare"].why().endswith("pip install opencv-python-headless"), rows.table()
    made = next((out / "whole").glob("*/*/artifact.json"))
    assert (made.parent.parent / "made.json").is_file() and (made.parent / "model.onnx").stat().st_size > 1000


@contextmanager
def ssh_server(folder: Path) -> Iterator[str]:
    """An SSH server here that runs what it is asked to; its `ssh` table for a machine."""
    asyncssh = pytest.importorskip("asyncssh", reason="needs the extra fleet")
    key, host_key = asyncssh.generate_private_key("ssh-ed25519"), asyncssh.generate_private_key("ssh-ed25519")
    key.write_private_key(str(folder / "id"))
    (folder / "authorized").write_bytes(key.export_public_key())
    (folder / "id").chmod(0o600)
    environment = {**os.environ, "DEPTHPORT_CACHE": str(folder / "cache-ssh"), "DEPTHPORT_FAKE_S": "1"}
    environment["PYTHONPATH"] = os.pathsep.join([str(SITE), str(ROOT)])

    async def run(process: SSHServerProcess[bytes]) -> None:
        child = await asyncio.create_subprocess_shell(
            process.command or "", stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=environment,
            start_new_session=True,
        )  # fmt: skip
        await process.redirect(stdin=child.stdin, stdout=child.stdout, stderr=child.stderr)
        try:
            process.exit(await child.wait() or 0)
        finally:
            if child.returncode is None:
                os.killpg(child.pid, 9)

    loop, ready, port = asyncio.new_event_loop(), threading.Event(), []

    async def serve() -> None:
        server = await asyncssh.listen(
            "127.0.0.1",
            0,
            server_host_keys=[host_key],
            authorized_client_keys=str(folder / "authorized"),
            process_factory=run,
        )
        port.append(server.sockets[0].getsockname()[1])
        ready.set()
        await asyncio.Event().wait()

    task = loop.create_task(serve())
    thread = threading.Thread(
        target=lambda: loop.run_until_complete(asyncio.gather(task, return_exceptions=True)), daemon=True
    )
    thread.start()
    assert ready.wait(20)
    public = host_key.export_public_key().decode().strip()
    (folder / "known").write_text(f"[127.0.0.1]:{port[0]} {public}\n")
    try:
        yield f'ssh = {{ user = "u", port = {port[0]}, key = "{folder / "id"}", known_hosts = "{folder / "known"}" }}'
    finally:
        loop.call_soon_threadsafe(task.cancel)
        thread.join(10)


def test_a_worker_is_started_over_ssh_and_one_host_that_refuses_does_not_end_the_fleet(tmp_path: Path) -> None:
    with ssh_server(tmp_path) as table:
        python = f'python = "{sys.executable}"'
        closed = 'ssh = { user = "u", port = 1 }'
        description = describe(tmp_path, ["far", "closed"], far=f"{table}\n{python}", closed=closed)
        out = tmp_path / "out"
        rows = fleet_run(description, out, patience_s=20).end(120)
    assert rows.machines["far"].state() == "done", rows.table()
    assert rows.machines["closed"].state() == "left out" and "over ssh" in rows.machines["closed"].why()
