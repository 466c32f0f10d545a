#!/usr/bin/env bash
# The record of a CPU: da3-small at 504×504 with 1 and 5 views, plain and `outliers` weights, and batches of 2, 4 and 8 scenes
# of 1 view; OpenVINO in fp32, bf16-poses, int8-bf16 and as it decides by itself, ONNX Runtime in fp32, and with 1 view both in
# int8, beside upstream, in the same runs, with both controls.
#
#     bench/records/cpu.sh FOLDER [WORKLOAD ...]    # results in FOLDER/1-view, FOLDER/5-views-outliers, FOLDER/1-view-batch-2, ...
#
# A workload is VIEWS or VIEWSxBATCH; by default 1 5 1x2 1x4 1x8. `depthport` must be on the PATH, or PYTHON name the interpreter
# it is installed for. Artifacts go to $DEPTHPORT_ARTIFACTS and are made first, one after the other: minutes each, a quarter of
# an hour where a mix is tried on 5 views; int8 with 5 views and any 8 bits in batches, which no choice depends on, are left out.
# SIZE (504x504), LAUNCHES (10), BUDGET_S (480) and WEIGHTS ("synthetic:0 synthetic:0,outliers"; batches have plain ones) change
# the run. On 2 cores: exports 50 minutes, runs 8 minutes each, 100 in all.
set -euo pipefail
folder=${1:?usage: cpu.sh FOLDER [WORKLOAD ...]}
shift
workloads=("${@:-1}")
[ $# -gt 0 ] || workloads=(1 5 1x2 1x4 1x8)
read -ra weights <<<"${WEIGHTS:-synthetic:0 synthetic:0,outliers}"
python=${PYTHON:-python3}
depthport() { "$python" -m depthport "$@"; }

# asked WORKLOAD WEIGHTS: sets what an export and a bench of it are asked for, the precisions it has and its name; fails if none.
asked() {
    local views=${1%x*} batch=1
    name="$views-view$([ "$views" = 1 ] || echo s)"
    exports=(fp32:openvino bf16-poses:openvino fp32:portable fp32:ort-cpu)
    cells=(pytorch/cpu/upstream/fp32 openvino/cpu/latency/fp32 openvino/cpu/latency/bf16-poses openvino/cpu/defaults/fp32
        onnxruntime/cpu/fp32)
    if [ "$1" != "$views" ]; then
        batch=${1#*x}
        [ "$2" = "${weights[0]}" ] || return 1
        name+="-batch-$batch"
    else
        exports+=(int8-bf16:openvino)
        cells+=(openvino/cpu/latency/int8-bf16)
        if [ "$views" = 1 ]; then
            exports+=(int8:openvino int8:ort-cpu)
            cells+=(openvino/cpu/latency/int8 onnxruntime/cpu/int8)
        fi
    fi
    [ "$2" = "${2%,outliers}" ] || name+=-outliers
    shape=(--views "$views" --batch "$batch" --size "${SIZE:-504x504}" --weights "$2")
}

mkdir -p "$folder"
for workload in "${workloads[@]}"; do
    for w in "${weights[@]}"; do
        asked "$workload" "$w" || continue
        for made in "${exports[@]}"; do
            depthport export da3-small --no-check --format onnx --precision "${made%:*}" --target "${made#*:}" "${shape[@]}"
        done
    done
done >"$folder/exports.log" 2>&1

for workload in "${workloads[@]}"; do
    for w in "${weights[@]}"; do
        asked "$workload" "$w" || continue
        depthport bench da3-small --suite alternatives "${shape[@]}" --device cpu "${cells[@]/#/--cell=}" \
            --launches "${LAUNCHES:-10}" --budget "${BUDGET_S:-480}" --out "$folder/$name"
    done
done
