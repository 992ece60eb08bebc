#!/usr/bin/env bash
# Says what an audit needs before anything is downloaded or built. Exit status 2 for what is missing on the command line, 3 for
# what is not there.
set -euo pipefail

if [ -z "${CHECKPOINT:-}" ] || [ -z "${CORPUS:-}" ]; then
  cat >&2 <<'NEEDS'
make audit needs
  CHECKPOINT=FOLDER   the tuned model: a model folder, a peft adapter, a Trainer's output folder, or a name of the hub's cache
  CORPUS=FILE         the text that it was tuned on: .jsonl .json .csv .tsv .parquet .txt, each also .gz or .zst, or a folder
and takes
  BASE=FOLDER         the model before tuning: the control. An adapter names its own
  HELD_OUT=FILE       text of the same kind that it was not tuned on: the other control
  OTHER=FILE          text of another kind: what tuning made the model forget
  CANARIES=FILE       the manifest of canaries that were planted before tuning, of scripts/canaries.py or memaudit: do they come out?
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
say_first_run
