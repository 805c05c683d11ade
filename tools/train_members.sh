#!/usr/bin/env bash
# Trains the embedded members of Coop-Diffusion beside models/mini, or goes on where they stopped:
# low (text to image at 128 px), edges (from Canny's edges), variation (from a picture's embedding).
# They work in pixels (no autoencoder) and share mini's text encoder.
#
#   tools/train_members.sh [--minutes N] [--only "edges low"] [--data DIR] [--work DIR] [--models DIR]
#                          [--device cpu|cuda]
#
# N is the training time of each of them, over all runs; without it each ends as its file in
# configs/members says. Writes MODELS/{low,edges,variation}.
set -euo pipefail
cd "$(dirname "$0")/.."

minutes=0 only="edges low variation" work=out/members data=out/mini/dataset models=models device=cpu
fail() { echo "train_members: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || fail "$1: expected a value, found none"
  case $1 in
    --minutes) minutes=$2 ;; --only) only=$2 ;; --work) work=$2 ;; --data) data=$2 ;;
    --models) models=$2 ;; --device) device=$2 ;;
    *) fail "unknown option '$1'; the file $0 begins with those it knows" ;;
  esac
  shift 2
done
program=${PANGU_DRAW:-./pangu-draw}
mini=$(cd "$models/mini" && pwd)
precision=bf16
if [ "$device" = cpu ] && ! grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then precision=no; fi # f32 is faster then

mkdir -p "$work/model/vae" "$work/cache"
for part in text_encoder tokenizer; do ln -sfn "$mini/$part" "$work/model/$part"; done
cp configs/members/vae.json "$work/model/vae/config.json"

for member in $only; do
  "$program" train "configs/members/$member.toml" --device "$device" \
    --set output_dir="$work/$member" --set train_data_dir="[\"$data\"]" \
    --set model_dir="$work/model" --set cache_dir="$work/cache" --set time_budget_minutes="$minutes" \
    --set mixed_precision="$precision" --set model_output="$models/$member"
done
