#!/bin/sh
# The UNet at the full width of SDXL (2.57 B parameters), 16x16 latent, f32, against diffusers: layer by layer.
# Python dumps weights and outputs and ends; then the C++ test reads them. 11 GB of disk, 11 GB of memory at a time.
#   tools/parity/full_sdxl.sh PARITY_TEST [FOLDER]
# PARITY_TEST is the built test program (build/parity_test); $PANGU_PYTHON a Python with diffusers.
set -eu
test_program=$1
folder=${2:-${TMPDIR:-/tmp}/pangu_full_sdxl}
here=$(dirname "$0")
free_gib=$(free -g | awk '/^Mem:/ {print $7}')
if [ "$free_gib" -lt 13 ]; then
  echo "full_sdxl: expected 13 GiB of available memory, found $free_gib GiB" >&2
  exit 4
fi
mkdir -p "$folder"
"${PANGU_PYTHON:-python3}" "$here/dump_unet.py" "$folder" --full-sdxl
PANGU_UNET_PARITY=$folder "$test_program" --test-case="every layer of the UNet*"
rm -r "$folder"
