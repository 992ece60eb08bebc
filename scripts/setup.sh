#!/usr/bin/env bash
# Fetches what cargo cannot: LibTorch, the sentence encoder, and polars for the tests that read our Parquet from Python. CUDA=1 also
# fetches the CUDA libraries that LibTorch needs on a GPU; the programs are the same.
# All are Python wheels, pinned by hash in scripts/requirements/, and go to data/toolchain/. Nothing is fetched twice.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."
toolchain=data/toolchain
venv=$toolchain/venv
torch_version=2.11.0

missing() { printf 'setup: %s is missing. %s\n' "$1" "$2" >&2; exit 1; }
say() { printf 'setup: %s\n' "$*" >&2; }

command -v cargo >/dev/null || missing "cargo (Rust)" "Install it from https://rustup.rs, then open a new shell."
command -v make >/dev/null || missing "make" "Debian, Ubuntu: apt install make. macOS: xcode-select --install."
command -v c++ >/dev/null || missing "a C++ compiler (c++)" "Debian, Ubuntu: apt install g++. macOS: xcode-select --install."
command -v python3 >/dev/null || missing "python3" "Debian, Ubuntu: apt install python3 python3-venv. macOS: brew install python."
python3 -c 'import sys; sys.exit(not (3, 10) <= sys.version_info[:2] <= (3, 14))' ||
  missing "a Python from 3.10 to 3.14" "python3 here is $(python3 -V 2>&1); the LibTorch wheel exists for those versions only."
python3 -c 'import venv, ensurepip' 2>/dev/null || missing "Python's venv module" "Debian, Ubuntu: apt install python3-venv."

# Installs one requirements file into the environment, unless this very file was installed before.
install() {
  local list=scripts/requirements/$1.txt mark=$toolchain/$1.installed
  if [ -f "$mark" ] && cmp -s "$list" "$mark"; then return; fi
  if [ ! -x "$venv/bin/pip" ]; then
    mkdir -p "$toolchain"
    rm -rf "$venv"
    python3 -m venv "$venv"
  fi
  say "fetching $2"
  "$venv/bin/python" -m pip install --quiet --disable-pip-version-check --no-deps --require-hashes -r "$list" ||
    { say "pip could not install $list; see its message above. Behind a proxy, set PIP_INDEX_URL or HTTPS_PROXY and run again."; exit 1; }
  cp "$list" "$mark.partial" && mv "$mark.partial" "$mark"
}

site_packages() { "$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))'; }

# Makes a folder in LibTorch's layout with the CPU libraries only: torch-sys links CUDA (3 GB of libraries) if it finds libtorch_cuda.
link_libtorch() {
  local libtorch=$toolchain/libtorch torch library
  if [ -f "$libtorch/build-version" ] && [ "$(cat "$libtorch/build-version")" = "$torch_version" ] &&
    [ -e "$libtorch/lib/libtorch_cpu.so" -o -e "$libtorch/lib/libtorch_cpu.dylib" ]; then return; fi
  torch=$(site_packages)/torch
  rm -rf "$libtorch" "$libtorch.partial"
  mkdir -p "$libtorch.partial/lib"
  ln -s "$torch/include" "$libtorch.partial/include"
  for library in "$torch"/lib/libc10.* "$torch"/lib/libtorch.* "$torch"/lib/libtorch_cpu.* "$torch"/lib/libgomp* "$torch"/lib/libomp*; do
    [ -e "$library" ] && ln -s "$library" "$libtorch.partial/lib/"
  done
  printf '%s' "$torch_version" >"$libtorch.partial/build-version"
  mv "$libtorch.partial" "$libtorch"
}

link_encoder() {
  local encoder=$toolchain/all-MiniLM-L6-v2 source
  [ -e "$encoder/model.safetensors" ] && return
  source=$(find "$(site_packages)" -path '*minilm*' -name model.safetensors | head -n 1)
  [ -n "$source" ] || { say "the encoder's wheel holds no model.safetensors; delete $toolchain and run make setup again"; exit 1; }
  rm -f "$encoder"
  ln -s "$(dirname "$source")" "$encoder"
}

root=$PWD
# A LibTorch of the user's own comes with its CUDA libraries.
refuse_cuda() {
  [ "${CUDA:-}" = 1 ] || return 0
  say "CUDA=1 applies to the LibTorch that setup fetches: unset LIBTORCH and LIBTORCH_USE_PYTORCH, or leave CUDA=1 out"
  exit 2
}
venv=$root/$venv
toolchain=$root/$toolchain
mkdir -p "$toolchain"
if [ -n "${LIBTORCH:-}" ] && [ "$LIBTORCH" != "$toolchain/libtorch" ]; then
  refuse_cuda
  say "using your LIBTORCH=$LIBTORCH (tch needs LibTorch $torch_version there)"
elif [ "${LIBTORCH_USE_PYTORCH:-}" = 1 ]; then
  refuse_cuda
  say "using the PyTorch of your python3 (tch needs version $torch_version)"
else
  case "$(uname -s)" in
    Linux) install libtorch-linux "LibTorch $torch_version (530 MB)" ;;
    *) install libtorch-macos "LibTorch $torch_version (80 MB)" ;;
  esac
  link_libtorch
  if [ "${CUDA:-}" = 1 ]; then
    [ -e "$(site_packages)/torch/lib/libtorch_cuda.so" ] || { say "CUDA=1: PyTorch's wheel for this system does not support GPUs"; exit 2; }
    install libtorch-cuda-linux "the CUDA libraries of LibTorch (3 GB)"
  fi
fi
install encoder "the sentence encoder all-MiniLM-L6-v2 (83 MB)"
link_encoder
install python-tests "polars for Python (54 MB)"
say "ready: LibTorch $torch_version, all-MiniLM-L6-v2, polars in data/toolchain"
