#!/usr/bin/env bash
# Fuzzes every reader of files that other programs write (crates/fuzz): fuzz.sh [READER …], all of them without arguments.
#
# SECONDS_EACH (60) is the time for each reader. Interesting inputs are kept in data/fuzz/<reader>, where the next run continues; the
# first starts from the fixtures of the tests and crates/fuzz/inputs. An input that makes a reader fail is reported and left in
# data/fuzz/failures; the exit status is then 1. Needs cargo-fuzz (cargo install cargo-fuzz --locked).
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
output=$PWD/data/fuzz
fixtures=$PWD/crates/causal-lm/tests/fixtures
corpora=$PWD/crates/corpus-files/tests/fixtures
build=${FUZZ_TARGET_DIR:-$output/target}
seconds_each=${SECONDS_EACH:-60}
command -v cargo-fuzz >/dev/null || {
  echo 'fuzz: cargo-fuzz is missing: cargo install cargo-fuzz --locked' >&2
  exit 2
}

# Seed inputs of a reader: small files of the tests.
seeds() {
  case $1 in
    adapter) find "$fixtures" -name adapter_config.json ;;
    chat_template) find crates/chat-template -name '*.jinja' ;;
    config) find "$fixtures" data/models -name config.json ;;
    pipeline) find pipelines -name '*.toml' ;;
    records) find crates/*/tests/fixtures -name '*.parquet' -size -40k ;;
    safetensors) find "$fixtures" -name '*.safetensors' -size -64k ;;
    tokenizer) find crates/*/tests/fixtures -name tokenizer.json -size -40k ;;
  esac
  find "crates/fuzz/inputs/$1" -type f
}

# The first byte of a corpus input is the number of its extension: see ENDINGS in crates/fuzz/src/lib.rs.
corpus_seeds() {
  local number=0 extension file
  for extension in txt md json jsonl csv tsv feather parquet txt.gz jsonl.gz csv.gz txt.zst jsonl.zst json.gz; do
    for file in "$corpora"/*."$extension"; do
      [ ! -f "$file" ] || { printf "\\x$(printf %02x "$number")"; cat "$file"; } >"$1/$(basename "$file")"
    done
    number=$((number + 1))
  done
}

# Fuzzes one reader until its time is over. A process that ends at a limit of memory or time (exit status 3, contract::foreign) is
# correct, and another one continues.
fuzz() {
  local name=$1 inputs=$output/$1 end=$((SECONDS + seconds_each)) limits=0 status
  while [ "$SECONDS" -lt "$end" ]; do
    status=0
    "$program" "$inputs" -max_total_time=$((end - SECONDS)) -timeout=20 -rss_limit_mb=3072 -max_len=65536 -print_final_stats=1 -verbosity=0 \
      -artifact_prefix="$output/failures/$name-" 2>"$output/$name.log" || status=$?
    case $status in
      0) ;;
      3) limits=$((limits + 1)) ;;
      *)
        echo "fuzz: $name fails; the input is in data/fuzz/failures, the log is data/fuzz/$name.log" >&2
        return 1
        ;;
    esac
  done
  echo "fuzz: $name: $(sed -n 's/^stat::number_of_executed_units: */executions of the last process /p' "$output/$name.log"), $(find "$inputs" -type f | wc -l) inputs, ended at a limit $limits times" >&2
}

failed=0
for name in ${*:-adapter chat_template config corpus index pipeline records safetensors tokenizer}; do
  mkdir -p "$output/$name" "$output/failures"
  while IFS= read -r file; do cp "$file" "$output/$name/$(printf %s "$file" | md5sum | cut -c1-16)"; done < <(seeds "$name")
  [ "$name" != corpus ] || corpus_seeds "$output/corpus"
  # A sanitizer needs flags of the nightly compiler, which RUSTC_BOOTSTRAP makes others accept.
  RUSTC_BOOTSTRAP=1 cargo fuzz build --fuzz-dir crates/fuzz --features libfuzzer --target-dir "$build" "fuzz_$name"
  program=$(find "$build" -path "*/release/fuzz_$name" -type f)
  echo "fuzz: $name, $seconds_each s" >&2
  fuzz "$name" || failed=1
done
exit $failed
