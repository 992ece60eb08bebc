#!/usr/bin/env bash
# Plans a pipeline and runs its cells: run.sh [all|dupgen|tune|extract|plagiarism|report|check|estimate|slurm|status]
#
# The Makefile's targets end here; its variables are in the environment. Exit status: that of the stage that failed (1 the run
# failed, 2 wrong usage or configuration, 3 bad input). make itself ends with 2 whatever happened; its last line and the file
# exit_status in the run folder say which it was.
set -euo pipefail
stage=${1:-all}

# A name in letters that make can carry.
plain() { local name=${1#./}; printf %s "${name%/}" | sed 's|^/*||' | tr -c 'A-Za-z0-9._+@,-' '-'; }
if [ -z "${RUN:-}" ] && [ "${AUDIT:-}" = 1 ]; then
  RUN=data/runs/audit-$(plain "$CHECKPOINT")
elif [ -z "${RUN:-}" ] && [ "${LOOK:-}" = 1 ]; then
  RUN=data/runs/check-$(plain "$CORPUS")
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
given=()
if [ "${AUDIT:-}" = 1 ]; then
  given=(--checkpoint "$CHECKPOINT" --corpus "$CORPUS" --base "${BASE:-}" --held-out "${HELD_OUT:-}" --other "${OTHER:-}" --canaries "${CANARIES:-}")
elif [ "${LOOK:-}" = 1 ]; then
  given=(--model "${MODEL:-}" --corpus "$CORPUS" --held-out "${HELD_OUT:-}")
fi
# A program may come with arguments of its own: PLAN="python3 mine.py".
plan() { $PLAN --config "$PIPELINE" --out "$RUN" ${given[@]+"${given[@]}"} --set-all "${SET:-}" "$@"; }

if [ "$stage" = estimate ]; then
  plan --estimate --measure "$TUNER" ${THREADS:+--threads "$THREADS"}
  exit
fi
if [ "$stage" = slurm ]; then
  # The machine that plans is seldom one that computes: its speed is not measured.
  plan --slurm
  exit
fi

# MAKEFLAGS begins with the letters of make's short options; after ` -- ` come variables.
is_dry_run() {
  local letters=${MAKEFLAGS:-}
  letters=${letters%% *}
  case $letters in -* | *=*) return 1 ;; *n*) return 0 ;; *) return 1 ;; esac
}

# Sets `jobs` and MAKEFLAGS where make -jN was asked for more jobs than there is memory for, or -j for any number of them.
limit_jobs() {
  local options=" ${MAKEFLAGS:-} " variables='' kept='' asked='' is_asked='' fitting word
  case $options in *' -- '*) variables=" -- ${options#* -- }" options=${options%% -- *} ;; esac
  for word in $options; do
    case $word in
      -j*) is_asked=1 asked=${word#-j} ;;
      --jobserver*) ;;
      *) kept="$kept $word" ;;
    esac
  done
  [ -n "$is_asked" ] || return 0
  local number=${asked:-$(getconf _NPROCESSORS_ONLN)}
  [ "$number" -gt 1 ] || return 0
  fitting=$(plan --at-once "$number") || return 0
  case $fitting in '' | *[!0-9]*) return 0 ;; esac
  if [ "$fitting" != "$asked" ]; then
    jobs=(-j"$fitting")
    export MAKEFLAGS="${kept# }$variables"
  fi
}

# How far the run is: where something failed in any case, else where it is of several cells. Another program for PLAN may know none.
show_status() {
  set -- "$RUN"/cells/*/cell.toml
  if ! is_dry_run && { [ "$status" != 0 ] || [ $# -gt 1 ]; }; then $PLAN --status --brief --out "$RUN" >&2 || true; fi
}

plan
jobs=()
is_dry_run || limit_jobs
rm -f "$RUN/exit_status"
# Where there is no room for temporary files, the run folder has some.
started=$(mktemp 2>/dev/null || mktemp "$RUN/.started.XXXXXX")
trap 'rm -f "$started"' EXIT
status=0
"${MAKE:-make}" --no-print-directory ${jobs[@]+"${jobs[@]}"} -f "$RUN/cells.mk" "$stage" || status=$(cat "$RUN/exit_status" 2>/dev/null || echo 2)
show_status
[ "$status" = 0 ] || exit "$status"
# The report says itself where its page is; where it was there already, nobody else does.
if [ "${LOOK:-}" = 1 ]; then
  page=$RUN/check/check.html
  if ! [ "$page" -nt "$started" ]; then cat "$RUN/check/table.txt" >&2; echo "$page is up to date"; fi
  exit
fi
page=$RUN/report/report.html
if [ "$stage" = all ] && [ -e "$page" ] && ! [ "$page" -nt "$started" ]; then echo "$page is up to date"; fi
