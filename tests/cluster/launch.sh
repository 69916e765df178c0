#!/usr/bin/env bash
# Brings cluster/onpremise.yaml up, submits the quickstart study to it, and takes it down, for real:
#
#     sudo tests/cluster/launch.sh
#
# Two nodes and the machine that launches them are network, mount and process namespaces of their own
# on this machine, joined by a bridge; each node runs sshd. Of the shipped file, only addresses, user,
# key and number of workers are replaced. There is no network in there: the pinned packages are
# downloaded before, with the pip configuration of this machine, and the nodes install from that folder.
# Exit code 77: something that this needs is missing, and it says what.
set -euo pipefail

TOP=$(cd "$(dirname "${BASH_SOURCE[0]}")/../.." && pwd)
SELF=$TOP/tests/cluster/launch.sh
BIN=${BIN:-$TOP/.venv/bin}
LAPTOP_IP=10.77.0.1
HEAD_IP=10.77.0.11
WORKER_IP=10.77.0.12

skip() {
  echo "skipped: $*" >&2
  exit 77
}

fail() {
  echo "FAILED: $*" >&2
  exit 1
}

check_needs() {
  [ "$(uname -s)" = Linux ] || skip "needs Linux"
  [ "$(id -u)" = 0 ] || skip "needs root, for namespaces of its own"
  [ -x "$BIN/ray" ] || skip "needs $BIN/ray: make install"
  command -v python3.11 >/dev/null || skip "needs python3.11, which the nodes install with"
  local tool
  for tool in unshare nsenter ip ss ssh ssh-keygen sshd rsync mount; do
    PATH=$PATH:/usr/sbin:/sbin command -v "$tool" >/dev/null ||
      skip "needs $tool (Debian: openssh-server, rsync, iproute2, util-linux)"
  done
  unshare --mount --pid --net --fork true 2>/dev/null || skip "needs the right to make namespaces"
  unshare --net sh -c 'ip link add name x0 type bridge && ip link add name x1 type veth peer name x2' 2>/dev/null ||
    skip "needs bridge and veth interfaces in the kernel"
}

download() {
  (cd "$TOP" && python3.11 -m pip download --quiet --dest "$ROOM/wheels" --constraint constraints.txt \
    '.[cluster,torch]' hatchling)
  rm -f "$ROOM"/wheels/aes_lipi-*
}

# ---------------------------------------------------------------------------------- one node

node() { # NAME IP: runs as the first process of its namespaces
  local name=$1 ip=$2 dir=$ROOM/$1
  until ip link show eth0 >/dev/null 2>&1; do sleep 0.1; done
  ip link set lo up
  ip addr add "$ip/24" dev eth0
  ip link set eth0 up
  ip route add default via "$LAPTOP_IP"
  hostname "$name"
  mount --make-rprivate /
  mkdir -p "$dir"/{upper,work}
  mount -t overlay overlay -o "lowerdir=$HOME,upperdir=$dir/upper,workdir=$dir/work" "$HOME"
  mount -t tmpfs tmpfs /tmp
  mount -t tmpfs tmpfs /run
  mount -t tmpfs tmpfs /dev/shm
  sed 's/^root:[^:]*:/root:*:/' /etc/shadow >"$dir/shadow" # a locked account takes no key either
  chmod 600 "$dir/shadow"
  mount --bind "$dir/shadow" /etc/shadow
  mkdir -p "$HOME/.ssh" /run/sshd
  rm -rf "$HOME/.ray"
  cp "$ROOM/laptop/.ssh/id_ed25519.pub" "$HOME/.ssh/authorized_keys"
  chmod 700 "$HOME/.ssh"
  chmod 600 "$HOME/.ssh/authorized_keys"
  printf 'export PATH=%q PIP_NO_INDEX=1 PIP_FIND_LINKS=%q\n' "$PATH" "$ROOM/wheels" >"$HOME/.bashrc"
  ssh-keygen -q -t ed25519 -N '' -f "$dir/host_key"
  printf '%s\n' "ListenAddress $ip" "HostKey $dir/host_key" 'UsePAM no' 'PrintMotd no' \
    'PermitRootLogin prohibit-password' 'PasswordAuthentication no' 'StrictModes no' \
    'PidFile none' 'Subsystem sftp internal-sftp' >"$dir/sshd_config"
  "$(command -v sshd)" -D -E "$dir/sshd.log" -f "$dir/sshd_config" &
  wait
}

start_node() { # NAME IP: its process is $NODE_PID afterwards
  mkdir -p "$ROOM/$1"
  unshare --mount --pid --net --uts --fork --kill-child --mount-proc \
    bash "$SELF" --node "$1" "$2" >"$ROOM/$1/log" 2>&1 &
  NODE_PID=$!
  until [ "$(readlink "/proc/$NODE_PID/ns/net")" != "$(readlink /proc/self/ns/net)" ]; do
    sleep 0.1
  done
  ip link add name "to-$1" type veth peer name eth0 netns "$NODE_PID"
  ip link set "to-$1" master bridge up
}

on() { # NODE_PID COMMAND...: in the network of a node
  nsenter --target "$1" --net "${@:2}"
}

# ------------------------------------------------------------------- the machine that launches

laptop() {
  mount --make-rprivate /
  mkdir "$ROOM/top"
  mount --bind "$TOP" "$ROOM/top"
  mount -t tmpfs tmpfs /tmp
  mkdir -p "$TOP" # which may be below /tmp
  mount --bind "$ROOM/top" "$TOP"
  ip link set lo up
  ip link add name bridge type bridge
  ip addr add "$LAPTOP_IP/24" dev bridge
  ip link set bridge up
  mkdir -p "$ROOM/laptop/.ssh"
  ssh-keygen -q -t ed25519 -N '' -f "$ROOM/laptop/.ssh/id_ed25519"
  start_node head "$HEAD_IP"
  head=$NODE_PID
  start_node worker "$WORKER_IP"

  export HOME=$ROOM/laptop PATH=$BIN:$PATH
  export RAY_AUTH_MODE=token RAY_USAGE_STATS_ENABLED=0 RAY_UP_enable_autoscaler_v2=0
  unset RAY_ADDRESS RAY_AUTH_TOKEN RAY_AUTH_TOKEN_PATH
  cd "$TOP"
  CLUSTER=$ROOM/onpremise.yaml
  sed -e "s/192\.0\.2\.10\b/$HEAD_IP/" -e "s/\[192\.0\.2\.11, 192\.0\.2\.12\]/[$WORKER_IP]/" \
    -e 's/ssh_user: aes_lipi/ssh_user: root/' -e 's/^max_workers: 2/max_workers: 1/' \
    -e "s|ssh_private_key: .*|ssh_private_key: $HOME/.ssh/id_ed25519|" \
    cluster/onpremise.yaml >"$CLUSTER"
  (umask 077 && ray get-auth-token --generate >/dev/null 2>&1)

  timed 'ray up' ray up --yes "$CLUSTER"
  timed 'worker joined' wait_for_worker
  timed 'ray submit' ray submit "$CLUSTER" run.py --rq quickstart
  # shellcheck disable=SC2088  # the home folder of the head, not of this machine
  timed 'ray rsync-down' ray rsync-down "$CLUSTER" '~/results/quickstart/' "$ROOM/results/"
  check_results "$ROOM/results"
  check_listeners
  check_tokens
  check_no_secret_left_open
  timed 'ray down' ray down --yes "$CLUSTER"
  timed 'all Ray gone' wait_for_silence
  ! on "$head" ss -ltnH | grep -v ':22 ' || fail "the head still listens"
  cat "$ROOM/times"
}

timed() { # WHAT COMMAND...
  local start end log
  start=$(date +%s.%N)
  log=$ROOM/${1// /-}.log
  echo "== $1"
  "${@:2}" >"$log" 2>&1 || { tail -n 60 "$log" && fail "$1"; }
  end=$(date +%s.%N)
  printf '%-16s %6.1f s\n' "$1" "$(echo "$start $end" | awk '{print $2 - $1}')" | tee -a "$ROOM/times"
}

wait_for_worker() {
  local try
  for try in $(seq 60); do
    ray exec "$CLUSTER" "python -c \"import ray; ray.init('auto'); print('nodes', len(ray.nodes()))\"" |
      tee "$ROOM/nodes" | grep -q 'nodes 2' && return
    sleep 2
  done
  echo "$try times looked, and no worker" && ray exec "$CLUSTER" 'cat /tmp/ray/session_latest/logs/monitor.*'
  return 1
}

wait_for_silence() {
  local try
  for try in $(seq 120); do
    # shellcheck disable=SC2009  # pgrep shows no arguments
    ps -eo args | grep -E '[r]aylet/raylet|[g]cs_server|[r]ay::|[d]ashboard' >"$ROOM/left" || return 0
    sleep 1
  done
  echo "after $try s there are still:" && cat "$ROOM/left"
  return 1
}

check_results() { # FOLDER
  "$BIN/python" - "$1" <<'PYTHON' || fail "the results"
import sys

import aes_lipi

results = aes_lipi.load_results(sys.argv[1])
trials = results.trials
assert len(trials) == 4, trials
assert set(trials["host"]) == {"head", "worker"}, trials["host"]
assert len(results.generations) == 4 * 400 * 10, len(results.generations)
print(trials[["variant_name", "trial", "mean_L1", "test_L1", "host"]].to_string(index=False))
PYTHON
}

check_listeners() {
  on "$head" ss -ltnH | awk '{print $4}' | sort -u >"$ROOM/listeners"
  grep -qx '127.0.0.1:8265' "$ROOM/listeners" || fail "the dashboard is not on the loopback address"
  [ "$(grep -c ':8265$' "$ROOM/listeners")" = 1 ] || fail "the dashboard listens wider"
  grep -q ':6379$' "$ROOM/listeners" || fail "the cluster's port is not 6379"
  ! bash -c "exec 3<>/dev/tcp/$HEAD_IP/8265" 2>/dev/null || fail "the dashboard answers from outside"
  echo "the head listens on: $(tr '\n' ' ' <"$ROOM/listeners")"
}

check_tokens() {
  ray status --address "$HEAD_IP:6379" >/dev/null || fail "the right token is refused"
  ! RAY_AUTH_TOKEN=$(printf 0%.0s {1..64}) ray status --address "$HEAD_IP:6379" \
    >"$ROOM/refused" 2>&1 || fail "a wrong token is accepted"
  grep -q InvalidAuthToken "$ROOM/refused" || fail "refused, but not for its token"

  ssh -i "$HOME/.ssh/id_ed25519" -o StrictHostKeyChecking=no -o UserKnownHostsFile=/dev/null \
    -o LogLevel=ERROR -N -L 8265:127.0.0.1:8265 "root@$HEAD_IP" &
  local tunnel=$!
  until bash -c 'exec 3<>/dev/tcp/127.0.0.1/8265' 2>/dev/null; do sleep 0.2; done
  ! RAY_AUTH_TOKEN=$(printf 0%.0s {1..64}) ray job list --address http://127.0.0.1:8265 \
    >"$ROOM/refused" 2>&1 || fail "the dashboard accepts a wrong token"
  grep -qi 'token' "$ROOM/refused" || fail "the dashboard refused, but not for the token"
  timed 'ray job submit' ray job submit --address http://127.0.0.1:8265 -- \
    aes-lipi run --rq quickstart --trials 1 --epochs 20 --output_dir results/job
  kill "$tunnel"
  ray exec "$CLUSTER" 'ls ~/results/job/trials/*' | grep -q 'trial=0000.parquet' ||
    fail "the job left no results"
  echo "wrong tokens are refused by the cluster's port and by the dashboard"
}

check_no_secret_left_open() {
  local token
  for token in "$ROOM"/{head,worker}/upper/.ray/auth_token; do
    [ "$(stat -c %a "$token")" = 600 ] || fail "others can read $token"
    cmp -s "$token" "$HOME/.ray/auth_token" || fail "$token is another one"
  done
}

# ------------------------------------------------------------------------------------------ go

case ${1:-} in
--node) node "$2" "$3" ;;
--laptop) laptop ;;
*)
  check_needs
  export PATH=$PATH:/usr/sbin:/sbin
  ROOM=$(mktemp -d "/var/tmp/aes-lipi-launch.XXXXXX")
  export ROOM
  trap 'rm -rf "$ROOM"' EXIT
  timed 'packages' download
  unshare --mount --pid --net --fork --kill-child --mount-proc bash "$SELF" --laptop
  ! grep -q "$ROOM" /proc/mounts || fail "mounts are left"
  ! grep -lsz "ROOM=$ROOM" /proc/[0-9]*/environ | grep -v "^/proc/$$/" | grep -q . || fail "processes are left"
  echo "passed; nothing is left"
  ;;
esac
