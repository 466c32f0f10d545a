"""The session of a scene that several cards share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from depthport.exporters.core.artifact import Artifact
from depthport.exporters.core.errors import RunError, UnsupportedError
from depthport.exporters.da3.fused.cards import views_by_card
from depthport.runtimes.base import Arrays, LoadOptions, Placement, Session, SessionMemory
from depthport.runtimes.host.threads import allowed_threads
from depthport.runtimes.pytorch.cards.link import CardProcesses
from depthport.runtimes.pytorch.cards.shared import shared_arrays, shared_folder

REFERENCE = "reference_view"


class CardsSession(Session):
    """Tells the processes of its cards what to do; see :mod:`depthport.runtimes.pytorch.cards`."""

    def __init__(self, artifact: Artifact, device: str, options: LoadOptions, cards: Sequence[str]) -> None:
        """Start one process per GPU and load the artifact in each.

        Args:
            artifact, device, options: as for every session.
            cards: torch's names of the devices, in the order in which they take the views.

        Raises:
            UnsupportedError: fewer views than cards, a batch of scenes, heads that can't be shared out, or an artifact of
                another target.
            LoadError, UnavailableError: as one card raises them, with its name.
        """
        super().__init__(artifact, device, options)
        shape = artifact.manifest.shape
        if shape.batch > 1:
            raise UnsupportedError(
                f"{device}: several GPUs share one scene, not a batch of {shape.batch}: run each scene on its own GPU"
            )
        self._shares = views_by_card(shape.views, len(cards))
        self._folder = shared_folder()
        folder = Path(self._folder.name)
        self._given = shared_arrays(folder, artifact.manifest.inputs, create=True)
        self._found = shared_arrays(folder, artifact.manifest.outputs, create=True)
        self._cards = CardProcesses(cards)
        common = {
            "artifact": artifact.path,
            "folder": folder,
            "shares": self._shares,
            "threads": max(1, (options.threads or allowed_threads()) // len(cards)),
            "memory_fraction": options.memory_fraction,
            "cache_dir": options.cache_dir,
        }
        try:
            self._cards.ask("load", [{**common, "rank": rank, "device": card} for rank, card in enumerate(cards)])
        except BaseException:
            self._close()
            raise

    @property
    def pids(self) -> tuple[int, ...]:
        """Ids of the processes, in the order of the GPUs."""
        return self._cards.pids

    def _bind(self, inputs: Mapping[str, np.ndarray]) -> None:
        for name, array in self._given.items():
            array[...] = inputs[name]
        self._cards.ask("bind")

    def _run(self) -> None:
        self._cards.tell("run")

    def _synchronize(self) -> None:
        self._cards.ask("synchronize")

    def _outputs(self) -> Arrays:
        references = [answer[REFERENCE] for answer in self._cards.ask("outputs")]
        if any(reference != references[0] for reference in references):
            raise RunError(f"the GPUs chose different reference views: {references}")
        return {name: np.array(array) for name, array in self._found.items()}

    def placement(self) -> Placement:
        reports = self._cards.ask("report")
        details = {"views_by_card": list(self._shares), "cards": [report["details"] for report in reports]}
        return Placement(self.device, details, fallback=tuple(name for r in reports for name in r["fallback"]))

    def memory(self) -> SessionMemory:
        """Peak memory of the GPU that took most."""
        peaks = [report["peak_mib"] for report in self._cards.ask("report")]
        return SessionMemory(None if None in peaks else max(peaks))

    def _close(self) -> None:
        self._cards.close()
        self._given, self._found = {}, {}
        self._folder.cleanup()
