#!/usr/bin/env bash
# Plans a pipeline and runs its cells: run.sh [all|dupgen|tune|extract|plagiarism|report|check|estimate|slurm|status]
#
# Called by the Makefile's targets, with its variables in the environment. Exit status: that of the stage that failed (1 the run
# failed, 2 wrong usage or configuration, 3 bad input). make itself always ends with 2; its last line and the file exit_status in the
# run folder have the stage's status.
set -euo pipefail
stage=${1:-all}

# A path as a name of characters that need no quoting in make.
slug() { local name=${1#./}; printf %s "${name%/}" | sed 's|^/*||' | tr -c 'A-Za-z0-9._+@,-' '-'; }
if [ -z "${RUN:-}" ] && [ "${AUDIT:-}" = 1 ]; then
  RUN=data/runs/audit-$(slug "$CHECKPOINT")
elif [ -z "${RUN:-}" ] && [ "${LOOK:-}" = 1 ]; then
  RUN=data/runs/check-$(slug "$CORPUS")
elif [ -z "${RUN:-}" ]; then
  name=${PIPELINE##*/}
  RUN=data/runs/${name%.*}
fi
if ! command -v "${PLAN%% *}" >/dev/null; then
  echo 'make -n shows the rules of the cells once make build is done'
  exit 0
fi
if [ "$stage" = status ]; then
  $PLAN --status --out "$RUN"
  exit
fi
arguments=()
if [ "${AUDIT:-}" = 1 ]; then
  arguments=(--checkpoint "$CHECKPOINT" --corpus "$CORPUS" --base "${BASE:-}" --held-out "${HELD_OUT:-}" --other "${OTHER:-}" --canaries "${CANARIES:-}")
elif [ "${LOOK:-}" = 1 ]; then
  arguments=(--model "${MODEL:-}" --corpus "$CORPUS" --held-out "${HELD_OUT:-}")
fi
# PLAN may hold arguments: PLAN="python3 mine.py".
plan() { $PLAN --config "$PIPELINE" --out "$RUN" ${arguments[@]+"${arguments[@]}"} --set-all "${SET:-}" "$@"; }

if [ "$stage" = estimate ]; then
  plan --estimate --measure "$TUNER" ${THREADS:+--threads "$THREADS"}
  exit
fi
if [ "$stage" = slurm ]; then
  # The machine that plans is rarely one that computes, so its speed is not measured.
  plan --slurm
  exit
fi

# MAKEFLAGS begins with the letters of make's short options; after ` -- ` come variables.
is_dry_run() {
  local letters=${MAKEFLAGS:-}
  letters=${letters%% *}
  case $letters in -* | *=*) return 1 ;; *n*) return 0 ;; *) return 1 ;; esac
}

# Sets `jobs` and MAKEFLAGS where make -jN allows more jobs than memory holds, or -j any number.
limit_jobs() {
  local options=" ${MAKEFLAGS:-} " variables='' others='' requested='' is_parallel='' fitting word
  case $options in *' -- '*) variables=" -- ${options#* -- }" options=${options%% -- *} ;; esac
  for word in $options; do
    case $word in
      -j*) is_parallel=1 requested=${word#-j} ;;
      --jobserver*) ;;
      *) others="$others $word" ;;
    esac
  done
  [ -n "$is_parallel" ] || return 0
  local number=${requested:-$(getconf _NPROCESSORS_ONLN)}
  [ "$number" -gt 1 ] || return 0
  fitting=$(plan --at-once "$number") || return 0
  case $fitting in '' | *[!0-9]*) return 0 ;; esac
  if [ "$fitting" != "$requested" ]; then
    jobs=(-j"$fitting")
    export MAKEFLAGS="${others# }$variables"
  fi
}

# Shows the progress of a run that failed or has several cells. Another program for PLAN may have no --status.
show_status() {
  set -- "$RUN"/cells/*/cell.toml
  if ! is_dry_run && { [ "$status" != 0 ] || [ $# -gt 1 ]; }; then $PLAN --status --brief --out "$RUN" >&2 || true; fi
}

# Where a plan is refused, the report that is there is of something else: `report check` has to know.
plan || {
  status=$?
  if ! is_dry_run && [ -d "$RUN" ]; then echo "$status" >"$RUN/exit_status" || true; fi
  exit "$status"
}
jobs=()
is_dry_run || limit_jobs
rm -f "$RUN/exit_status"
# The folder of temporary files may be full.
started=$(mktemp 2>/dev/null || mktemp "$RUN/.started.XXXXXX")
trap 'rm -f "$started"' EXIT
status=0
"${MAKE:-make}" --no-print-directory ${jobs[@]+"${jobs[@]}"} -f "$RUN/cells.mk" "$stage" || status=$(cat "$RUN/exit_status" 2>/dev/null || echo 2)
show_status
[ "$status" = 0 ] || exit "$status"
# The stage names the page that it writes; one that is up to date is named here.
if [ "${LOOK:-}" = 1 ]; then
  page=$RUN/check/check.html
  if ! [ "$page" -nt "$started" ]; then cat "$RUN/check/table.txt" >&2; echo "$page is up to date"; fi
  exit
fi
page=$RUN/report/report.html
if [ "$stage" = all ] && [ -e "$page" ] && ! [ "$page" -nt "$started" ]; then
  # make has found everything up to date: what a stage that was run by hand and failed has left says nothing against the report.
  marks=$(find "$RUN" \( -name '.failed-*' -o -name '.exit-*' -o -name '.running-*' \) -newer "$RUN/report/summary.parquet" 2>/dev/null || true)
  if ! is_dry_run && [ -n "$marks" ]; then touch -c "$page" "$RUN/report/summary.parquet" 2>/dev/null || true; fi
  echo "$page is up to date"
fi
