"""Start of a worker: it finds our package and what its interpreter has installed, and no stray files.

`python -m` and `python -c` put the working directory first on the path: a folder `bench`, `torch` or a `queue.py` beside
the user would be imported in place of the real one. Python has a flag against that from 3.11 on (`-P`); isolated mode
(`-I`) also drops packages installed for the user alone and the fixed hash seed. So a few lines come first that take the
working directory off the path before anything is imported, put our package in place, and append what the manager's own
path has beyond the installed packages, last, where it can shadow nothing.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path

ASLEEP = {"OMP_WAIT_POLICY": "PASSIVE", "KMP_BLOCKTIME": "0", "GOMP_SPINCOUNT": "0"}
"""Environment in which threads that have nothing to do sleep instead of spinning, for others want the CPU."""

_BEGIN = """
import sys
sys.path[:] = [entry for entry in sys.path if entry]
import importlib.util
found = importlib.util.spec_from_file_location(
    "depthport", sys.argv[2] + "/__init__.py", submodule_search_locations=[sys.argv[2]])
sys.modules["depthport"] = module = importlib.util.module_from_spec(found)
found.loader.exec_module(module)
sys.path += [entry for entry in sys.argv[3:] if entry not in sys.path]
import runpy
runpy.run_module(sys.argv[1], run_name="__main__", alter_sys=True)
"""


def worker_command(python: str | None, module: str) -> list[str]:
    """The command line of a worker that runs `module` with `python` (this interpreter by default).

    Another interpreter gets our package and its own packages, and none of this one's: they were built for this one.
    """
    own = python is None or Path(python) == Path(sys.executable)
    added = [entry for entry in map(_absolute, sys.path) if entry] if own else []
    return [python or sys.executable, "-u", "-c", _BEGIN, module, package_folder(), *dict.fromkeys(added)]


def worker_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """This process's environment without the working directory on Python's path, for the worker and what it starts."""
    path = [entry for entry in map(_absolute, os.environ.get("PYTHONPATH", "").split(os.pathsep)) if entry]
    environment = {**os.environ, "PYTHONSAFEPATH": "1", **(extra or {})}
    environment.pop("PYTHONPATH", None)
    return {**environment, "PYTHONPATH": os.pathsep.join(path)} if path else environment


def package_folder() -> str:
    """The folder of the package `depthport` that runs here: of a wheel, a checkout, or an editable install."""
    package = find_spec("depthport")
    assert package is not None and package.submodule_search_locations
    return str(Path(package.submodule_search_locations[0]).absolute())


def _absolute(entry: str) -> str:
    """An entry of a path as it is from any folder; empty for the working directory, wherever that happens to be."""
    return "" if entry in ("", ".") else str(Path(entry).absolute())
