#!/usr/bin/env bash
# The record of an NVIDIA GPU: da3-large at 504x504 with 5, 1 and 32 views, upstream and ours in the same runs.
#
#     bench/records/cuda.sh FOLDER [VIEWS ...]       # results in FOLDER/5-views, FOLDER/1-view, FOLDER/32-views
#
# `depthport` must be on the PATH, or PYTHON name the interpreter it is installed for. Artifacts go to
# $DEPTHPORT_ARTIFACTS (unchecked: the run itself compares what it times); they are made side by side first, because exporting is most of the time. LAUNCHES (2) and BUDGET_S
# (12, seconds, starts among them; rounds get a tenth of what starting takes at least) make a run longer and its intervals narrower.
set -euo pipefail
folder=${1:?usage: cuda.sh FOLDER [VIEWS ...]}
shift
views=("${@:-5}")
[ $# -gt 0 ] || views=(5 1 32)
python=${PYTHON:-python3}
depthport() { "$python" -m depthport "$@"; }
model=(--size 504x504 --weights synthetic:0)

mkdir -p "$folder"
for n in "${views[@]}"; do
    depthport export da3-large --no-check --format pytorch --precision bf16-mixed --views "$n" "${model[@]}" &
    for precision in fp16 bf16-fp16; do
        depthport export da3-large --no-check --format pytorch --target cuda --precision "$precision" --views "$n" "${model[@]}" &
    done
done >"$folder/exports.log" 2>&1
wait

for n in "${views[@]}"; do
    depthport bench da3-large --views "$n" "${model[@]}" --device cuda --runtime pytorch --runtime onnxruntime --also fp16 \
        --cell pytorch/cuda/upstream/bf16-mixed --cell pytorch/cuda/fused/bf16-fp16 --cell pytorch/cuda/fused/fp16 --cell onnxruntime/cuda/cuda-graph/fp16 \
        --launches "${LAUNCHES:-2}" --budget "${BUDGET_S:-12}" --out "$folder/$n-view$([ "$n" = 1 ] || echo s)"
done
