#!/bin/sh
# Loads and draws with models of the released sizes, random weights: seconds of loading, peak memory, seconds a step.
#   bench/full_size.sh PROGRAM [NAME ...]     NAME: sd15, sdxl, pangu_draw_3 (default: these), or two that draw together:
#     sdxl+controlnet (with sd15 and its ControlNet), pangu_draw_3+lora (with sd15 and a LoRA of it)
# $PANGU_PYTHON is a Python with diffusers (default python3), $PANGU_DRAW_OPTIONS more flags of draw. One model at a
# time, or two, lie in a temporary folder ($TMPDIR), at most 16 GB, and are deleted.
set -eu
program=$1
shift
[ $# -gt 0 ] || set -- sd15 sdxl pangu_draw_3
here=$(dirname "$0")
python=${PANGU_PYTHON:-python3}
needed_gb=18
folder=$(mktemp -d "${TMPDIR:-/tmp}/pangu_full_size.XXXXXX")
trap 'rm -r "$folder"' EXIT
trap 'exit 1' HUP INT TERM
free_gb=$(df -Pk "$folder" | awk 'NR == 2 {print int($4 / 1000000)}')
if [ "$free_gb" -lt "$needed_gb" ]; then
  echo "full_size: expected $needed_gb GB free in $folder, found $free_gb GB" >&2
  exit 3
fi
uptime
made() { "$python" "$here/full_size_weights.py" "$1" "$folder"; }
for name in "$@"; do
  model=$(made "${name%+*}")
  how="--steps 2"
  # Of four steps its second expert serves the last.
  case $name in pangu_draw_3*) how="--steps 4 --experts-in-memory 1" ;; esac
  case $name in
    *+controlnet) member="$(made sd15),controlnet=$(made controlnet),control=$here/../examples/fox_edges.png,weight=0.5" ;;
    *+lora) member="$(made sd15),lora=$(made lora):0.8,weight=0.4" ;;
    *) member="" ;;
  esac
  # shellcheck disable=SC2086
  "$python" "$here/full_size_draw.py" "$name" "$program" --model "$model" --size 512x512 $how \
    ${member:+--with "$member"} ${PANGU_DRAW_OPTIONS:-}
  rm -r "${folder:?}"/*
done
