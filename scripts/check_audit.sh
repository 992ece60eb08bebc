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

# A file, a folder, a glob, or several of them with blanks between.
is_text() { [ -e "$1" ] || case $1 in *[*?[]*) compgen -G "$1" >/dev/null ;; *) false ;; esac; }
check_text() {
  local name=$1 word
  is_text "$2" && return
  # Unquoted on purpose: several files have blanks between them.
  set -f
  for word in $2; do
    set +f
    is_text "$word" || { echo "make audit: $name=$2: there is no $word here ($PWD)" >&2; exit 3; }
  done
  set +f
}
check_text CORPUS "$CORPUS"
if [ -n "${HELD_OUT:-}" ]; then check_text HELD_OUT "$HELD_OUT"; fi
if [ -n "${OTHER:-}" ]; then check_text OTHER "$OTHER"; fi
if [ -n "${CANARIES:-}" ] && [ ! -f "$CANARIES" ]; then
  echo "make audit: CANARIES=$CANARIES: there is no such file here ($PWD)" >&2
  exit 3
fi

# What looks like a path must be there; a name such as owner/model may lie in the hub's cache, where plan looks for it.
for name in CHECKPOINT BASE; do
  value=${!name:-}
  if [ -n "$value" ] && [ ! -e "$value" ] && [[ ! $value =~ ^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$ ]]; then
    echo "make audit: $name=$value: there is no such folder here ($PWD)" >&2
    exit 3
  fi
done
if [ ! -e data/toolchain ] && [ -z "${LIBTORCH:-}" ]; then
  echo 'audit: this is the first run: LibTorch (530 MB) and an encoder (83 MB) are fetched, and the programs built. That takes 10 to 20 minutes on two cores' >&2
fi
