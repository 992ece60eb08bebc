# Checks of the files that a make target is given. The scripts that source this set `target` first.

# A file, a folder, a glob, or several of them separated by blanks.
exists() { [ -e "$1" ] || case $1 in *[*?[]*) compgen -G "$1" >/dev/null ;; *) false ;; esac; }
check_text() {
  local name=$1 word
  exists "$2" && return
  # Unquoted on purpose: several files are separated by blanks.
  set -f
  for word in $2; do
    set +f
    exists "$word" || { echo "make $target: $name=$2: there is no $word here ($PWD)" >&2; exit 3; }
  done
  set +f
}

# A path must exist; a name such as owner/model may be in the hub's cache, where plan looks for it.
check_model() {
  local name=$1 value=${!1:-}
  if [ -n "$value" ] && [ ! -e "$value" ] && [[ ! $value =~ ^[A-Za-z0-9][A-Za-z0-9._-]*(/[A-Za-z0-9][A-Za-z0-9._-]*)?$ ]]; then
    echo "make $target: $name=$value: there is no such folder here ($PWD)" >&2
    exit 3
  fi
}

announce_first_run() {
  if [ ! -e data/toolchain ] && [ -z "${LIBTORCH:-}" ]; then
    echo "$target: this is the first run: LibTorch (530 MB) and an encoder (83 MB) are fetched, and the programs built. That takes 10 to 20 minutes on two cores" >&2
  fi
}
