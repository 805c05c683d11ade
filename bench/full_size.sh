#!/bin/sh
# Loads and draws with models of the released sizes, random weights: seconds of loading, peak memory, seconds a step.
#   bench/full_size.sh PROGRAM [NAME ...]     NAME: sd15, sdxl, pangu_draw_3 (default: these), or
#     pangu_draw_3_ckpt: its two MindSpore files, converted first; or two that draw together:
#     sdxl+controlnet (with sd15 and its ControlNet), pangu_draw_3+lora (with sd15 and its LoRA),
#     sdxl+variations (with sd-image-variations and a picture)
# Exit 1 if PanGu-Draw 3 alone needs more than 24 GB for its 512x512 in bf16, or its conversion more than 2 GB beside
# its largest tensor.
# $PANGU_PYTHON is a Python with diffusers (default python3), $PANGU_DRAW_OPTIONS more flags of draw. One model at a
# time, or two, lie in a temporary folder ($TMPDIR), at most 16 GB (pangu_draw_3_ckpt: 40 GB), and are deleted.
set -eu
program=$1
shift
[ $# -gt 0 ] || set -- sd15 sdxl pangu_draw_3
here=$(dirname "$0")
python=${PANGU_PYTHON:-python3}
needed_gb=18
case " $* " in *" pangu_draw_3_ckpt "*) needed_gb=42 ;; esac
most_gb_pangu=24
most_gb_convert=2.13  # 2 GB beside 49408 x 1280 numbers of bf16
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
measured() { "$python" "$here/full_size_run.py" "$@"; }
for name in "$@"; do
  model=$(made "${name%+*}")
  if [ "$name" = pangu_draw_3_ckpt ]; then
    measured "$name" $most_gb_convert "$program" convert "$model" "$folder/converted"
    rm -r "$model"
    model=$folder/converted
  fi
  how="--steps 2"
  most_gb=0
  # Of four steps its second expert serves the last.
  case $name in pangu_draw_3*) how="--steps 4 --experts-in-memory 1" ;; esac
  case $name in pangu_draw_3 | pangu_draw_3_ckpt)
    most_gb=$most_gb_pangu
    case ${PANGU_DRAW_OPTIONS:-} in *--dtype*) ;; *) how="$how --dtype bf16" ;; esac ;;
  esac
  case $name in
    *+controlnet) member="$(made sd15),controlnet=$(made controlnet),control=$here/../examples/fox_edges.png,weight=0.5" ;;
    *+variations) member="$(made variations),image_prompt=$here/../examples/fox.png,weight=0.5" ;;
    *+lora) member="$(made sd15),lora=$(made lora):0.8,weight=0.4" ;;
    *) member="" ;;
  esac
  # shellcheck disable=SC2086
  measured "$name" $most_gb "$program" draw "a red fox, 雪" --model "$model" --size 512x512 $how \
    ${member:+--with "$member"} ${PANGU_DRAW_OPTIONS:-}
  rm -r "${folder:?}"/*
done
