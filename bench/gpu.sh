#!/bin/sh
# Builds the program for CUDA, holds what it computes on the GPU to what it computes on the CPU, and compares its speed with
# diffusers and torch.compile on the same GPU. Ten minutes on a machine with 16 cores.
#   bench/gpu.sh [--out FILE.json] [--models mini,sd15,sdxl] [--rounds 5] ...
# PANGU_TORCH names the build of libtorch (default: cu130, for drivers of CUDA 13). Needs a network for the packages, an
# NVIDIA driver, and 20 GB of disk for --models sdxl. bench/gpu.py --help has the flags; they go on to it.
set -eu
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/.." && pwd)
for word in "$@"; do
  case $word in -h | --help) exec "${PANGU_PYTHON3:-python3}" -B "$here/gpu.py" --help ;; esac
done
export PANGU_TORCH="${PANGU_TORCH:-cu130}" PANGU_YES=1
"$root/pangu-draw" build
"$root/build/release/pangu-draw" doctor
# The peers and the tests' packages beside the very libtorch of the program.
"$root/.venv/bin/python" -m pip install -q --no-compile -r "$root/tools/install/requirements-test.txt"
ninja -C "$root/build/release" bench_peers_engine
exec "$root/.venv/bin/python" -B "$here/gpu.py" --program "$root/build/release/pangu-draw" "$@"
