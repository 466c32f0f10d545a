"""Upstream's answer to the reference view that a cell chose, where rounding decides between several. Pure numpy.

A reference file holds upstream's outputs and, where its own choice is a tie (depthport.exporters.da3.ties), the views that
are tied and its outputs for each other choice.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

Array = np.ndarray

REFERENCE_VIEW = "reference_view"
TIED = "tied"
"""Name of the tied views in a reference file, (B, N) bool."""
MOST_CHOICES = 8
"""Other choices that a reference is computed for: each costs a call of upstream."""


def choice_key(number: int, output: str) -> str:
    """Name in a reference file of an output for the `number`-th other choice."""
    return f"choice{number}.{output}"


def same_choice(outputs: Mapping[str, Array], reference: Mapping[str, Array]) -> tuple[Mapping[str, Array], bool]:
    """Upstream's outputs for the views that `outputs` chose, and whether that broke a tie otherwise than upstream did.

    Where a choice is no tie, or is not known for one of the two, upstream's outputs are returned as they are. Where it is
    a tie of more views than upstream was run for, the reference view alone is.
    """
    chosen, own, tied = outputs.get(REFERENCE_VIEW), reference.get(REFERENCE_VIEW), reference.get(TIED)
    if chosen is None or own is None or tied is None or np.array_equal(chosen, own):
        return reference, False
    expected = {name: value.copy() for name, value in reference.items() if name in outputs}
    for scene in np.flatnonzero(chosen != own):
        view = int(chosen[scene])
        if not (0 <= view < tied.shape[1] and tied[scene, view]):
            return reference, False
        number = next((k for k in range(MOST_CHOICES) if _chose(reference, k, scene) == view), None)
        if number is None:
            return {REFERENCE_VIEW: chosen}, True
        for name in expected:
            expected[name][scene] = reference[choice_key(number, name)][scene]
    return expected, True


def _chose(reference: Mapping[str, Array], number: int, scene: int) -> int | None:
    views = reference.get(choice_key(number, REFERENCE_VIEW))
    return None if views is None else int(views[scene])
