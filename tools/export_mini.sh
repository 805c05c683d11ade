#!/usr/bin/env bash
# Lays what tools/train_mini.sh trained out as one model folder in diffusers' layout.
#
#   tools/export_mini.sh WORK MODEL
set -euo pipefail
work=$1 model=$2
mkdir -p "$model/scheduler"
rm -rf "$model/unet" "$model/unet_texture" "$model/vae"
cp -r "$work/structure/unet" "$model/unet"
cp -r "$work/texture/unet" "$model/unet_texture"
# The decoder may have learnt on since the latents were cached; the encoder is the same.
if [ -e "$work/vae_run/vae" ]; then cp -r "$work/vae_run/vae" "$model/vae"; else cp -r "$work/model/vae" "$model/vae"; fi
for part in text_encoder tokenizer; do
  if [ ! -e "$model/$part" ]; then cp -r "$work/model/$part" "$model/$part"; fi
done
cat > "$model/scheduler/scheduler_config.json" <<'JSON'
{
  "_class_name": "DDIMScheduler",
  "num_train_timesteps": 1000,
  "beta_schedule": "scaled_linear",
  "beta_start": 0.00085,
  "beta_end": 0.012,
  "clip_sample": false,
  "set_alpha_to_one": false,
  "steps_offset": 1,
  "timestep_spacing": "trailing",
  "prediction_type": "v_prediction"
}
JSON
cat > "$model/model_index.json" <<'JSON'
{
  "_class_name": "PanGuDrawPipeline",
  "_pangu_version": 1,
  "unet": ["diffusers", "UNet2DConditionModel"],
  "unet_texture": ["diffusers", "UNet2DConditionModel"],
  "vae": ["diffusers", "AutoencoderKL"],
  "text_encoder": ["transformers", "BertModel"],
  "tokenizer": ["transformers", "XLMRobertaTokenizerFast"],
  "scheduler": ["diffusers", "DDIMScheduler"],
  "expert_boundary": 500,
  "style_prompts": {
    "3d": {"en": "3D render", "zh": "三维渲染"},
    "flat": {"en": "flat icon", "zh": "扁平图标"},
    "shaded": {"en": "shaded emoji", "zh": "立体表情"}
  },
  "default_size": [256, 256],
  "default_steps": 20,
  "default_guidance": 4.0,
  "default_guidance_low": 3.0
}
JSON
du -sh "$model" | cut -f1
