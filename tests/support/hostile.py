"""A results file of a stranger who means harm."""

from __future__ import annotations

import json
from typing import Any

from tests.support.results import FEW, cpu_server

NAMES = (
    "<script>window.pwned=1</script>",
    "</script><script>window.pwned=2</script>",
    "<img src=x onerror=pwned=3>",
    "a|b\n| c | d |",
    "[x](javascript:alert(1))",
    "![x](http://example.org/t.png)",
    "`code` **bold** _it_",
    "\u2028\u2029 line",
    "\x1b[31mred\x1b[0m",
    "[red]rich[/red]",
    "\u202egnp.exe",
    "\ud800",
    "<!--",
    "]]>",
    "x" * 5000,
    "${7*7}{{7*7}}",
    "$(touch pwned)`touch pwned`'\";touch pwned;",
    "../../etc/passwd",
    "__proto__",
    "constructor",
)
"""Names and values a stranger's file may carry; all of it must show up as text or not at all."""


def hostile() -> dict[str, Any]:
    """The JSON form of a run whose every text is an attack and whose numbers are none."""
    data: dict[str, Any] = json.loads(json.dumps(cpu_server(FEW).to_json()))
    for index, row in enumerate(data["cells"]):
        for position, key in enumerate(("id", "model", "format", "runtime", "device", "mode", "precision", "weights")):
            row[key] = NAMES[(index + position) % len(NAMES)]
        row["reason"] = NAMES[(index + 3) % len(NAMES)]
        row["mode_description"] = NAMES[(index + 5) % len(NAMES)]
        row["pictures"] = {"depth": "../../../etc/passwd", "error": "/etc/passwd", NAMES[0]: "http://example.org/x.png"}
        row["advice"] = [{"code": NAMES[0], "message": NAMES[1], "advice": NAMES[2]}]
        row["placement"] = {NAMES[0]: {NAMES[1]: [NAMES[2], float("nan")]}}
        row["parity"] = {"depth": {"rel_l2": float("nan"), "max_abs": NAMES[0]}, NAMES[0]: {"rel_l2": -1}}
        row["accuracy"] = {"abs_rel": "NaN", "__proto__": {"polluted": True}}
        for block in row["timing"].values():
            block["median_ms"] = (float("nan"), float("inf"), -1.0, "5", None, 1e308)[index % 6]
            block["samples"]["ms"] = [float("nan"), -1.0, 0.0, 1e308, 1e-308, 5.0, "x"]
            block["samples"]["start_s"] = [float("inf")] * 7
    data["environment"] = {
        NAMES[0]: NAMES[1],
        "cpu": {"model": NAMES[2], "usable_cores": float("nan")},
        "memory": NAMES[1],
        "system": [NAMES[0]],
        "gpus": [{"name": NAMES[3], "driver": NAMES[0]}, "x", None],
        "packages": {NAMES[0]: NAMES[1]},
        "hostname": "secret-host",
        "user": "secret-user",
    }
    data["protocol"] = {NAMES[0]: NAMES[1], "name": NAMES[2]}
    data["warnings"] = [{"code": NAMES[0], "message": NAMES[1], "advice": NAMES[3]}, "x", None, 5]
    data["controls"] = {NAMES[0]: {"ratio": "x"}, "aa": None}
    data["weights"] = {NAMES[1]: NAMES[2], "da3-small": {"id": NAMES[0], "synthetic": "yes"}}
    data["created"] = NAMES[1]
    data["cells"] += ["x", None, 5, {}, {"id": "a"}]
    return data
