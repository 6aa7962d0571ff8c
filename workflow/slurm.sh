#!/usr/bin/env bash
# This machine as a SLURM cluster of one node, for trying `gcl grid --profile slurm`, and down again.
# Needs root, and on Debian and Ubuntu: apt install slurm-wlm munge. Everything it writes lies in one folder, but for
# a link to its configuration where SLURM looks for one: jobs that Snakemake starts do not inherit SLURM_CONF.
set -euo pipefail

usage="usage: workflow/slurm.sh up|down [FOLDER]   (FOLDER: runs/slurm in the checkout)"
action=${1:-}
folder=$(realpath -m "${2:-$(dirname "$0")/../runs/slurm}")
conf=$folder/slurm.conf
link=/etc/slurm/slurm.conf

up() {
    for program in munged slurmctld slurmd; do
        command -v "$program" >/dev/null || { echo "$program not found: apt install slurm-wlm munge" >&2; exit 2; }
    done
    [ "$(id -u)" = 0 ] || { echo "slurmd starts jobs only as root: use sudo" >&2; exit 2; }
    [ ! -e "$conf" ] || { echo "$folder is up already: take it down first" >&2; exit 2; }
    [ -z "$(ls -A "$folder" 2>/dev/null)" ] || { echo "$folder is not empty, and down removes it: name another" >&2; exit 2; }
    [ ! -e "$link" ] || { echo "$link is there: this machine belongs to a cluster already" >&2; exit 2; }
    mkdir -p "$folder/state" "$folder/spool" "$(dirname "$link")"
    local host
    host=$(hostname -s)
    head -c 1024 /dev/urandom >"$folder/munge.key"
    chmod 600 "$folder/munge.key"
    cat >"$conf" <<CONF
ClusterName=one
SlurmctldHost=$host(127.0.0.1)
SlurmUser=root
AuthInfo=socket=$folder/munge.socket
SlurmctldPort=16817
SlurmdPort=16818
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
MinJobAge=3600
NodeName=$host NodeAddr=127.0.0.1 CPUs=$(env -u OMP_NUM_THREADS -u OMP_THREAD_LIMIT nproc) RealMemory=$(awk '/MemTotal/ {print int($2 / 1024)}' /proc/meminfo)
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
    ln -sfn "$conf" "$link"
    munged --force --key-file="$folder/munge.key" --socket="$folder/munge.socket" \
        --pid-file="$folder/munged.pid" --log-file="$folder/munged.log" --seed-file="$folder/munge.seed"
    slurmctld
    slurmd
    for _ in $(seq 30); do
        if [ "$(sinfo --noheader --format=%t 2>/dev/null)" = idle ]; then
            echo "up; sinfo shows the node, workflow/slurm.sh down ends it"
            return
        fi
        sleep 1
    done
    echo "the node does not get idle; see $folder/slurmctld.log and $folder/slurmd.log" >&2
    exit 1
}

down() {
    [ -e "$conf" ] || { echo "nothing to take down in $folder"; return; }
    export SLURM_CONF=$conf
    timeout 10 scancel --partition=all || true
    for _ in $(seq 40); do # the processes of a job end after it
        [ -n "$(timeout 10 squeue --noheader)" ] || break
        sleep 1
    done
    for daemon in slurmd slurmctld munged; do
        [ -s "$folder/$daemon.pid" ] || continue
        local pid
        pid=$(cat "$folder/$daemon.pid")
        kill "$pid" 2>/dev/null || true
        for _ in $(seq 100); do
            kill -0 "$pid" 2>/dev/null || break
            sleep 0.1
        done
        ! kill -9 "$pid" 2>/dev/null || echo "$daemon had to be killed" >&2
    done
    [ "$(readlink "$link")" != "$conf" ] || rm "$link"
    rm -rf "$folder"
}

case $action in
    up | down) "$action" ;;
    *) echo "$usage" >&2; exit 2 ;;
esac
