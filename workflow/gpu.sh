#!/usr/bin/env bash
# A grid on a machine that has a GPU, Python with torch, and nothing else: no network, no installed gclib, little time.
#   workflow/gpu.sh SECONDS KIT OUT TABLE... [--seeds ...] [--data ...] [--ratio ...] [--scale ...]
# KIT is a folder that travels with the checkout, each part of it if it is there:
#   *.npz, git   data sets, and what names the commit that records carry; packed by workflow/packed.py
#   *.whl        what Python lacks there (pip download --only-binary=:all: --no-deps pydantic pydantic-core ...)
#   grid-*.tar   what an earlier visit left (gcl grid pack)
# Measures the card (gcl bench gpu) unless that was done before, runs the grid for the time that is left, and leaves in
# OUT, which travels back, the records, the checkpoints to go on from (gcl grid unpack puts both in place) and a log.
# Runs are begun until the end, for the next visit goes on with them; with LAST=yes in the environment none is begun
# that would not end. Packing has its seconds in any case: the grid is asked to end, and then made to; on SIGTERM what
# runs is saved and packed. Exit codes: 0 what there is was packed, and the log names what failed; 2 bad input; others:
# something else than a run failed.
set -uo pipefail

began=$(date +%s)
if [ $# -lt 4 ] || [[ ! $1 =~ ^[0-9]+$ ]] || [[ " ${*:4} " = *" --workdir"* ]]; then # runs go to runs/
    echo "usage: workflow/gpu.sh SECONDS KIT OUT TABLE... [--seeds ...] [--data ...] [--ratio ...] [--scale ...]" >&2
    exit 2
fi
seconds=$1 kit=$2 out=$3
shift 3
case $kit in /*) ;; *) kit=$PWD/$kit ;; esac
case $out in /*) ;; *) out=$PWD/$out ;; esac
cd "$(dirname "$0")/.."
mkdir -p "$out"
python=${PYTHON:-python3}
export PYTHONPATH=$PWD PYTHONUNBUFFERED=1 OMP_NUM_THREADS=1 GCLIB_PROGRESS=0
export CUDA_DEVICE_MAX_CONNECTIONS=32 CUBLAS_WORKSPACE_CONFIG=:4096:8

packing=${PACKING_SECONDS:-40} # for ending epochs, for checkpoints and for packing
child= stopped=

left() { echo $((seconds - ($(date +%s) - began))); }
gcl() { "$python" workflow/packed.py gcl "$kit" "$@"; }

# Runs a command so that a signal reaches it, and waits until it has ended. None is begun after a signal.
guarded() {
    [ -z "$stopped" ] || return 143
    "$@" &
    child=$!
    wait "$child"
    local code=$?
    while kill -0 "$child" 2>/dev/null; do # a signal ends `wait`, not the command
        wait "$child"
        code=$?
    done
    child=
    return "$code"
}

prepare() {
    [ ! -d runs/site ] || export PYTHONPATH=$PWD:$PWD/runs/site
    if compgen -G "$kit/*.whl" >/dev/null && ! "$python" -c 'import gclib.cli, gclib.grid.here' 2>/dev/null; then
        "$python" -m pip install --quiet --no-index --no-deps --no-compile --target runs/site "$kit"/*.whl || return
        export PYTHONPATH=$PWD:$PWD/runs/site
    fi
    [ ! -d "$kit/git" ] || export GCLIB_GIT=$(cd "$kit/git" && pwd) # a .git that is here may be of another commit
    if compgen -G "$kit/grid-*.tar" >/dev/null; then
        gcl grid unpack "$kit" || return
    fi
    gcl grid pack "$out" "$@" # what was there before, and what is asked for is understood
}

measure() {
    if ! compgen -G "runs/probe/*.json" >/dev/null; then
        local budget=${PROBE_SECONDS:-75} limit=$(($(left) - packing))
        [ "$limit" -lt $((budget * 6 / 5)) ] || limit=$((budget * 6 / 5))
        # Cut off, it has told what it found until then.
        guarded timeout --kill-after=3 "$((limit > 1 ? limit : 1))" "$python" workflow/packed.py gcl "$kit" \
            bench gpu --budget "$budget" --folder runs/probe || echo "the probe was not ended"
    fi
    if compgen -G "runs/probe/*.json" >/dev/null; then
        cp runs/probe/*.json "$out/"
        read -r variant places < <("$python" -c '
import glob, json
found = json.load(open(sorted(glob.glob("runs/probe/*.json"))[-1]))["fastest"] or {}
print(found.get("variant", ""), found.get("places", ""))')
        variant=${GCLIB_VARIANT:-$variant} PLACES=${PLACES:-$places}
        [ -z "$variant" ] || export GCLIB_VARIANT=$variant
        echo "network: ${variant:-as usual}; side by side: ${PLACES:-found out as they run}"
    fi
}

train() {
    local time=$(($(left) - packing))
    if [ "$time" -lt 1 ]; then
        echo "$((seconds - $(left))) s: no time for the grid"
        return
    fi
    echo "$((seconds - $(left))) s: the grid has $time s"
    # Asked to end after its time, it saves what runs; if something holds it up it is made to in a third of what is left.
    [ -z "${LAST:-}" ] || set -- "$@" --budget "$(awk "BEGIN { print ($time > 6 ? $time : 6) / 60 }")"
    guarded timeout --kill-after=$((packing / 3)) "$time" "$python" workflow/packed.py gcl "$kit" \
        grid run "$@" --engine here ${PLACES:+--places "$PLACES"}
    [ $? != 2 ] || return 2 # bad input; any other end is told in the log
}

trap '' PIPE
exec > >(trap '' TERM INT; exec tee "$out/log.txt") 2>&1
log=$!
trap 'stopped=1; echo "asked to stop"; [ -z "$child" ] || kill -TERM "$child" 2>/dev/null' TERM INT

code=0
prepare "$@" && measure && train "$@" || code=$?
trap '' TERM INT
echo "$((seconds - $(left))) s: packing"
gcl grid pack "$out" "$@" || code=$?
echo "$((seconds - $(left))) s: done"
exec >&- 2>&-
for _ in {1..20}; do # for the log to be whole; not longer, for something killed may have left what still holds it
    kill -0 "$log" 2>/dev/null || break
    sleep 0.1
done
exit "$code"
