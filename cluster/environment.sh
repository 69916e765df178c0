# What every node of a cluster sets before Ray starts on it; sourced by its login shells.
# shellcheck shell=sh

export PATH="$HOME/aes_lipi/.venv/bin:$PATH"
export RAY_AUTH_MODE=token                     # the token is in ~/.ray/auth_token
export RAY_max_direct_call_object_size=1000000 # weights travel inside calls, which is faster here
export RAY_USAGE_STATS_ENABLED=0
export OMP_NUM_THREADS=1
