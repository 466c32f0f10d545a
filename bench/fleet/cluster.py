"""The fleet's Dask cluster: its scheduler, its workers by name, TLS, and settings that leave a machine alone.

What Dask is used for as it is: the connections, the queue of tasks, the resources that pin a task to a machine and keep a
machine at one task, a lost worker's tasks going back into the queue, events, SSH. Where it does not fit:

* `SSHCluster` gives every host the same options and fails as a whole where one host fails: the workers that it is made of
  (`distributed.deploy.ssh.Worker`) are started one by one.
* A worker samples its own stack 100 times a second, and its event loop, its memory and the interpreter's lock besides;
  a machine that is measured on can't have that (:data:`QUIET`).
* Resources count within one scheduler. Two fleets on one machine are kept apart by a lock there
  (bench/fleet/conditions.py).
"""

from __future__ import annotations

import asyncio
import logging
import os
import shlex
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any

from depthport.bench.fleet.description import Fleet, Machine, Tls, addressed
from depthport.bench.fleet.remote import root
from depthport.exporters.core import install
from depthport.exporters.core.errors import DepthportError, UnavailableError, UsageError, one_line
from depthport.exporters.core.files.paths import user_path

if TYPE_CHECKING:
    from distributed import Client, Future, Security

CUT_S = 300
"""Time a connection may be silent: a shorter interruption of the link costs nothing."""
QUIET: dict[str, Any] = {
    "distributed.worker.profile.enabled": False,
    "distributed.worker.memory.target": False,
    "distributed.worker.memory.spill": False,
    "distributed.worker.memory.pause": False,
    "distributed.worker.memory.terminate": False,
    "distributed.admin.tick.interval": "2s",
    "distributed.admin.tick.limit": "60s",
    "distributed.admin.system-monitor.interval": "30s",
    "distributed.admin.system-monitor.gil.enabled": False,
    "distributed.comm.timeouts.tcp": f"{CUT_S}s",
    "distributed.scheduler.worker-ttl": f"{2 * CUT_S}s",
    "distributed.scheduler.allowed-failures": 20,
    "distributed.scheduler.work-stealing": False,
    "distributed.scheduler.http.routes": [],
    "distributed.worker.http.routes": [],
}
_NO_PAGES: dict[str, Any] = {"dashboard": False, "dashboard_address": "127.0.0.1:0"}
"""Dask's dashboard has neither TLS nor a password: the server that remains serves nothing, to this machine alone."""
_AGAIN_S = 2.0
"""Pause before a worker that has ended is restarted."""
_REACH_S = 3.0
_MISSING = f"fleets need their packages: {install.FLEET}"


class Lost(DepthportError):
    """The scheduler can't be reached; what the machines have finished is on them."""


def resource_of(machine: str) -> str:
    """The Dask resource that one machine's worker has one of."""
    return f"depthport-{machine}"


class Cluster:
    """A client of the scheduler, and requests to single machines."""

    def __init__(self, client: Client, address: str, own_tls: Tls | None) -> None:
        self.client = client
        self.address = address
        self._own_tls = own_tls
        self._ssh: dict[str, Any] = {}
        self._heard: dict[str, tuple[float, float]] = {}
        """Worker's address -> when it was last heard of, by the scheduler's clock, and when that changed, by ours."""

    def workers(self) -> dict[str, tuple[str, float]]:
        """Worker's name -> its address and the seconds since it was last heard of.

        Raises:
            Lost: the scheduler is gone.
        """
        if self.client.status not in ("running", "connecting"):
            raise Lost("lost the scheduler: once it is back, the same command resumes")
        try:
            found = self.client.scheduler_info(n_workers=-1).get("workers", {})
        except (OSError, asyncio.TimeoutError) as error:
            raise Lost(f"lost the scheduler ({one_line(error)}): once it is back, the same command resumes") from error
        now, workers = time.monotonic(), {}
        for address, worker in found.items():
            told = float(worker.get("last_seen", 0.0))
            # By this machine's clock alone: the scheduler's may be another.
            if self._heard.get(address, (0.0, now))[0] != told:
                self._heard[address] = (told, now)
            workers[str(worker["name"])] = (address, now - self._heard.get(address, (told, now))[1])
        return workers

    def ask(self, address: str, function: Callable[..., Any], *args: Any) -> Any:
        """Call a function of bench/fleet/remote.py on a worker, beside what it is doing.

        Raises:
            OSError, TimeoutError: the connection broke, or the machine's disk did.
            DepthportError: it could not do that.
        """
        try:
            found = self.client.run(function, *args, workers=[address])
        except asyncio.TimeoutError as error:  # not Python's own before 3.11
            raise TimeoutError(str(error)) from error
        except (DepthportError, OSError):
            raise
        except Exception as error:
            name = type(error).__name__
            raise DepthportError(f"it could not {function.__name__} ({name}: {one_line(error)}): check it") from error
        if address not in found:
            raise ConnectionError("the machine disconnected during the request")
        return found[address]

    def submit(self, function: Callable[[str], str], order: str, machine: str, key: str) -> Future[str]:
        """Queue a task for a machine, wherever and whenever its worker is."""
        return self.client.submit(function, order, key=key, pure=False, resources={resource_of(machine): 1})

    def start_by_ssh(self, name: str, machine: Machine) -> None:
        """Start Dask's worker on a machine, in its own Python.

        Raises:
            UnavailableError: it can't be reached or has no Dask.
        """
        self.client.sync(self._start_by_ssh, name, machine)

    async def _start_by_ssh(self, name: str, machine: Machine) -> None:
        import dask
        from distributed.deploy.ssh import Worker

        assert machine.ssh is not None
        options = {
            "username": machine.ssh.user,
            "port": machine.ssh.port,
            "client_keys": [str(user_path(machine.ssh.key))] if machine.ssh.key else None,
            "known_hosts": str(user_path(machine.ssh.known_hosts)) if machine.ssh.known_hosts else None,
        }
        worker = Worker(
            scheduler=self.address,
            address=machine.address,
            connect_options={name: value for name, value in options.items() if value is not None},
            remote_python=shlex.quote(machine.python),
            worker_class="distributed.Worker",
            # Of this machine's own name in the fleet; listens where the description says.
            kwargs={
                "name": name, "nthreads": 1, "memory_limit": 0, **_NO_PAGES,
                **({"port": machine.port} if machine.port else {}),
            },
        )  # fmt: skip
        with suppress(Exception):  # the one before it, if any, has ended
            await self._ssh.pop(name).close()
        tls = machine.tls or self._own_tls
        # Dask sends its configuration along, which names the files; never their content.
        with dask.config.set({**QUIET, **(_tls_config(tls) if tls else {})}):
            try:
                await asyncio.wait_for(worker, 60)
            except Exception as error:  # asyncssh's, the system's and Dask's own, which is a bare Exception
                raise UnavailableError(f"its worker did not start over ssh: {one_line(error)}") from error
        self._ssh[name] = worker

    def close(self) -> None:
        async def all_closed() -> None:
            for worker in self._ssh.values():
                with suppress(Exception):  # its machine may be gone
                    await worker.close()

        if self._ssh:
            with suppress(Exception):
                self.client.sync(all_closed)


@contextmanager
def connected(fleet: Fleet, scheduler: str | None) -> Iterator[Cluster]:
    """The scheduler that `scheduler` or the description names: joined where one runs there, else started here.

    Raises:
        UsageError: none is named, the address is not this machine's, or is in use.
        UnavailableError: the extra `fleet` is not installed, or nothing answers at `scheduler`.
    """
    address = _address(fleet, scheduler)
    where = addressed(address)
    try:
        import dask
        from distributed import Client, Scheduler
        from distributed.deploy.spec import SpecCluster
    except ImportError:
        raise UnavailableError(_MISSING) from None
    for name in ("distributed", "asyncssh"):
        logging.getLogger(name).setLevel(logging.CRITICAL)  # what a user must know is a row of the view
    dask.config.set(QUIET)
    security = _security(fleet.tls) if where["protocol"] == "tls" else None
    started = None
    try:
        if scheduler is None and not _answers(where["host"], where["port"]):
            started = SpecCluster(
                scheduler={"cls": Scheduler, "options": {**where, **_NO_PAGES, "security": security}},
                workers={}, security=security, silence_logs=logging.CRITICAL,
            )  # fmt: skip
        client = Client(address, security=security, timeout=10, set_as_default=False)
    except (OSError, RuntimeError, ValueError, TimeoutError, asyncio.TimeoutError) as error:
        if started is not None:
            started.close()
        raise UnavailableError(f"no scheduler at {address}: {one_line(error)}") from error
    cluster = Cluster(client, address, fleet.tls)
    try:
        yield cluster
    finally:
        cluster.close()
        client.close(timeout=5)
        if started is not None:
            started.close(timeout=10)


def is_from(machine: Machine, worker: str) -> bool:
    """Return whether a worker's address is the machine's: anyone can use its name."""
    host = worker.partition("://")[2].rpartition(":")[0].strip("[]")
    try:
        known = {str(found[4][0]) for found in socket.getaddrinfo(machine.address, None)}
    except OSError:
        known = set()
    return host in known | {machine.address}


def worker_command(name: str, machine: Machine, address: str, tls: Tls | None, folder: str) -> list[str]:
    """Dask's own worker as a machine of the fleet starts it by hand."""
    files = ["--tls-ca-file", tls.ca, "--tls-cert", tls.cert, "--tls-key", tls.key] if tls else []
    port = ["--worker-port", str(machine.port)] if machine.port else []
    return [
        sys.executable, "-m", "distributed.cli.dask_worker", address, "--name", name, "--nthreads", "1", "--no-nanny",
        "--memory-limit", "0", "--no-dashboard", "--dashboard-address", _NO_PAGES["dashboard_address"],
        "--local-directory", folder, *port, *files,
    ]  # fmt: skip


def join(name: str, fleet: Fleet, scheduler: str | None) -> None:
    """Be a machine of the fleet until stopped: Dask's worker, started again whenever it has ended.

    Raises:
        UsageError: no scheduler is named.
        UnavailableError: the extra `fleet` is not installed.
    """
    try:
        import dask
    except ImportError:
        raise UnavailableError(_MISSING) from None
    address, tls = _address(fleet, scheduler), fleet.machine[name].tls or fleet.tls
    environment = {**os.environ, "DASK_INTERNAL_INHERIT_CONFIG": dask.config.serialize(QUIET)}
    while True:
        command = worker_command(name, fleet.machine[name], address, tls, str(root() / "dask"))
        # A folder of the user's own: Python looks for modules where it is started.
        subprocess.run(command, env=environment, cwd=root(), check=False)
        time.sleep(_AGAIN_S)


def _address(fleet: Fleet, scheduler: str | None) -> str:
    address = scheduler or fleet.scheduler
    if address is None:
        raise UsageError("no scheduler is named: write scheduler = 'tls://HOST:PORT' in it, or give --scheduler")
    if addressed(address)["protocol"] == "tls" and fleet.tls is None:
        raise UsageError(f"{address} needs a [tls] table: name ca, cert and key")
    return address


def _security(tls: Tls | None) -> Security:
    from distributed import Security

    assert tls is not None
    for path in (tls.ca, tls.cert, tls.key):
        if not user_path(path).is_file():
            raise UsageError(f"[tls] names {path}, which is not a file here: make it, or correct the path")
    ca, cert, key = (str(user_path(path).absolute()) for path in (tls.ca, tls.cert, tls.key))
    return Security(
        require_encryption=True, tls_ca_file=ca, tls_client_cert=cert, tls_client_key=key, tls_scheduler_cert=cert,
        tls_scheduler_key=key, tls_worker_cert=cert, tls_worker_key=key,
    )  # fmt: skip


def _tls_config(tls: Tls) -> dict[str, Any]:
    return {
        "distributed.comm.require-encryption": True,
        "distributed.comm.tls.ca-file": tls.ca,
        "distributed.comm.tls.worker.cert": tls.cert,
        "distributed.comm.tls.worker.key": tls.key,
    }


def _answers(host: str, port: int) -> bool:
    with suppress(OSError), socket.create_connection((host, port), timeout=_REACH_S):
        return True
    return False
