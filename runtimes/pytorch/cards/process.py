"""The process of one card: loads its share, answers its session (:mod:`depthport.runtimes.pytorch.cards.link`)."""

from __future__ import annotations

import sys
import traceback
from multiprocessing.connection import Connection
from pathlib import Path
from typing import TYPE_CHECKING, Any

from depthport.exporters.core.artifact import load_artifact
from depthport.exporters.core.errors import DepthportError
from depthport.exporters.core.nvidia import begin_context
from depthport.runtimes.base import LoadOptions
from depthport.runtimes.host.processes import die_with_parent
from depthport.runtimes.pytorch.cards.shared import shared_arrays

if TYPE_CHECKING:
    from depthport.runtimes.pytorch.cards.shard import ShardSession

_ANSWERED = ("load", "bind", "synchronize", "outputs", "report")


class Card:
    """State of the process."""

    def __init__(self) -> None:
        self.session: ShardSession | None = None
        self._failure: Exception | None = None

    def load(
        self,
        artifact: Path,
        folder: Path,
        shares: tuple[int, ...],
        rank: int,
        device: str,
        threads: int,
        memory_fraction: float | None,
        cache_dir: Path | None,
    ) -> None:
        """Join the other cards and load."""
        if device.startswith("cuda:"):
            begin_context(int(device.removeprefix("cuda:")))
        import torch

        kind = torch.device(device).type
        if kind == "cuda":
            torch.cuda.set_device(device)
        torch.distributed.init_process_group(
            "nccl" if kind == "cuda" else "gloo", init_method=f"file://{folder}/meeting", rank=rank, world_size=len(shares)
        )
        from depthport.runtimes.pytorch.cards.shard import ShardSession

        opened = load_artifact(artifact)
        options = LoadOptions("fused", threads=threads, memory_fraction=memory_fraction, cache_dir=cache_dir)
        self.session = ShardSession(opened, device, options, shares, rank)
        self._given = shared_arrays(folder, opened.manifest.inputs, create=False)
        self._found = shared_arrays(folder, opened.manifest.outputs, create=False)

    def bind(self) -> None:
        session = self._session()
        session.bind({name: array[:, session.views] for name, array in self._given.items()})

    def run(self) -> None:
        """Enqueue; nobody waits for an answer, so what fails here is said when one is asked for."""
        try:
            self._session().run()
        except DepthportError as error:
            self._failure = error

    def synchronize(self) -> None:
        if self._failure is not None:
            failure, self._failure = self._failure, None
            raise failure
        self._session().synchronize()

    def outputs(self) -> dict[str, object]:
        """Into the shared arrays; what is one a scene in the answer as well."""
        session = self._session()
        found = session.outputs()
        per_scene = {name: array for name, array in found.items() if array.ndim < 2}
        for name, array in found.items():
            if name not in per_scene:
                self._found[name][:, session.views] = array
            elif session.views.start == 0:
                self._found[name][...] = array
        return {name: array.tolist() for name, array in per_scene.items()}

    def report(self) -> dict[str, object]:
        session = self._session()
        placement, peak = session.placement(), session.memory().device_peak_mib
        details = {"device": placement.device, **placement.details, "device_peak_mib": peak}
        return {"details": details, "fallback": placement.fallback, "peak_mib": peak}

    def close(self) -> None:
        import torch

        if self.session is not None:
            self.session.close()
            torch.distributed.destroy_process_group()

    def _session(self) -> ShardSession:
        assert self.session is not None
        return self.session


def main() -> None:
    """Answer until the session closes or goes away."""
    die_with_parent()
    connection = Connection(int(sys.argv[1]))
    card = Card()
    while True:
        try:
            operation, arguments = connection.recv()
        except EOFError:
            return
        if operation == "close":
            card.close()
            return
        try:
            answer: tuple[str | None, Any] = (None, getattr(card, operation)(**arguments))
        except Exception as error:  # noqa: BLE001 - the boundary: the session raises it again
            traceback.print_exc()
            known = isinstance(error, DepthportError)
            answer = (type(error).__name__, str(error) if known else f"{type(error).__name__}: {error}")
        if operation in _ANSWERED:
            connection.send(answer)


if __name__ == "__main__":
    main()
