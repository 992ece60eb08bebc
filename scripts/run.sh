#!/usr/bin/env bash
# Plans a pipeline and runs its cells: run.sh [all|dupgen|tune|extract|plagiarism|report|check|estimate]
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
plan
rm -f "$RUN/exit_status"
# Where there is no room for temporary files, the run folder has some.
started=$(mktemp 2>/dev/null || mktemp "$RUN/.started.XXXXXX")
trap 'rm -f "$started"' EXIT
"${MAKE:-make}" --no-print-directory -f "$RUN/cells.mk" "$stage" || exit "$(cat "$RUN/exit_status" 2>/dev/null || echo 2)"
# The report says itself where its page is; where it was there already, nobody else does.
if [ "${LOOK:-}" = 1 ]; then
  page=$RUN/check/check.html
  if ! [ "$page" -nt "$started" ]; then cat "$RUN/check/table.txt" >&2; echo "$page is up to date"; fi
  exit
fi
page=$RUN/report/report.html
if [ "$stage" = all ] && [ -e "$page" ] && ! [ "$page" -nt "$started" ]; then echo "$page is up to date"; fi
