#!/usr/bin/env bash
# How constraints.txt is made (`make lock`): one version of every package, direct and transitive, for Python 3.10 to 3.13
# on every system. What stands there already is kept where it still fits; UPGRADE=1 takes the newest, UPGRADE="a b" those
# two. Nothing is installed: uv reads the packages' metadata.
#   lock.sh UV EXTRAS PACKAGES_TAKEN_WITHOUT_THEIR_DEPENDENCIES
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
uv=$1 extras=$2 alone=$3
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

head=$(sed '/^[^#]/,$d' constraints.txt)
mapfile -t kept < <(case "${UPGRADE:-}" in "") ;; 1) echo --upgrade ;; *) for name in $UPGRADE; do echo "--upgrade-package=$name"; done ;; esac)
options=(--universal --python-version 3.10 --no-header --no-annotate --quiet "${kept[@]}")

# The Core ML packages fail on numpy 2.4's scalar conversion.
echo 'numpy<2.4' > "$work/bounds"
cp constraints.txt "$work/all"
"$uv" pip compile pyproject.toml $(printf -- "--extra %s " ${extras//,/ }) --constraint "$work/bounds" "${options[@]}" --output-file "$work/all" > /dev/null
cp constraints.txt "$work/alone"
tr ' ' '\n' <<< "$alone" | "$uv" pip compile - --no-deps "${options[@]}" --output-file "$work/alone" > /dev/null

# torch pins its own CUDA packages and Triton; another build of it (CPU only, another CUDA) brings others.
{
	echo "$head"
	cat "$work/all" "$work/alone" | grep -Ev '^(nvidia-(cublas|cuda|cudnn|cufft|cufile|curand|cusolver|cusparse|cusparselt|nccl|nvjitlink|nvshmem|nvtx)[a-z0-9-]*|triton|cuda-toolkit)==' |
		grep -Ev '^(#|-e |$)' | LC_ALL=C sort -u
} > "$work/new"
mv "$work/new" constraints.txt
