#!/usr/bin/env bash
# A grid on a machine that has a GPU, Python with torch, and nothing else: no network, no installed gclib, little time.
#   workflow/gpu.sh SECONDS KIT OUT TABLE... [options of gcl grid run]
# KIT is a folder that travels with the checkout, each part of it if it is there:
#   *.npz        data sets, packed by workflow/packed.py
#   *.whl        what Python lacks there (pip download --only-binary=:all: --no-deps pydantic pydantic-core ...)
#   git          copied to .git, so that records name their commit
#   grid-*.tar   what an earlier visit left (gcl grid pack)
# Measures the card (gcl bench gpu) unless that was done before, runs the grid for the time that is left, and leaves in
# OUT, which travels back, the records, the checkpoints to go on from (gcl grid unpack puts both in place) and a log.
set -uo pipefail

began=$(date +%s)
seconds=$1 kit=$2 out=$3
shift 3
cd "$(dirname "$0")/.."
mkdir -p "$out"
python=${PYTHON:-python3}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 GCLIB_PROGRESS=0
export CUDA_DEVICE_MAX_CONNECTIONS=32 CUBLAS_WORKSPACE_CONFIG=:4096:8

left() { echo $((seconds - ($(date +%s) - began))); }
gcl() { "$python" workflow/packed.py gcl "$kit" "$@"; }

run() {
    [ ! -d runs/site ] || export PYTHONPATH=$PWD:$PWD/runs/site
    if compgen -G "$kit/*.whl" >/dev/null && ! "$python" -c 'import greenlet, pydantic' 2>/dev/null; then
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --target runs/site "$kit"/*.whl || return
        export PYTHONPATH=$PWD:$PWD/runs/site
    fi
    if [ -d "$kit/git" ] && [ -e .git ] && ! cmp -s "$kit/git/HEAD" .git/HEAD; then
        echo "the .git that is here stays; remove it, and records name the commit of $kit/git"
    elif [ -d "$kit/git" ] && [ ! -e .git ]; then
        cp -r "$kit/git" .git
    fi
    if compgen -G "$kit/grid-*.tar" >/dev/null; then
        gcl grid unpack "$kit"
    fi
    if ! compgen -G "runs/probe/*.json" >/dev/null; then
        gcl bench gpu --budget "${PROBE_SECONDS:-75}" --folder runs/probe || echo "the probe failed"
    fi
    if compgen -G "runs/probe/*.json" >/dev/null; then
        cp runs/probe/*.json "$out/"
        read -r variant places < <("$python" -c '
import glob, json
found = json.load(open(sorted(glob.glob("runs/probe/*.json"))[-1]))["fastest"]
print(found["variant"], found["places"])')
        export GCLIB_VARIANT=${GCLIB_VARIANT:-$variant} PLACES=${PLACES:-$places}
        echo "network: $GCLIB_VARIANT; side by side: $PLACES"
    fi
    # The last seconds are for ending epochs, for checkpoints and for packing.
    budget=$(awk "BEGIN { print ($(left) - ${PACKING_SECONDS:-40}) / 60 }")
    echo "$((seconds - $(left))) s: the grid has $budget minutes"
    gcl grid run "$@" --engine here --budget "$budget" ${PLACES:+--places "$PLACES"}
    echo "$((seconds - $(left))) s: packing"
}

run "$@" 2>&1 | tee "$out/log.txt"
PYTHONPATH=$PWD:$PWD/runs/site gcl grid pack "$out" "$@" 2>&1 | tee -a "$out/log.txt"
echo "$((seconds - $(left))) s: done"
