#!/bin/bash
# A constant tensor divided by a reduction, through OpenVINO's PyTorch front end.
# Good guess: `torch.tensor(2.0) / x.sum(-1)` is 2 / sum, as a Python number divided by it is.
# What happens: it is sum / 2. Traced and exported modules alike; nothing is said. In DA3 this is the `2 / |q|²` of the
# cameras: depth stays right to 1e-6 and cameras turn by about 100°. Through ONNX the same module is right.
# openvino 2026.4.1, torch 2.13.0, Linux x86-64, Python 3.11. Fails when the quotient is the right way up.
set -euo pipefail
work=$(mktemp -d); trap 'rm -rf "$work"' EXIT; cd "$work"
"${PYTHON:-python3}" -m venv venv
venv/bin/python -m pip install -q torch==2.13.0 openvino==2026.4.1 packaging
venv/bin/python -W ignore - <<'PY'
import openvino
import torch


class Quotient(torch.nn.Module):
    def __init__(self, constant):
        super().__init__()
        self.constant = constant

    def forward(self, x):
        return self.constant / x.sum(dim=-1)


def computed(constant):
    model = openvino.convert_model(torch.export.export(Quotient(constant), (x,)))
    return openvino.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(x.numpy())[0].tolist()


x = torch.tensor([[1.0, 2.0, 5.0]])
number, tensor = computed(2.0), computed(torch.tensor(2.0))
print(f"2 / 8 = {number} with a number, {tensor} with a tensor")
assert (number, tensor) == ([0.25], [4.0]), "the quotient is another one now"
PY
# Seen: 2 / 8 = [0.25] with a number, [4.0] with a tensor
