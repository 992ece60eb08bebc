#!/usr/bin/env bash
# A real Slurm cluster of one node for tests: cluster.sh start FOLDER | stop FOLDER
#
# munged, slurmctld and slurmd keep everything (keys, sockets, state, logs) in FOLDER and listen on free ports of this machine only, so
# that they do not disturb another Slurm on it. Any user can start it, and that user submits the jobs; no systemd, no accounting.
# Checked with Slurm 22.05. After `start`, Slurm's programs find it with SLURM_CONF=FOLDER/slurm.conf. `stop` ends the daemons and their
# jobs, also after a `start` that failed half-way. FOLDER's path has to be short, since it holds a socket.
#
# CPUS=N: processors of the node, whatever the machine has.
set -euo pipefail

usage() { echo "cluster.sh start FOLDER | stop FOLDER" >&2; exit 2; }
[ $# -eq 2 ] || usage
export PATH=$PATH:/usr/sbin:/sbin
mkdir -p "$2"
folder=$(cd "$2" && pwd -P)

missing() {
  for program in munged slurmctld slurmd sbatch squeue scontrol; do
    command -v "$program" >/dev/null || echo "$program"
  done
}

free_ports() {
  python3 - "$1" <<'END'
import socket, sys
sockets = [socket.socket() for _ in range(int(sys.argv[1]))]
for one in sockets:
    one.bind(("127.0.0.1", 0))
print(*(one.getsockname()[1] for one in sockets))
END
}

# Waits until a command succeeds, 20 s at most.
until_succeeds() {
  for _ in $(seq 200); do
    if "$@" >/dev/null 2>&1; then return 0; fi
    sleep 0.1
  done
  echo "cluster.sh: gave up waiting for: $*" >&2
  return 1
}

# Nine tenths of the machine's memory: Slurm refuses a node with less memory than configured.
usable_mebibytes() { awk '/^MemTotal:/ { print int($2 / 1024 * 0.9) }' /proc/meminfo; }

node_is_idle() { [ "$(sinfo --noheader --format=%T)" = idle ]; }

start() {
  local lacking ctld_port slurmd_port user host
  lacking=$(missing | tr '\n' ' ')
  if [ -n "$lacking" ]; then
    echo "cluster.sh: not installed: ${lacking}(Debian and Ubuntu: apt-get install slurm-wlm)" >&2
    exit 1
  fi
  user=$(id -un)
  host=$(uname -n)
  host=${host%%.*}
  read -r ctld_port slurmd_port < <(free_ports 2)
  mkdir -p "$folder"/{state,spool,logs,munge}
  # munged requires that nobody else can write to the folder of its key, and that everybody can reach its socket.
  chmod 755 "$folder" "$folder/munge"
  (umask 077; head -c 128 /dev/urandom >"$folder/munge/key")
  cat >"$folder/slurm.conf" <<END
ClusterName=test
SlurmctldHost=$host(127.0.0.1)
SlurmctldPort=$ctld_port
SlurmdPort=$slurmd_port
SlurmUser=$user
SlurmdUser=$user
AuthType=auth/munge
# A requeued job waits until its credential has expired: two minutes by default.
AuthInfo=socket=$folder/munge/socket,cred_expire=5
CredType=cred/munge
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
SlurmctldLogFile=$folder/logs/slurmctld
SlurmdLogFile=$folder/logs/slurmd
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SwitchType=switch/none
MpiDefault=none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
JobCompType=jobcomp/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
SchedulerType=sched/backfill
# Schedules often: jobs of a test take a second.
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
KillWait=2
# Finished jobs are kept for an hour.
MinJobAge=3600
ReturnToService=2
NodeName=$host NodeAddr=127.0.0.1 CPUs=${CPUS:-$(nproc)} RealMemory=$(usable_mebibytes) State=UNKNOWN
PartitionName=test Nodes=ALL Default=YES MaxTime=INFINITE State=UP
END
  export SLURM_CONF=$folder/slurm.conf
  munged --force --key-file="$folder/munge/key" --socket="$folder/munge/socket" --pid-file="$folder/munge/pid" \
    --log-file="$folder/munge/log" --seed-file="$folder/munge/seed" >&2
  slurmctld -c
  slurmd -c
  until_succeeds node_is_idle || { tail -n 20 "$folder"/logs/* >&2; return 1; }
}

# Ends the process of a PID file, and waits until it is gone.
terminate() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 0
  kill "$pid" 2>/dev/null || return 0
  for _ in $(seq 100); do
    kill -0 "$pid" 2>/dev/null || return 0
    sleep 0.1
  done
  kill -9 "$pid" 2>/dev/null || true
}

stop() {
  export SLURM_CONF=$folder/slurm.conf
  if [ -e "$folder/slurmctld.pid" ]; then
    timeout 10 scancel --user="$(id -un)" 2>/dev/null || true
    for _ in $(seq 50); do
      [ -n "$(timeout 10 squeue --noheader 2>/dev/null)" ] || break
      sleep 0.1
    done
  fi
  terminate "$folder/slurmd.pid"
  terminate "$folder/slurmctld.pid"
  terminate "$folder/munge/pid"
}

case $1 in
  start) start ;;
  stop) stop ;;
  *) usage ;;
esac
