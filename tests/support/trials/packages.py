"""Readers of packages and programs, fed damaged ones."""

from __future__ import annotations

import io
import json
import os
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random

from tests.support.trials.mutations import damage, json_bytes

PACKAGE = "DEPTHPORT_CORE_ML_PACKAGE"
"""A Core ML package to damage, where coremltools is not here to make one."""


def core_ml(folder: Path) -> Callable[[Random], None]:
    from depthport.exporters.coreml.inspect import inspect_package
    from tests.support.coreml.damage import MODEL, WEIGHTS

    if given := os.environ.get(PACKAGE):
        good = Path(given)
    else:
        from tests.support.coreml.mini import mini_package

        good = mini_package(folder / "store")
    names = (MODEL, WEIGHTS, "Manifest.json")
    contents = {name: (good / name).read_bytes() for name in names}
    path = folder / "model.mlpackage"

    def read(random: Random) -> None:
        shutil.rmtree(path, ignore_errors=True)
        shutil.copytree(good, path)
        for name in random.sample(names, random.choice((1, 1, 2))):
            (path / name).write_bytes(damage(contents[name], random))
        inspect_package(path, run=False)

    return read


def program(folder: Path) -> Callable[[Random], None]:
    """The archive of a PyTorch program, on a small one made here."""
    import torch

    from depthport.exporters.pytorch.program import strip
    from depthport.runtimes.pytorch.archive import checked_archive
    from depthport.runtimes.pytorch.program import is_operator

    class Small(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.layer = torch.nn.Linear(3, 2)

        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return torch.nn.functional.gelu(self.layer(x)).sum(-1)

    program = torch.export.export(Small(), (torch.zeros(4, 3),), strict=False)
    strip(program)
    good = folder / "good.pt2"
    torch.export.save(program, good, extra_files={"parameters.json": "{}"})
    with zipfile.ZipFile(good) as archive:
        entries = {name: archive.read(name) for name in archive.namelist()}
    checked_archive(good, is_operator)
    path = folder / "program.pt2"

    def read(random: Random) -> None:
        changed = dict(entries)
        name = random.choice([n for n in entries if n.endswith(".json")])
        changed[name] = json_bytes(json.loads(entries[name]), random)
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as target:
            for entry, content in changed.items():
                target.writestr(entry, content)
        path.write_bytes(damage(buffer.getvalue(), random) if random.random() < 0.3 else buffer.getvalue())
        checked_archive(path, is_operator)

    return read
