#!/bin/sh
# One UNet of PanGu-Draw 3 at its released width (2.57 B parameters), 16x16 latent, f32, through a .ckpt of random
# numbers, against tools/pangu_reference. Python writes the file and one forward of it and ends; then the C++ test
# reads them. 11 GB of disk, 13 GB of memory at a time; the file itself is mapped.
#   tools/parity/full_pangu.sh PARITY_TEST [FOLDER]
# PARITY_TEST is the built test program (build/parity_test); $PANGU_PYTHON a Python with torch.
set -eu
test_program=$1
folder=${2:-${TMPDIR:-/tmp}/pangu_full_pangu}
here=$(dirname "$0")
free_gib=$(free -g | awk '/^Mem:/ {print $7}')
if [ "$free_gib" -lt 13 ]; then
  echo "full_pangu: expected 13 GiB of available memory, found $free_gib GiB" >&2
  exit 4
fi
mkdir -p "$folder"
"${PANGU_PYTHON:-python3}" "$here/dump_pangu.py" "$folder" --full
PANGU_FULL_PANGU=$folder "$test_program" --test-case="a UNet of PanGu-Draw 3's released width*"
rm -r "$folder"
