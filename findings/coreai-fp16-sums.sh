#!/bin/bash
# A matrix product of fp16 values on the runtime inside coreai-core's Linux wheel.
# Good guess: sums are kept in fp32 and rounded once, as PyTorch, ONNX Runtime and Apple's own GPUs do: 4096 × 0.1 = 409.5.
# What happens: every partial sum is rounded to fp16, one after the other. From 256 on, 0.1 is less than half a step of
# fp16, so the sum stays there: 256. An fp16 network is up to eleven times as far from fp32 there as in PyTorch, and what
# that runtime says of fp16 must not be taken for what a device will do.
# coreai-core 1.0.0b3, coreai-torch 0.4.3, torch 2.13.0, Linux x86-64, Python 3.11. Fails when the sum is right.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 coreai-core==1.0.0b3 coreai-torch==0.4.3
venv/bin/python -W ignore - <<'PY'
import asyncio
from pathlib import Path

import coreai_torch
import torch
from coreai.runtime import NDArray


class Product(torch.nn.Module):
    def forward(self, a, b):
        return a @ b


a, b = torch.ones(1, 4096, dtype=torch.float16), torch.full((4096, 1), 0.1, dtype=torch.float16)
program = torch.export.export(Product(), (a, b)).run_decompositions(coreai_torch.get_decomp_table())
converter = coreai_torch.TorchConverter().add_exported_program(program, input_names=["a", "b"], output_names=["y"])
asset = converter.to_coreai().save_asset(Path("product.aimodel"))


async def run():
    async with asset.executable() as model:
        found = await model.load_function("main")({"a": NDArray(a.numpy()), "b": NDArray(b.numpy())})
        return float(found["y"].numpy()[0, 0])


found, wanted = asyncio.run(run()), float(a @ b)
print(f"Core AI {found}, PyTorch {wanted}")
assert (found, wanted) == (256.0, 409.5), "the sum is another one now"
PY
# Seen: Core AI 256.0, PyTorch 409.5
