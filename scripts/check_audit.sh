#!/usr/bin/env bash
# Checks the variables of make audit before anything is downloaded or built. Exit status: 2 where one is missing, 3 where it names a
# file that does not exist.
set -euo pipefail

if [ -z "${CHECKPOINT:-}" ] || [ -z "${CORPUS:-}" ]; then
  cat >&2 <<'NEEDS'
make audit needs
  CHECKPOINT=FOLDER   the tuned model: a model folder, a peft adapter, a Trainer's output folder, or the name of a model in the hub's cache;
                      or a folder with endpoint.toml, which says where a model is served
  CORPUS=FILE         the text that it was tuned on: .jsonl .json .csv .tsv .parquet .txt, each also .gz or .zst, or a folder
and takes
  BASE=FOLDER         the model before tuning: the control. By default the one that an adapter names
  HELD_OUT=FILE       text of the same kind that it was not tuned on: the other control
  OTHER=FILE          text of another kind: what tuning made the model forget
  CANARIES=FILE       the manifest of canaries that were planted before tuning, of scripts/canaries.py or memaudit
  SET="corpus.text=body"                                  the column that holds the text, if it is not called "text"
  SET="corpus.prompt=question corpus.response=answer"     the columns of prompts and responses
NEEDS
  exit 2
fi

target=audit
. "$(dirname "$0")/given_files.sh"
check_text CORPUS "$CORPUS"
if [ -n "${HELD_OUT:-}" ]; then check_text HELD_OUT "$HELD_OUT"; fi
if [ -n "${OTHER:-}" ]; then check_text OTHER "$OTHER"; fi
if [ -n "${CANARIES:-}" ] && [ ! -f "$CANARIES" ]; then
  echo "make audit: CANARIES=$CANARIES: there is no such file here ($PWD)" >&2
  exit 3
fi

check_model CHECKPOINT
check_model BASE
announce_first_run
