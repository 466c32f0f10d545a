"""Several input shapes in one package, as functions that share their weights (iOS18)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from exporters.coreml_shims import import_coremltools, shimmed
from exporters.errors import ExportError, one_line

MAIN = "main"


def merge(packages: Mapping[str, Path], destination: Path) -> None:
    """Write one package with a function for each given one; constants with equal bits are stored once.

    Args:
        packages: function name to saved package; `main` is the default function.
        destination: the package to write.

    Raises:
        ExportError: coremltools failed.
    """
    ct = import_coremltools()
    descriptor = ct.utils.MultiFunctionDescriptor()
    for name, path in packages.items():
        descriptor.add_function(str(path), src_function_name="main", target_function_name=name)
    descriptor.default_function_name = MAIN
    with shimmed():
        try:
            ct.utils.save_multifunction(descriptor, str(destination))
        except (ValueError, TypeError, RuntimeError) as error:
            raise ExportError(f"coremltools {ct.__version__} can't merge functions: {one_line(error)}") from error
