#!/usr/bin/env bash
# Trains the embedded model from nothing, or goes on where it stopped: dataset, autoencoder (at 128 px,
# then grown, then its decoder at 256 px), latent cache, structure generator, texture generator, scores.
# The texture generator's training writes the whole model, which is copied to --model.
#
#   tools/train_mini.sh --minutes N [--piece M] [--device cpu|cuda] [--data DIR] [--work DIR]
#                       [--model DIR] [--start DIR] [--vae-share P] [--no-scores]
#   tools/train_mini.sh --export DIR | --import DIR [--work DIR]
#
# N is the training time of everything together: the autoencoder gets at most --vae-share percent of
# it (default 30; 0 takes the one of --start or --model), the structure generator two thirds of the rest. How long
# a network has been trained is read from its metrics, so that the same command goes on where it
# stopped, and a larger N trains the generators on; an autoencoder that has had its share stays as it
# is, because cached latents and both generators depend on it. --piece stops after about M minutes, with exit
# code 75 while there is more to do:
#   until tools/train_mini.sh --minutes 120 --piece 10; do [ $? = 75 ] || break; done
# --data is a dataset folder, or one of shards by `pangu-draw data pack`; without it, the second edition
# of tools/mini_dataset.py. Scores are on the first edition. --start is a model folder whose generators'
# weights these begin with, in its latents (--vae-share 0). --export writes the state of
# the three trainings in files of at most 15 MB, --import reads it back.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly more_to_do=75
minutes="" piece=1000000 device=cpu work=out/mini data="" model=models/mini start="" vae_share=30 scores=1
export_to="" import_from=""
fail() { echo "train_mini: $*" >&2; exit 2; }
while [ $# -gt 0 ]; do
  case $1 in
    --no-scores) scores=0; shift; continue ;;
    --minutes|--piece|--device|--work|--data|--model|--start|--vae-share|--export|--import) ;;
    *) fail "unknown option '$1'; the file $0 begins with those it knows" ;;
  esac
  [ $# -ge 2 ] || fail "$1: expected a value, found none"
  case $1 in
    --minutes) minutes=$2 ;; --piece) piece=$2 ;; --device) device=$2 ;; --work) work=$2 ;;
    --data) data=$2 ;; --model) model=$2 ;; --start) start=$2 ;; --vae-share) vae_share=$2 ;;
    --export) export_to=$2 ;; --import) import_from=$2 ;;
  esac
  shift 2
done
program=${PANGU_DRAW:-./pangu-draw} python=${PANGU_PYTHON:-.venv/bin/python}
readonly ruler=$work/dataset scenes=$work/scenes
data=${data:-$work/second}
precision=bf16
if [ "$device" = cpu ] && ! grep -qE 'avx512_bf16|amx_bf16' /proc/cpuinfo; then precision=no; fi # f32 is faster then

readonly parts="vae_half vae structure texture"
declare -A output=([vae_half]=vae_half [vae]=vae_run [structure]=structure [texture]=texture)
declare -A network=([structure]=unet [texture]=unet_texture) # of a model folder
# Sets `command` to `pangu-draw train` of PART, with the folders of this run and further OPTIONS.
command_for() {
  local part=$1 folders="\"$data\""
  shift
  [ "$part" != structure ] || folders="$folders, \"$scenes\""
  command=("$program" train "configs/mini/$part.toml" --device "$device" "$@"
    --set output_dir="$work/${output[$part]}" --set train_data_dir="[$folders]"
    --set model_dir="$work/model" --set cache_dir="$work/cache"
    --set mixed_precision="$precision")
  case $part in vae*) command+=(--set perceptual_weights="$work/weights/vgg16.safetensors") ;; esac
  if [ "$part" = texture ]; then command+=(--set other_expert="$work/structure/model"); fi
  if [ "$part" = vae ]; then
    command+=(--set network_config="$work/vae_grown/config.json"
      --set initial_weights="$work/vae_grown/diffusion_pytorch_model.safetensors")
  elif [ -n "$start" ] && [ -n "${network[$part]-}" ]; then
    command+=(--set initial_weights="$start/${network[$part]}/diffusion_pytorch_model.safetensors")
  fi
}
adopt_vae() { # FOLDER: from now on the generators depend on it
  mkdir -p "$work/model"
  rm -rf "$work/model/vae"
  cp -r "$1" "$work/model/vae"
}

if [ -n "$export_to$import_from" ]; then
  for part in $parts; do
    saved="$work/${output[$part]}/checkpoint" # a folder; earlier versions wrote one file
    if [ -n "$export_to" ] && { [ -e "$saved" ] || [ -e "$saved.safetensors" ]; }; then
      command_for "$part" --export-state "$export_to/$part" && "${command[@]}"
    elif [ -n "$import_from" ] && [ -e "$import_from/$part/pieces.json" ]; then
      command_for "$part" --import-state "$import_from/$part" && "${command[@]}"
    fi
  done
  # With a generator begun, the autoencoder was done.
  if [ -n "$import_from" ] && [ -e "$import_from/structure/pieces.json" ] && [ -e "$work/vae_run/vae" ]; then
    adopt_vae "$work/vae_run/vae"
  fi
  exit
fi

for number in "$minutes" "$piece" "$vae_share"; do
  case $number in
    ''|*[!0-9]*) fail "--minutes, --piece, --vae-share: expected whole numbers, found '$number'" ;;
  esac
done
[ "$vae_share" -le 100 ] || fail "--vae-share: expected 0 to 100, found $vae_share"
mkdir -p "$work/weights" "$work/model"
if [ "$data" = "$work/second" ] && [ ! -e "$data/manifest.jsonl" ]; then
  "$python" tools/mini_dataset.py --edition 2 --out "$data"
fi
if [ "$scores" = 1 ] && [ ! -e "$ruler/manifest.jsonl" ]; then
  "$python" tools/mini_dataset.py --edition 1 --out "$ruler"
fi
if [ ! -e "$scenes/manifest.jsonl" ]; then
  "$program" data scenes "$data" --out "$scenes" --count 2000 --most 2 --seed 1
fi
foreign_weights() { # TOOL FILE
  [ -e "$work/weights/$2" ] || "$python" "tools/export_$1.py" --out "$work/weights/$2"
}
[ "$vae_share" = 0 ] || foreign_weights vgg vgg16.safetensors
[ "$scores" = 0 ] || foreign_weights inception inception.safetensors
for part in text_encoder tokenizer; do
  [ -e "$work/model/$part" ] || cp -r "models/mini/$part" "$work/model/$part"
done

last_metric() { # PART KEY: a whole number out of the last line of its metrics
  local lines=$work/${output[$1]}/metrics.jsonl
  if [ -s "$lines" ]; then tail -n 1 "$lines" | sed -E "s/.*\"$2\":([0-9]+).*/\1/"; else echo 0; fi
}
spent() { last_metric "$1" seconds; }
all_steps_done() {
  [ "$(last_metric "$1" step)" -ge "$(sed -n 's/^max_train_steps = //p' "configs/mini/$1.toml")" ]
}
# PART SECONDS: trains it until it has had that much or all its steps, or ends this piece.
train_until() {
  local wanted=$(($2 - $(spent "$1"))) left=$((piece * 60 - SECONDS)) code=0
  if [ "$wanted" -le 0 ] || all_steps_done "$1"; then return 0; fi
  [ "$left" -gt 0 ] || piece_ends "$1"
  local now=$((wanted < left ? wanted : left))
  command_for "$1" --minutes "$((now / 60)).$(printf %03d $((now % 60 * 1000 / 60)))"
  # Training minds the time itself; the interrupt is for a piece that ends while latents are cached.
  timeout --foreground --preserve-status -s INT $((left + 30)) "${command[@]}" || code=$?
  [ "$code" = 0 ] || { [ "$code" = 130 ] && [ $((piece * 60 - SECONDS)) -le 0 ]; } || exit "$code"
  # A second or two is less than a start costs.
  [ $(($2 - $(spent "$1"))) -le 2 ] || all_steps_done "$1" || piece_ends "$1"
}
piece_ends() {
  local part="" all=0
  for part in $parts; do all=$((all + $(spent "$part"))); done
  echo "train_mini: in $1, $(((all + 30) / 60)) of $minutes minutes done; the same command goes on"
  exit $more_to_do
}

vae_seconds=$((minutes * 60 * vae_share / 100))
if [ ! -e "$work/model/vae" ]; then
  if [ "$vae_share" = 0 ]; then
    adopt_vae "${start:-$model}/vae"
  else
    train_until vae_half $((vae_seconds * 6 / 10))
    if [ ! -e "$work/vae_grown/diffusion_pytorch_model.safetensors" ]; then
      "$python" tools/grow_autoencoder.py "$work/vae_half/vae" "$work/vae_grown" --pictures "$data"
    fi
    train_until vae $((vae_seconds - $(spent vae_half)))
    adopt_vae "$work/vae_run/vae"
  fi
fi
rest=$((minutes * 60 - $(spent vae_half) - $(spent vae)))
train_until structure $((rest * 2 / 3))
train_until texture $((rest - rest * 2 / 3))
mkdir -p "$model"
cp -r "$work/texture/model/." "$model/"
# The decoder may have learnt on since the latents were cached; the encoder is the same.
[ ! -e "$work/vae_run/vae" ] || cp -r "$work/vae_run/vae/." "$model/vae/"
if [ "$scores" = 1 ]; then
  page=$model/scores.md
  [ "$model" != models/mini ] || page=docs/mini-model.md
  "$program" eval --model "$model" --data "$ruler" --inception "$work/weights/inception.safetensors" \
    --runs "$work" --out "$page"
fi
echo "train_mini: done, $model"
