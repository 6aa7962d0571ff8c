#!/usr/bin/env bash
# One run on the GPUs of several machines of a SLURM cluster, a process each: what `gcl train` is given, for example
#   sbatch --nodes=2 --ntasks-per-node=1 --gpus-per-node=8 workflow/train.sh gcl-official --data imagenet-lt --scale paper
# PROCESSES=2 before sbatch starts two processes a machine on its CPU instead.
set -euo pipefail

host=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=${PORT:-$((20000 + SLURM_JOB_ID % 12000))} # two jobs that share a machine must not meet
export OMP_NUM_THREADS=${OMP_NUM_THREADS:-1}
exec srun python -m torch.distributed.run --nnodes="$SLURM_NNODES" --nproc-per-node="${PROCESSES:-gpu}" \
    --rdzv-backend=c10d --rdzv-id="$SLURM_JOB_ID" --rdzv-endpoint="$host:$port" \
    -m gclib.cli train "$@" ${PROCESSES:+--processes "$PROCESSES"}
