#!/usr/bin/env bash
# Checks the variables of make check before anything is downloaded or built. Exit status: 2 where one is missing, 3 where it names a
# file that does not exist.
set -euo pipefail

if [ -z "${CORPUS:-}" ]; then
  cat >&2 <<'NEEDS'
make check needs
  CORPUS=FILE         the text to tune on: .jsonl .json .csv .tsv .parquet .txt, each also .gz or .zst, or a folder
and takes
  MODEL=FOLDER        the model to tune: a model folder, or the name of a model in the hub's cache. Without it there are no figures in
                      tokens, and zlib's compression stands in for the model's loss
  HELD_OUT=FILE       text of the same kind that is not to be tuned on
  SET="corpus.text=body"                                  the column that holds the text, if it is not called "text"
  SET="corpus.prompt=question corpus.response=answer"     the columns of prompts and responses
  SET="checkpoint.0.context=512 checkpoint.0.loss_on=response"    the context of tuning, and which tokens get loss
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
announce_first_run
