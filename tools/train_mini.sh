#!/usr/bin/env bash
# Trains the embedded model from nothing, or goes on where it stopped: dataset, autoencoder, latent
# cache, structure generator, texture generator, export to models/mini.
#
#   tools/train_mini.sh --minutes N [--device cpu|cuda] [--work DIR] [--vae-share P] [--keep-vae]
#
# N is the time for the three trainings together, split by --vae-share (percent for the
# autoencoder, default 30; the structure generator gets two thirds of the rest). Every part resumes
# from its checkpoint, so the run may be cut into pieces of any length; --keep-vae leaves the
# autoencoder as it is, which keeps cached latents and both generators valid.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes="" device=cpu work=out/mini vae_share=30 keep_vae=0
while [ $# -gt 0 ]; do
  case $1 in
    --minutes) minutes=$2; shift 2 ;;
    --device) device=$2; shift 2 ;;
    --work) work=$2; shift 2 ;;
    --vae-share) vae_share=$2; shift 2 ;;
    --keep-vae) keep_vae=1; shift ;;
    *) echo "train_mini: unknown option '$1' (expected --minutes, --device, --work, --vae-share, --keep-vae)" >&2
       exit 2 ;;
  esac
done
case $minutes in
  ''|*[!0-9]*) echo "train_mini: --minutes: expected a whole number, found '$minutes'" >&2; exit 2 ;;
esac

program=${PANGU_DRAW:-./pangu-draw}
python=${PANGU_PYTHON:-.venv/bin/python}
mkdir -p "$work"

if [ ! -e "$work/dataset/manifest.jsonl" ]; then
  "$python" tools/mini_dataset.py --out "$work/dataset"
fi
if [ ! -e "$work/weights/vgg16.safetensors" ]; then
  mkdir -p "$work/weights"
  "$python" tools/export_vgg.py --out "$work/weights/vgg16.safetensors"
fi
if [ ! -e "$work/model/text_encoder/model.safetensors" ]; then
  mkdir -p "$work/model"
  cp -r models/mini/text_encoder models/mini/tokenizer "$work/model/"
fi

# run CONFIG MINUTES OUTPUT_DIR: one training for so long.
run() {
  local config=$1 part_minutes=$2 output=$3
  "$program" train "$config" --minutes "$part_minutes" --device "$device" \
    --set output_dir="$output" --set train_data_dir="[\"$work/dataset\"]" \
    --set perceptual_weights="$work/weights/vgg16.safetensors" \
    --set model_dir="$work/model" --set cache_dir="$work/cache"
}

rest=$minutes
if [ "$keep_vae" = 0 ]; then
  vae_minutes=$((minutes * vae_share / 100))
  rest=$((minutes - vae_minutes))
  run configs/mini/vae.toml "$vae_minutes" "$work/vae_run"
  rm -rf "$work/model/vae"
  cp -r "$work/vae_run/vae" "$work/model/vae"
fi
run configs/mini/structure.toml $((rest * 2 / 3)) "$work/structure"
run configs/mini/texture.toml $((rest - rest * 2 / 3)) "$work/texture"
tools/export_mini.sh "$work" models/mini
