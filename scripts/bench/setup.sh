#!/usr/bin/env bash
# Fetches the peers of the benchmarks into data/bench/: a Python environment and two public repositories at fixed commits.
# Each can be a path of your own instead: BENCH_PYTHON (a Python with requirements.txt), BENCH_DEDUPLICATE (the program
# dedup_dataset), BENCH_DETECTOR (the folder of PAN2015.py). What cannot be had is said, and its benchmark reports it missing.
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
place=data/bench
mkdir -p "$place"
say() { printf 'bench: %s\n' "$*" >&2; }

# Clones a repository at one commit.
clone() {
  local repository=$1 commit=$2 folder=$3
  if [ "$(git -C "$folder" rev-parse HEAD 2>/dev/null)" = "$commit" ]; then return; fi
  say "fetching $repository"
  rm -rf "$folder"
  git init --quiet "$folder" &&
    git -C "$folder" fetch --quiet --depth 1 "https://github.com/$repository" "$commit" &&
    git -C "$folder" -c advice.detachedHead=false checkout --quiet FETCH_HEAD || { say "$repository cannot be fetched"; rm -rf "$folder"; return 1; }
}

if [ -z "${BENCH_PYTHON:-}" ] && ! cmp -s scripts/bench/requirements.txt "$place/venv/installed"; then
  say "installing the Python peers"
  rm -rf "$place/venv"
  python3 -m venv "$place/venv" &&
    "$place/venv/bin/python" -m pip install --quiet --disable-pip-version-check -r scripts/bench/requirements.txt &&
    cp scripts/bench/requirements.txt "$place/venv/installed" || say "the Python peers cannot be installed"
fi
if [ -z "${BENCH_DEDUPLICATE:-}" ] &&
  clone google-research/deduplicate-text-datasets 4e9888ac3f95dc4f6169867a04c4c19df02dafe3 "$place/deduplicate-text-datasets"; then
  (cd "$place/deduplicate-text-datasets" && cargo build --quiet --release) || say "deduplicate-text-datasets does not build"
fi
[ -n "${BENCH_DETECTOR:-}" ] ||
  clone CubasMike/plagiarism_detection_pan2015 fc2d4a3bdcb9ae60abd5976f5dddec6755ea39ce "$place/plagiarism_detection_pan2015"
exit 0
