#!/usr/bin/env bash
# The record of a CPU: da3-small at 504×504 with 1 and 5 views, plain and `outliers` weights; OpenVINO in fp32, bf16-poses, int8
# and as it decides by itself, ONNX Runtime in fp32 and int8, beside upstream, in the same runs, with both controls.
#
#     bench/records/cpu.sh FOLDER [VIEWS ...]       # results in FOLDER/1-view, FOLDER/1-view-outliers, FOLDER/5-views, ...
#
# `depthport` must be on the PATH, or PYTHON name the interpreter it is installed for. Artifacts go to $DEPTHPORT_ARTIFACTS and
# are made first, one after the other: with 5 views minutes each. SIZE (504x504), LAUNCHES (10), BUDGET_S (480) and WEIGHTS
# ("synthetic:0 synthetic:0,outliers") change the run.
set -euo pipefail
folder=${1:?usage: cpu.sh FOLDER [VIEWS ...]}
shift
views=("${@:-1}")
[ $# -gt 0 ] || views=(1 5)
read -ra weights <<<"${WEIGHTS:-synthetic:0 synthetic:0,outliers}"
python=${PYTHON:-python3}
depthport() { "$python" -m depthport "$@"; }
size=(--size "${SIZE:-504x504}")

mkdir -p "$folder"
for n in "${views[@]}"; do
    for w in "${weights[@]}"; do
        for made in fp32:openvino bf16-poses:openvino int8:openvino fp32:ort-cpu int8:ort-cpu; do
            depthport export da3-small --no-check --format onnx --precision "${made%:*}" --target "${made#*:}" \
                --views "$n" "${size[@]}" --weights "$w"
        done
    done
done >"$folder/exports.log" 2>&1

for n in "${views[@]}"; do
    for w in "${weights[@]}"; do
        name="$n-view$([ "$n" = 1 ] || echo s)$([ "$w" = "${w%,outliers}" ] || echo -outliers)"
        depthport bench da3-small --suite alternatives --views "$n" "${size[@]}" --weights "$w" --device cpu \
            --cell pytorch/cpu/upstream/fp32 --cell openvino/cpu/latency/fp32 --cell openvino/cpu/latency/bf16-poses \
            --cell openvino/cpu/latency/int8 --cell openvino/cpu/defaults/fp32 \
            --cell onnxruntime/cpu/fp32 --cell onnxruntime/cpu/int8 \
            --launches "${LAUNCHES:-10}" --budget "${BUDGET_S:-480}" --out "$folder/$name"
    done
done
