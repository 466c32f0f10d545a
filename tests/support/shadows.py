"""A folder full of modules that shadow others, as somebody's working directory may be."""

from __future__ import annotations

from pathlib import Path

IMPORTED_FIRST = ("runpy", "importlib_metadata")
"""What Python itself imports for `-m` before our first line."""
SHADOWS = ("bench", "exporters", "runtimes", "queue", "profile", "onnxruntime", "torch", "numpy", "json", "selectors",
           "dataclasses", "typer", "safetensors", "packaging", "statistics", *IMPORTED_FIRST)  # fmt: skip


def shadowing_modules(folder: Path) -> Path:
    """`folder`, made, with modules and packages that raise when they are imported."""
    folder.mkdir()
    for index, name in enumerate(SHADOWS):
        source = f"raise RuntimeError('{name} of the working directory was imported')\n"
        if index % 2:
            (folder / f"{name}.py").write_text(source)
        else:
            (folder / name).mkdir()
            (folder / name / "__init__.py").write_text(source)
    return folder
