#!/usr/bin/env bash
# Installs the peers of the benchmarks in data/bench, and prints for each where it is or which variable to set. Benchmarks without their
# peer report it as missing; the exit status is 0 in either case.
#
# Each peer can be given instead of fetched, so that no network is needed:
#
#   BENCH_PYTHON       a Python that has scripts/bench/requirements.txt (transformers, peft, sentence-transformers), or
#   BENCH_WHEELS       a folder of wheels (or of their sources), from which data/bench/venv is made
#   BENCH_DEDUPLICATE  the source folder of google-research/deduplicate-text-datasets, which is built here, or its program dedup_dataset
#   BENCH_DETECTOR     the source folder of CubasMike/plagiarism_detection_pan2015 (with PAN2015.py)
#   BENCH_OFFLINE=1    fetches nothing: peers that are neither given nor installed are missing
#
# Usage: setup.sh [python] [deduplicate] [detector]    (all of them without arguments)
set -uo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/../.."
data=${BENCH_DATA:-data/bench}
offline=${BENCH_OFFLINE:-}
mkdir -p "$data"
say() { printf 'bench: %s\n' "$*" >&2; }

# Clones a repository at one commit. A copy without .git was put there by hand and is used as it is.
clone() {
  local repository=$1 commit=$2 folder=$3
  if [ -d "$folder" ] && [ ! -d "$folder/.git" ]; then return 0; fi
  if [ "$(git -C "$folder" rev-parse HEAD 2>/dev/null)" = "$commit" ]; then return 0; fi
  [ -z "$offline" ] || return 1
  say "fetching $repository"
  rm -rf "$folder"
  git init --quiet "$folder" &&
    timeout 300 git -C "$folder" -c http.lowSpeedLimit=1000 -c http.lowSpeedTime=20 \
      fetch --quiet --depth 1 "https://github.com/$repository" "$commit" &&
    git -C "$folder" -c advice.detachedHead=false checkout --quiet FETCH_HEAD || { rm -rf "$folder"; return 1; }
}

# Makes data/bench/venv, from BENCH_WHEELS if that is set.
make_venv() {
  local source=()
  if cmp -s scripts/bench/requirements.txt "$data/venv/installed"; then return 0; fi
  if [ -n "${BENCH_WHEELS:-}" ]; then source=(--no-index --find-links "$BENCH_WHEELS"); elif [ -n "$offline" ]; then return 1; fi
  say "installing the Python peers"
  rm -rf "$data/venv"
  python3 -m venv "$data/venv" &&
    "$data/venv/bin/python" -m pip install --quiet --disable-pip-version-check --retries 1 --timeout 20 "${source[@]}" \
      -r scripts/bench/requirements.txt &&
    cp scripts/bench/requirements.txt "$data/venv/installed" || { rm -rf "$data/venv"; return 1; }
}

python() {
  local program=${BENCH_PYTHON:-} lacking
  if [ -z "$program" ]; then
    program=$data/venv/bin/python
    make_venv || { say "missing: the Python peers; set BENCH_PYTHON to a Python with scripts/bench/requirements.txt, or BENCH_WHEELS to a folder of its wheels"; return; }
  fi
  lacking=$("$program" - <<'PYTHON' 2>&1
import importlib.util
packages = ["torch", "transformers", "peft", "sentence_transformers", "nltk", "Stemmer"]
print(" ".join(package for package in packages if importlib.util.find_spec(package) is None))
PYTHON
  ) || { say "missing: the Python peers; BENCH_PYTHON=$program does not run: $lacking"; return; }
  if [ -n "$lacking" ]; then say "Python peers: $program, which lacks $lacking (see scripts/bench/requirements.txt)"; else say "Python peers: $program"; fi
}

deduplicate() {
  local source=${BENCH_DEDUPLICATE:-$data/deduplicate-text-datasets} cargo=(cargo build --quiet --release)
  if [ -f "$source" ]; then say "deduplicate-text-datasets: $source"; return; fi
  if [ -z "${BENCH_DEDUPLICATE:-}" ] &&
    ! clone google-research/deduplicate-text-datasets 4e9888ac3f95dc4f6169867a04c4c19df02dafe3 "$source"; then
    say "missing: deduplicate-text-datasets; set BENCH_DEDUPLICATE to the folder of its source, or to the program dedup_dataset"
    return
  fi
  if [ ! -f "$source/Cargo.toml" ]; then say "missing: deduplicate-text-datasets; BENCH_DEDUPLICATE=$source has no Cargo.toml"; return; fi
  [ -z "$offline" ] || cargo+=(--offline)
  # In its own target folder: this project's CARGO_TARGET_DIR is not for it.
  if [ -x "$source/target/release/dedup_dataset" ] || (cd "$source" && CARGO_TARGET_DIR=target "${cargo[@]}"); then
    say "deduplicate-text-datasets: $source"
  else
    say "missing: deduplicate-text-datasets; its source in $source does not build (its crates come from a registry, or from cargo vendor)"
  fi
}

detector() {
  local source=${BENCH_DETECTOR:-$data/plagiarism_detection_pan2015}
  [ -n "${BENCH_DETECTOR:-}" ] ||
    clone CubasMike/plagiarism_detection_pan2015 fc2d4a3bdcb9ae60abd5976f5dddec6755ea39ce "$source" || true
  if [ -f "$source/PAN2015.py" ]; then
    say "published detector: $source"
  else
    say "missing: the published detector; set BENCH_DETECTOR to the folder of CubasMike/plagiarism_detection_pan2015"
  fi
}

for peer in "${@:-python deduplicate detector}"; do
  for name in $peer; do
    case $name in
      python | deduplicate | detector) "$name" ;;
      *) say "expected python, deduplicate or detector; found $name"; exit 2 ;;
    esac
  done
done
exit 0
