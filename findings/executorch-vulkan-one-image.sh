#!/usr/bin/env bash
# executorch 1.5.1, Vulkan: a 2-D convolution of a batch of two images stays on the CPU, without a word.
#
# One would guess that a partitioner which takes a convolution takes it for any batch: the weights, the kernel and the shader are
# the same, and XNNPACK's partitioner does. Vulkan's takes a batch of exactly one. With two images the operator is left out of
# the delegate, the export succeeds, outputs are right, and the phone copies the tensor back, convolves on the CPU and copies it
# up again, once for every convolution (in a network of several views 33 of them, which cut the graph into 20 stretches).
# Written as one convolution an image, with split and concatenation, all of it is taken.
#
# Seen with executorch 1.5.1, torch 2.13.0+cpu, Python 3.11:
#     vulkan, batch 1: taken by the delegate
#     vulkan, batch 2: left to the CPU
#     xnnpack, batch 1: taken by the delegate
#     xnnpack, batch 2: taken by the delegate
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet torch==2.13.0 numpy==2.3.5
"$folder/venv/bin/pip" install --quiet --no-deps executorch==1.5.1 torchao==0.18.0
"$folder/venv/bin/pip" install --quiet --no-warn-conflicts flatbuffers==25.9.23 ruamel.yaml==0.18.15 tabulate==0.9.0 pyyaml==6.0.3 packaging==25.0 pandas==2.3.3
cat >"$folder/lower.py" <<'PYTHON'
import sys
import warnings

import torch
from executorch.backends.vulkan.partitioner.vulkan_partitioner import VulkanPartitioner
from executorch.backends.xnnpack.partition.xnnpack_partitioner import XnnpackPartitioner
from executorch.exir import to_edge_transform_and_lower

warnings.filterwarnings("ignore")
backends = {"vulkan": VulkanPartitioner, "xnnpack": XnnpackPartitioner}
for name, partitioner in backends.items():
    for batch in (1, 2):
        network = torch.nn.Conv2d(3, 4, 3, padding=1).eval()
        program = torch.export.export(network, (torch.randn(batch, 3, 16, 16),))
        graph = to_edge_transform_and_lower(program, partitioner=[partitioner()]).exported_program().graph
        left = any("convolution" in str(node.target) for node in graph.nodes)
        print(f"{name}, batch {batch}: {'left to the CPU' if left else 'taken by the delegate'}")
PYTHON
"$folder/venv/bin/python" "$folder/lower.py" 2>"$folder/log" >"$folder/seen" || { tail -3 "$folder/log" >&2; exit 1; }
cat "$folder/seen"
diff - "$folder/seen" <<'SEEN' || { echo "ExecuTorch behaves otherwise now" >&2; exit 1; }
vulkan, batch 1: taken by the delegate
vulkan, batch 2: left to the CPU
xnnpack, batch 1: taken by the delegate
xnnpack, batch 2: taken by the delegate
SEEN
