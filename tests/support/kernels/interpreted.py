"""Run every Triton kernel in Triton's interpreter on the CPU and compare it with its definition.

A program of its own, because the interpreter must be chosen before Triton is imported: prints the relative error of
each case, worst output first, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
from importlib import import_module

os.environ["TRITON_INTERPRET"] = "1"

import torch

from depthport.exporters.da3 import kernels
from depthport.exporters.da3.kernels.op import DEFINED_IN, cuda_module
from tests.support.kernels.cases import CASES, LIBRARY, outputs, relative_error


def main() -> None:
    errors = {}
    for name, (operator, case) in CASES.items():
        if operator in LIBRARY:
            continue
        arguments = case(torch.Generator().manual_seed(0), torch.float16)
        definition = getattr(kernels, operator)
        module = import_module(cuda_module(DEFINED_IN[operator]))
        found, expected = outputs(getattr(module, operator)(*arguments)), outputs(definition(*arguments))
        errors[name] = max(relative_error(a.float(), b.float()) for a, b in zip(found, expected, strict=True))
    json.dump(errors, sys.stdout)


main()
