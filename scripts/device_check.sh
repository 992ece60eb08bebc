#!/usr/bin/env bash
# Whether the programs compute on this machine's GPU what they compute on a processor, and how fast, beside transformers and peft:
# device_check.sh, in the repository. It needs the programs, built anywhere, and a Python with PyTorch 2.11 for CUDA; no network.
#
#   BIN=FOLDER         the programs tuner, extractor, plan, and in its folder examples device_parity and generate (target/debug)
#   PYTHON=PROGRAM     the Python that has torch, transformers, peft, and polars or pyarrow (python3)
#   OUT=FOLDER         device_check.parquet, device_check.txt and device_check.log go there (data/device-check)
#   DEVICE=cuda        or cuda:N; cpu is a dry run with tiny shapes, which holds nothing to a goal of speed
#   CHECKS="NAME ..."  fewer than all: device parity greedy tuning decoding scoring models
#   BUDGET_S=300       seconds; what does not fit any more is listed as left out
#   LARGE=1            the shape of Llama-3.1-8B too
#
# Exit status: 0 where all checks of correctness hold, 1 where one does not, could not be made or was left out, 2 wrong usage.
set -euo pipefail
root=$(cd "$(dirname "${BASH_SOURCE[0]}")/.." && pwd)
export PYTHON=${PYTHON:-python3}
if ! command -v "$PYTHON" >/dev/null; then
  echo "error: PYTHON=$PYTHON is no program; name the Python that has PyTorch 2.11 for CUDA" >&2
  exit 2
fi
exec "$PYTHON" "$root/scripts/device_check/main.py"
