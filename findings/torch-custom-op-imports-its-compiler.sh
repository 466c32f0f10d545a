#!/usr/bin/env bash
# torch 2.13.0: the first eager call of an operator made with torch.library.custom_op imports torch._dynamo and sympy.
#
# One would guess that an operator defined in plain PyTorch and called eagerly costs a dispatch, the first time too: nothing is
# traced and nothing compiled, and the documentation offers custom_op as the way to define operators. But custom_op wraps every
# implementation so that torch.compile does not look into it, and that wrapper imports the compiler when it is first called:
# seconds of a process that compiles nothing (4.1 s beside an H200 with torch 2.11, of 10.7 s from start to first result).
# The same function registered with torch.library.Library (define, impl) imports neither and dispatches several times faster;
# torch.export takes both alike.
#
# Seen with torch 2.13.0+cpu, Python 3.11, one busy core:
#     Library: compiler imported: False, first call 0.01 s, then 25 us a call
#     custom_op: compiler imported: True, first call 11.48 s, then 87 us a call
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
cat >"$folder/call.py" <<'PYTHON'
import sys
import time

import torch


def twice(x: torch.Tensor) -> torch.Tensor:
    return x * 2


if sys.argv[1] == "custom_op":
    operator = torch.library.custom_op("demo::twice", twice, mutates_args=())
else:
    library = torch.library.Library("demo", "FRAGMENT")
    library.define("twice" + torch.library.infer_schema(twice, mutates_args=()))
    library.impl("twice", twice, "CompositeExplicitAutograd")
    operator = torch.ops.demo.twice.default
x = torch.ones(2)
begin = time.perf_counter()
operator(x)
first = time.perf_counter() - begin
begin = time.perf_counter()
for _ in range(1000):
    operator(x)
imported = "torch._dynamo" in sys.modules
print(f"compiler imported: {imported}, first call {first:.2f} s, then {1e3 * (time.perf_counter() - begin):.0f} us a call")
sys.exit(imported != (sys.argv[1] == "custom_op"))
PYTHON
for way in Library custom_op; do
    echo "$way: $("$folder/venv/bin/python" "$folder/call.py" "$way")"
    "$folder/venv/bin/python" "$folder/call.py" "$way" >/dev/null || { echo "torch behaves otherwise now" >&2; exit 1; }
done
