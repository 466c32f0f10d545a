"""A reference to weights: a hub id, a local file or folder, or a seed."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WeightsRef:
    """A complete description of parameters that need not be loaded yet; JSON types only, so that any process reads it."""

    id: str
    """Hugging Face id, file name, or `synthetic:SEED[,outliers]`."""
    sha256: str
    """Hash of the safetensors file, of its shards' names and hashes, or of the recipe where synthetic."""
    synthetic: bool
    licence: str
    path: str | None = None
    """The safetensors file or the index of its shards, absolute; None where synthetic. It holds
    a user's folders, so it never enters a report."""
    stamp: tuple[int, int] | None = None
    """Time of its last change (ns) and size (bytes), of all shards, when it was hashed: another
    file must not be loaded in its place."""
    seed: int | None = None
    outliers: bool = False
    note: str | None = None
    """One line the user should see: why these weights and not the ones they may expect."""

    def facts(self) -> dict[str, object]:
        """Facts for results (JSON types only), with nothing of the machine they lie on."""
        return {
            "id": self.id, "sha256": self.sha256, "synthetic": self.synthetic, "licence": self.licence, "note": self.note,
        }  # fmt: skip
