
# The run folder is known by its path from where plan was run, and so are all files in the rules of make.
if ! [ -e "$run/cells.mk" ]; then
  echo "submit.sh: expected $run/cells.mk here; run it in the folder that plan was run in" >&2
  exit 2
fi
for program in sbatch squeue flock make; do
  if ! command -v "$program" >/dev/null; then
    echo "submit.sh: $program is not installed here; run it on a machine that submits jobs to Slurm" >&2
    exit 2
  fi
done
jobs=$run/slurm/jobs.toml
mkdir -p "$run/slurm/logs"
exec 9>"$run/slurm/lock"
flock -n 9 || { echo "submit.sh: another submit.sh is at work on $run" >&2; exit 1; }

# Two jobs must not make the same files.
known=''
if [ -e "$jobs" ]; then known=$(sed -n 's/^id = //p' "$jobs" | paste -s -d, -); fi
if [ -n "$known" ]; then
  # squeue fails where none of them is known any more.
  left=$(squeue --noheader --format='%i %T' --jobs="$known" 2>/dev/null || true)
  if [ -n "$left" ]; then
    echo "submit.sh: jobs of $run are in the queue: wait until they end, or end them with scancel ${known//,/ }" >&2
    exit 1
  fi
fi

declare -A ids=()

# Whether all that an array makes is there and up to date, as make sees it.
is_done() {
  local makes
  makes=$(sed -n 's/^  \[[0-9]*\]="[^|]*|\([^"]*\)".*/\1/p' "$1")
  # shellcheck disable=SC2086
  env -u MAKEFLAGS -u MFLAGS -u MAKELEVEL make -q -f "$run/cells.mk" ${makes//\$run/$run} >/dev/null 2>&1
}

# submit ARRAY [aftercorr|afterok|afterany ARRAY or ARRAY:ELEMENT…]: submits an array, unless it is done, and writes down its job.
submit() {
  local name=$1 kind=${2:-} script=$run/slurm/$1.sbatch after='' other id
  if is_done "$script"; then
    echo "$name: done"
    return
  fi
  for other in "${@:3}"; do
    id=${ids[${other%:*}]:-}
    # What is done already is waited for by nobody.
    [ -n "$id" ] || continue
    case $other in *:*) id+=_${other##*:} ;; esac
    after+=:$id
  done
  if ! id=$(sbatch --parsable ${after:+"--dependency=$kind$after" --kill-on-invalid-dep=yes} "$script"); then
    echo "submit.sh: sbatch refuses $script; submitted before it: ${ids[*]:-none} (scancel ends them)" >&2
    exit 1
  fi
  # Where there are several clusters, the name of the cluster follows.
  id=${id%%;*}
  if [ ${#ids[@]} -eq 0 ]; then echo '# Written by submit.sh: the jobs that it submitted last.' >"$jobs"; fi
  ids[$name]=$id
  printf '\n[[job]]\narray = "%s"\nid = %s\nafter = "%s"\nsubmitted = "%s"\n' \
    "$name" "$id" "${after:+$kind$after}" "$(date '+%FT%T%z')" >>"$jobs"
  echo "$name: job $id${after:+, $kind$after}"
}
