#!/bin/bash
# The paper's run on its machines, two nodes of eight H100s, as a chain of jobs of one day each:
#
#     for day in {1..12}; do sbatch --dependency=singleton recipes/llm-jp-base.slurm.sh recipes/llm-jp-base.toml RUN; done
#
# With --dependency=singleton, jobs of one name run one after the other. Five minutes before a job's time is up, Slurm
# sends SIGUSR1, and the run ends with a checkpoint, from which the next job continues. A job does nothing if the run is
# finished. Tokenise a large corpus first: `anaume tokens … --executor slurm`, tokens = "FOLDER" in [[corpus.train]].
#SBATCH --job-name=anaume-llm-jp-base
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=8
#SBATCH --gpus-per-node=8
#SBATCH --cpus-per-task=6
#SBATCH --time=24:00:00
#SBATCH --signal=USR1@300
#SBATCH --output=%x-%j.log
set -euo pipefail

export RECIPE=$1 RUN=$2
MASTER_ADDR=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
export MASTER_ADDR MASTER_PORT=29500
export OMP_NUM_THREADS=$SLURM_CPUS_PER_TASK

# One task is one rank: srun starts all ranks and passes signals on to them. Since Slurm 22.05 it does not inherit the
# job's cpus-per-task; without the option a rank and its loaders would share one core.
srun --cpus-per-task="$SLURM_CPUS_PER_TASK" --kill-on-bad-exit=1 bash -c 'RANK=$SLURM_PROCID LOCAL_RANK=$SLURM_LOCALID WORLD_SIZE=$SLURM_NTASKS exec anaume pretrain "$RECIPE" --run "$RUN"'
