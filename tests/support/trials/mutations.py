"""Damage done to good files: values of other kinds, bytes lost, doubled and put in."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from random import Random
from typing import Any

NASTY: tuple[Any, ...] = (
    None, True, False, 0, -1, 1, 2**31, 2**63, -(2**70), 10**400, 0.0, -0.0, 1e308, -1e-308, 1e-5, "", "x", "x" * 5000,
    "\x1b[31m", "\u202e", "\ud800", "\x00", "../../etc/passwd", "/etc/passwd", "C:\\x", "os:system", "a/0", "batch*0/0",
    "nan", "1e999", [], [[]], [[[[]]]], {}, {"x": {}}, [None], [1, "x"], {"kind": "x"}, "float32", "depthport.artifact/1",
)  # fmt: skip


_INSERTED = (b"\xff\xfe", b"\x00" * 8, b"[" * 3000, b"NaN", b"9" * 5000, b'"', b"{", b"\n", b"PK")


def mutate(data: Any, random: Random) -> Any:
    """A copy of JSON data with one to four places changed."""
    data = json.loads(json.dumps(data))
    for _ in range(random.randint(1, 4)):
        places = list(_places(data))
        if not places:
            break
        holder, key = random.choice(places)
        change = random.random()
        if change < 0.7:
            holder[key] = copy.deepcopy(random.choice(NASTY))
        elif change < 0.85 and isinstance(holder, dict):
            holder[random.choice(("x", "__proto__", "\x1b", "schema", "kind", ""))] = holder.pop(key)
        elif isinstance(holder, list):
            holder.insert(random.randrange(len(holder) + 1), copy.deepcopy(random.choice(NASTY)))
        else:
            del holder[key]
    return data


def _places(node: Any, depth: int = 0) -> Iterator[tuple[Any, Any]]:
    if depth > 12:
        return
    items = node.items() if isinstance(node, dict) else enumerate(node[:8]) if isinstance(node, list) else ()
    for key, value in list(items):
        yield node, key
        yield from _places(value, depth + 1)


def damage(content: bytes, random: Random) -> bytes:
    """Bytes with some flipped, cut out, doubled, put in, or the end missing."""
    found = bytearray(content)
    for _ in range(random.randint(1, 6)):
        at = random.randrange(len(found) + 1)
        kind = random.random()
        if kind < 0.4 and at < len(found):
            found[at] = random.randrange(256)
        elif kind < 0.6:
            del found[at : at + random.choice((1, 4, 64, 4096))]
        elif kind < 0.8:
            found[at:at] = random.choice(
                (b"\xff\xfe", b"\x00" * 8, b"[" * 3000, b"NaN", b"9" * 5000, b'"', b"{", b"\n", b"PK")
            )
        elif kind < 0.9:
            found[at:at] = found[at : at + 64]
        else:
            del found[at:]
    return bytes(found)


def json_bytes(data: Any, random: Random) -> bytes:
    content = json.dumps(mutate(data, random) if random.random() < 0.9 else data).encode("utf-8", "surrogatepass")
    return damage(content, random) if random.random() < 0.4 else content
