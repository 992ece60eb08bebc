#!/usr/bin/env bash
# A real Slurm of one node for tests: cluster.sh start FOLDER | stop FOLDER
#
# munged, slurmctld and slurmd keep everything (keys, sockets, state, logs) in FOLDER and listen on free ports of this machine only, so
# that a Slurm that runs here anyway is not touched. Started as root or as any user, who then is the one that submits jobs; no systemd
# and no accounting. Checked with Slurm 22.05. After `start`, Slurm's programs find it with SLURM_CONF=FOLDER/slurm.conf. `stop` ends the daemons, and
# what is left of their jobs; it is right also where `start` failed half-way. FOLDER's path has to be short (a socket lies in it).
#
# CPUS=N: processors that the node has, whatever the machine has.
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
held = [socket.socket() for _ in range(int(sys.argv[1]))]
for port in held:
    port.bind(("127.0.0.1", 0))
print(*(port.getsockname()[1] for port in held))
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

# Nine tenths of the machine's memory: Slurm takes no node that has less than it is said to have.
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
  # munged wants nobody else to write where its key lies, and everybody to reach its socket.
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
# A job that was put back waits until its credential has expired: by default two minutes.
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
# What is due is looked for often: jobs of a test take a second.
SchedulerParameters=sched_interval=2,sched_min_interval=0,bf_interval=1,batch_sched_delay=0
KillWait=2
# Ended jobs are remembered for an hour.
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

# Ends the process whose number is in a file, and waits until it is gone.
end() {
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
  end "$folder/slurmd.pid"
  end "$folder/slurmctld.pid"
  end "$folder/munge/pid"
}

case $1 in
  start) start ;;
  stop) stop ;;
  *) usage ;;
esac
