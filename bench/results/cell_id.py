"""Names of cells: `runtime/device/mode/precision/target`, without the parts that repeat what stands before them.

A mode called as its device is, and a target that ends in the device's name (`ort-cpu`, `cuda`) or is the mode's or the
runtime's, say nothing: `onnxruntime/cpu/fp32`, not `onnxruntime/cpu/cpu/fp32/ort-cpu`. Names stay unique, since the
modes of a device differ and a runtime has one target for a device, mode and precision. Older files and command lines
have the long form, which is read as the short one.
"""

from __future__ import annotations

from collections.abc import Iterable


def cell_id(runtime: str, device: str, mode: str, precision: str, more: Iterable[str] = ()) -> str:
    """The name of a cell.

    Args:
        more: what else tells it from others, in order: the target, open dimensions, a label.
    """
    kind = device.partition(":")[0]
    said = (device, kind, mode, runtime)
    shown = [] if mode == kind else [mode]
    rest = [part for part in more if part not in said and part.rpartition("-")[2] != kind]
    return "/".join([runtime, device, *shown, precision, *rest])


def short_id(name: str) -> str:
    """A cell's name in the short form; what is in it already stays as it is."""
    runtime, *parts = name.split("/")
    return name if len(parts) < 3 else cell_id(runtime, parts[0], parts[1], parts[2], parts[3:])
