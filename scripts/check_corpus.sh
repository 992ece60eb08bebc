#!/usr/bin/env bash
# Says what a look before tuning needs before anything is downloaded or built. Exit status 2 for what is missing on the command line, 3
# for what is not there.
set -euo pipefail

if [ -z "${CORPUS:-}" ]; then
  cat >&2 <<'NEEDS'
make check needs
  CORPUS=FILE         the text to tune on: .jsonl .json .csv .tsv .parquet .txt, each also .gz or .zst, or a folder
and takes
  MODEL=FOLDER        the model to tune: a model folder, or a name of the hub's cache. Without it nothing is said of tokens, and zlib stands
                      for what the model thinks of the texts
  HELD_OUT=FILE       text of the same kind that is not to be tuned on
  SET="corpus.text=body"                                  the column that holds the text, if it is not called "text"
  SET="corpus.prompt=question corpus.response=answer"     the columns of prompts and responses
  SET="checkpoint.0.context=512 checkpoint.0.loss_on=response"    how tuning will cut a text, and what it will take loss on
  SET="extraction.scored_documents=2000"                  how many documents MODEL scores (300)
  SET="check.excerpt_chars=0"                             a page without any text of the corpus
NEEDS
  exit 2
fi

target=check
. "$(dirname "$0")/given_files.sh"
check_text CORPUS "$CORPUS"
if [ -n "${HELD_OUT:-}" ]; then check_text HELD_OUT "$HELD_OUT"; fi
check_model MODEL
say_first_run
