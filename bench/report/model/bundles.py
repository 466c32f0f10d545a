"""Runs of a fleet: whether they are of one frozen suite, and in what two suites differ."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from depthport.bench.results.load_results import ResultsFile
from depthport.bench.results.model import BundleRef
from depthport.exporters.core.errors import UsageError
from depthport.exporters.core.provenance import canonical_sha256

_SHOWN = 3
"""Differences that a message names."""


def check_bundles(files: Sequence[ResultsFile]) -> list[str]:
    """Refuse results of different suites; a note for each that belongs to none although others do.

    Raises:
        UsageError: two bundles differ, or one's hash is not that of its contents; the message says in what.
    """
    bundles = [(number, file.results.bundle) for number, file in enumerate(files, 1)]
    carried = [(number, bundle) for number, bundle in bundles if bundle is not None]
    for number, bundle in carried:
        if canonical_sha256(bundle.contents) != bundle.sha256:
            raise UsageError(f"file {number} carries a bundle whose hash does not match its contents: measure it again")
    for number, bundle in carried[1:]:
        first = carried[0][1]
        if bundle.sha256 != first.sha256:
            found = list(differences(first.contents, bundle.contents))
            more = f" and {len(found) - _SHOWN} more" if len(found) > _SHOWN else ""
            raise UsageError(
                f"files {carried[0][0]} and {number} are of different bundles ({_where(first)}, {_where(bundle)}): "
                f"{'; '.join(found[:_SHOWN])}{more}: measure one bundle on both, or report them apart"
            )
    if not carried:
        return []
    return [f"file {n} belongs to no bundle: it may have measured another suite" for n, b in bundles if b is None]


def differences(first: Mapping[str, object], second: Mapping[str, object], where: str = "") -> Iterator[str]:
    """Each place in which two bundles' contents differ, with both values."""
    for name in dict.fromkeys((*first, *second)):
        place = f"{where}.{name}".lstrip(".")
        one, other = first.get(name), second.get(name)
        if isinstance(one, Mapping) and isinstance(other, Mapping):
            yield from differences(one, other, place)
        elif one != other:
            yield f"{place} is {_short(one)} and {_short(other)}"


def _where(bundle: BundleRef) -> str:
    return f"{bundle.machine} {bundle.sha256[:12]}"


def _short(value: object) -> str:
    text = "nothing" if value is None else str(value)
    return text if len(text) <= 40 else f"{text[:39]}…"
