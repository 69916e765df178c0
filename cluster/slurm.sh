#!/usr/bin/env bash
# A study on the nodes of a Slurm allocation: one Ray node each, gone when the job ends.
#
#     sbatch --nodes=4 --cpus-per-task=32 cluster/slurm.sh --rq best_of_lipi
#
# Submit it in the top folder, on a file system that all nodes share, with .venv there (README.md).
# GPU nodes: add --gpus-per-task=1. What follows the script goes to run.py; its exit code is the job's.
#SBATCH --job-name=aes_lipi
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --time=12:00:00
#SBATCH --output=%x-%j.log
set -euo pipefail

cd "${SLURM_SUBMIT_DIR:?submit this with sbatch}"
. cluster/environment.sh
export PATH="$PWD/.venv/bin:$PATH"

work=$(mktemp -d "$PWD/.slurm-$SLURM_JOB_ID.XXXXXX") # on the shared file system, for us alone
port=$((20000 + SLURM_JOB_ID % 10000))
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
session=/tmp/ray-$SLURM_JOB_ID # on each node
steps=()

# shellcheck disable=SC2329  # traps call it
stop() {
  trap - EXIT INT TERM
  kill "${steps[@]}" 2>/dev/null || true # srun ends what it started
  wait || true
  srun --nodes="$SLURM_JOB_NUM_NODES" --ntasks-per-node=1 rm -rf "$session" || true
  rm -rf "$work"
}
trap stop EXIT
trap 'exit 143' INT TERM

# A token for this job, which no other user can read.
export RAY_AUTH_TOKEN_PATH=$work/token
(umask 077 && od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$RAY_AUTH_TOKEN_PATH")

ray_on() { # NODES SRUN-OPTION RAY-START-OPTION...
  srun --nodes="$1" --ntasks="$1" --ntasks-per-node=1 --cpus-per-task="$SLURM_CPUS_PER_TASK" "$2" \
    ray start --block --num-cpus="$SLURM_CPUS_PER_TASK" "${@:3}" &
  steps+=($!)
}

address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --ip-address | awk '{print $1}'):$port
ray_on 1 --nodelist="$head" --head --port="$port" --node-ip-address="${address%:*}" \
  --dashboard-host=127.0.0.1 --dashboard-port=$((port + 10000)) --ray-client-server-port=$((port + 20000)) \
  --temp-dir="$session"
until ray status --address "$address" >/dev/null 2>&1; do
  kill -0 "${steps[0]}" || { echo "Ray did not start on $head" >&2 && exit 1; }
  sleep 1
done
if [ "$SLURM_JOB_NUM_NODES" -gt 1 ]; then
  ray_on $((SLURM_JOB_NUM_NODES - 1)) --exclude="$head" --address="$address"
fi
python - "$address" "$SLURM_JOB_NUM_NODES" <<'PYTHON'
import sys
import time

import ray

ray.init(sys.argv[1], log_to_driver=False, logging_level="ERROR")
deadline = time.monotonic() + 300
while len(ray.nodes()) < int(sys.argv[2]) and time.monotonic() < deadline:
    time.sleep(1)
print(f"{len(ray.nodes())} of {sys.argv[2]} nodes are there")
PYTHON

code=0
python run.py --address "$address" "$@" || code=$?
exit "$code"
