#!/bin/sh
# Compares this program with its peers on this machine; docs/performance.md says how, --help which flags there are.
#   bench/peers/run.sh [--quick] [--rows REGEX] [--cache DIR] ...
# Builds the programs, makes a Python environment in the cache folder (default: ~/.cache/pangu-draw-bench) and calls
# bench/peers/main.py with it. The peers' packages come from the package index that pip is set up with.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/pangu-draw-bench
previous=
for word in "$@"; do
  # Words are answered without building or installing anything.
  case $word in -h | --help) exec "${PANGU_PYTHON3:-python3}" -B "$here/main.py" --help ;; esac
  [ "$previous" != --cache ] || cache=$word
  case $word in --cache=*) cache=${word#--cache=} ;; esac
  previous=$word
done
mkdir -p "$cache"
say() { echo "== $*" >&2; }

# libtorch, the program, and what the bench needs beside it.
[ -f "$root/build/release/build.ninja" ] || "$root/pangu-draw" build
ninja -C "$root/build/release" pangu-draw bench_peers_engine bench_peers_probe >"$cache/build.log" 2>&1 || {
  cat "$cache/build.log" >&2
  exit 1
}

python=$cache/venv/bin/python
# Returns 0 if the list of packages was installed as it is now.
is_installed() { cmp -s "$here/$1" "$cache/venv/$1"; }
if ! is_installed requirements.txt; then
  say "installing the peers into $cache/venv (about 1 GB)"
  "${PANGU_PYTHON3:-python3}" -m venv --clear "$cache/venv"
  # Without this pip would fetch a torch of its own, which may be a CUDA build of gigabytes.
  echo "$root"/.venv/lib/python3.*/site-packages >"$(
    "$python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')/pangu_draw.pth"
  # It is looked for and not imported: what it imports itself is installed next.
  "$python" -c 'import importlib.util, sys; sys.exit(not importlib.util.find_spec("torch"))' || {
    say "expected torch in $root/.venv, found none"
    exit 4
  }
  "$python" -m pip install -q --no-compile -r "$here/requirements.txt"
  cp "$here/requirements.txt" "$cache/venv/"
fi
if ! is_installed requirements-sdcpp.txt; then
  say "compiling stable-diffusion.cpp for this processor"
  CMAKE_ARGS="${CMAKE_ARGS--DGGML_NATIVE=ON}" "$python" -m pip install -q --no-compile \
    -r "$here/requirements-sdcpp.txt" || say "it could not be compiled and is left out"
  cp "$here/requirements-sdcpp.txt" "$cache/venv/"
fi
exec "$python" -B "$here/main.py" --cache "$cache" "$@"
