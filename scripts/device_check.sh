#!/usr/bin/env bash
# Compares the programs' results on this machine's GPU with those on a processor, and their speed with that of transformers and peft.
# Needs the repository, the programs, built anywhere, and a Python with PyTorch 2.11 for CUDA; no network.
#
#   BIN=FOLDER         the programs tuner, extractor and plan, with device_parity and generate in its folder examples (target/debug)
#   PYTHON=PROGRAM     a Python with torch, transformers, peft, and polars or pyarrow (python3)
#   OUT=FOLDER         device_check.parquet, device_check.txt and device_check.log go there (data/device-check)
#   DEVICE=cuda        or cuda:N; cpu is a dry run with tiny shapes and without goals of speed
#   CHECKS="NAME ..."  fewer than all: device parity greedy tuning decoding scoring models
#   BUDGET_S=300       seconds; what does not fit is listed as left out
#   LARGE=1            the shape of Llama-3.1-8B too
#
# Exit status: 0 if all checks of correctness hold, 1 if one does not, could not run or was left out, 2 for wrong usage.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHON=${PYTHON:-python3}
if ! command -v "$PYTHON" >/dev/null; then
  echo "error: PYTHON=$PYTHON is no program; name the Python that has PyTorch 2.11 for CUDA" >&2
  exit 2
fi
exec "$PYTHON" "$root/scripts/device_check/main.py"
