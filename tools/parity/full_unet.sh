#!/bin/sh
# One UNet at its released width (2.57 B parameters), 16x16 latent, f32, of random numbers: that of SDXL layer by layer
# against diffusers, or one of PanGu-Draw 3, through a .ckpt, against tools/pangu_reference. Python writes the file and
# one forward of it and ends; then the C++ test reads them. 11 GB of disk, 13 GB of memory at a time.
#   tools/parity/full_unet.sh {sdxl|pangu} PARITY_TEST [FOLDER]
# PARITY_TEST is the built test program (build/parity_test); $PANGU_PYTHON a Python with torch, and for sdxl diffusers.
set -eu
what=$1
test_program=$2
folder=${3:-${TMPDIR:-/tmp}/pangu_full_$what}
here=$(dirname "$0")
case $what in
  sdxl) script=dump_unet.py flag=--full-sdxl variable=PANGU_UNET_PARITY test_case="every layer of the UNet*" ;;
  pangu) script=dump_pangu.py flag=--full variable=PANGU_FULL_PANGU test_case="a UNet of PanGu-Draw 3's released width*" ;;
  *) echo "full_unet: expected sdxl or pangu, found '$what'" >&2; exit 2 ;;
esac
free_gib=$(free -g | awk '/^Mem:/ {print $7}')
if [ "$free_gib" -lt 13 ]; then
  echo "full_unet: expected 13 GiB of available memory, found $free_gib GiB" >&2
  exit 4
fi
mkdir -p "$folder"
"${PANGU_PYTHON:-python3}" "$here/$script" "$folder" "$flag"
env "$variable=$folder" "$test_program" --test-case="$test_case"
rm -r "$folder"
