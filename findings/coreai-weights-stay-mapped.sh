#!/bin/bash
# Memory of a closed Core AI model on Linux.
# Good guess: when the last reference to a loaded model is gone, so are its weights.
# What happens: loading a function maps the weights' file, and nothing unmaps it. Each load and close of a model of 64 MB
# leaves one more mapping, and once called, its pages count in the process's resident memory. They are shared and read
# only, so `madvise(MADV_DONTNEED)` on the range gives them back; the address range stays.
# coreai-core 1.0.0b3, coreai-torch 0.4.3, torch 2.13.0, Linux x86-64, Python 3.11. Fails when mappings go.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 coreai-core==1.0.0b3 coreai-torch==0.4.3
venv/bin/python -W ignore - <<'PY'
import asyncio
import gc
from pathlib import Path

import coreai_torch
import torch
from coreai.runtime import NDArray

x = torch.ones(1, 4096)
program = torch.export.export(torch.nn.Linear(4096, 4096), (x,)).run_decompositions(coreai_torch.get_decomp_table())
converter = coreai_torch.TorchConverter().add_exported_program(program, input_names=["x"], output_names=["y"])
asset = converter.to_coreai().save_asset(Path("linear.aimodel"))


async def once():
    async with asset.executable() as model:
        await model.load_function("main")({"x": NDArray(x.numpy())})
    del model


def mapped():
    gc.collect()
    return sum(".odix" in line for line in Path("/proc/self/maps").read_text().splitlines())


counts = []
for _ in range(3):
    asyncio.run(once())
    counts.append(mapped())
print("mappings after each load and close:", counts)
assert counts == [1, 2, 3], "closed models are unmapped now"
PY
# Seen: mappings after each load and close: [1, 2, 3]
