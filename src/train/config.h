// The configuration of a training run: one flat TOML file with the key names of kohya's sd-scripts
// and of diffusers. Defaults are here and nowhere else. docs/training.md has the table.
#pragma once
#include <cstdint>
#include <string>
#include <vector>

#include "core/fields.h"
#include "data/native_size.h"

namespace pangu::train {

struct TrainConfig {
  std::string task = "denoiser";
  std::string pretrained_model;
  std::string expert = "all";
  std::string output_dir;
  std::vector<std::string> train_data_dir;
  std::string network_config;
  std::string model_dir;
  std::string initial_weights;
  std::string perceptual_weights;
  std::string cache_dir;
  std::string model_output;
  std::string save_precision = "bf16";
  std::vector<std::string> drawing;
  std::string other_expert;

  std::vector<std::string> reg_data_dir;
  double prior_loss_weight = 1.0;
  std::string data_part = "all";
  int64_t resolution = 256;
  int64_t min_image_size = 0;
  std::vector<int64_t> native_sizes, native_shares;
  bool enable_bucket = false;
  int64_t bucket_reso_steps = 64;
  bool bucket_no_upscale = false;
  bool alpha_mask = false;
  int64_t scene_count = 0;
  double background_probability = 0.2;
  int64_t latent_crop = 0;
  double latent_downscale_probability = 0.0;

  std::string prediction_type = "v_prediction";
  std::string beta_schedule = "scaled_linear";
  int64_t min_timestep = 0;
  int64_t max_timestep = 1000;
  std::string loss_weighting = "min_snr";
  double snr_gamma = 5.0;
  double sigma_data = 1.0;
  double noise_offset = 0.0;
  double caption_dropout_rate = 0.1;
  bool shuffle_caption = false;
  int64_t keep_tokens = 0;
  double caption_tag_dropout_rate = 0.0;
  int64_t max_token_length = 48;
  std::string control;
  double control_dropout_rate = 0.1;
  std::vector<std::string> conditioning_data_dir;
  bool inpainting = false;
  double whole_mask_probability = 0.25;
  std::vector<std::string> mask_data_dir;
  std::string image_encoder_config;

  std::string network_module;
  int64_t network_dim = 16;
  double network_alpha = 0;
  bool network_train_unet_only = true;
  bool network_train_text_encoder_only = false;
  int64_t conv_dim = 0;
  double conv_alpha = 0;
  std::vector<std::string> target_modules = {"to_q",    "to_k",     "to_v",          "to_out.0",
                                             "proj_in", "proj_out", "ff.net.0.proj", "ff.net.2"};
  std::string lora_format = "kohya";
  bool gradient_checkpointing = false;
  double validation_split = 0.0;

  int64_t distillation_phases = 0;
  int64_t num_ddim_timesteps = 48;
  double distillation_guidance = 4.0;

  double kl_weight = 1e-6;
  double perceptual_weight = 0.1;
  bool train_encoder = true;
  double latent_noise = 0.0;
  double whole_picture_probability = 0.5;
  double equivariance_probability = 0.3;
  double adversarial_weight = 0.0;
  int64_t adversarial_start = 0;
  int64_t discriminator_start = 0;
  int64_t discriminator_channels = 32;
  double discriminator_lr = 0;

  int64_t train_batch_size = 64;
  int64_t gradient_accumulation_steps = 1;
  int64_t max_train_steps = 10000;
  double time_budget_minutes = 0;
  std::string optimizer = "adamw";
  double learning_rate = 5e-4;
  double unet_lr = 0;
  double text_encoder_lr = 0;
  std::string lr_scheduler = "cosine";
  int64_t lr_warmup_steps = 200;
  double adam_beta1 = 0.9;
  double adam_beta2 = 0.99;
  double adam_weight_decay = 0.01;
  double max_grad_norm = 1.0;
  bool use_ema = true;
  double ema_decay = 0.999;
  bool offload_ema = false;
  bool fused_backward_pass = false;
  std::string mixed_precision = "bf16";
  std::string device = "cpu";
  int64_t replicas = 0;
  int64_t zero_stage = 0;
  int64_t seed = 0;
  double save_every_minutes = 4;
  int64_t save_every_n_steps = 0;
  double async_save_memory_gib = -1;
  int64_t sample_every_n_steps = 1000;
  int64_t log_every_n_steps = 20;
  std::vector<std::string> sample_prompts;

  template <class V>
  void visit_fields(V& v) {
    v("task", task, "`autoencoder` or `denoiser`");
    v("pretrained_model_name_or_path", pretrained_model,
      "model to fine-tune: weights, conditions, noise schedule and defaults come from it");
    v("expert", expert,
      "`all`, `structure` or `texture`: which of the model's experts to fine-tune, or which half "
      "of the timesteps of a model that has one denoiser");
    v("output_dir", output_dir, "where checkpoints, logs, samples and the model go");
    v("train_data_dir", train_data_dir, "dataset folders or `.tar` shards");
    v("network_config", network_config, "JSON with diffusers' configuration of the network");
    v("model_dir", model_dir,
      "folder with vae/, text_encoder/, tokenizer/ and, of other families than our own, "
      "model_index.json and scheduler/ (task denoiser)");
    v("initial_weights", initial_weights,
      "safetensors to start from instead of random weights; a checkpoint, which is a folder, gives "
      "its "
      "master weights");
    v("perceptual_weights", perceptual_weights, "VGG16 trunk, safetensors (task autoencoder)");
    v("cache_dir", cache_dir,
      "latents and caption states, in a folder for each first dataset and its encoders; empty: "
      "output_dir/cache");
    v("model_output", model_output,
      "folder of the model to draw with (task denoiser), or of a fine-tuned model of other "
      "families "
      "a .safetensors file of the whole; of a LoRA its file; empty: in output_dir");
    v("save_precision", save_precision,
      "`bf16`, `fp16` or `float`: of the trained weights in a model of another family than our "
      "own, and in a ControlNet");
    v("drawing", drawing,
      "JSON files with what a request leaves open: default_size, default_steps, default_guidance, "
      "default_guidance_low, style_prompts, text_model, as model_index.json has them");
    v("other_expert", other_expert,
      "model folder of the expert of the other timesteps; the model then has both");
    v("reg_data_dir", reg_data_dir,
      "dataset folders of regularisation pictures, which keep what the model draws of a class; as "
      "many are shown as of the others (not of our own models)");
    v("prior_loss_weight", prior_loss_weight, "of their losses", Limits{0, 1e3});
    v("data_part", data_part, "`all`, `high` or `low`: which part of the data");
    v("resolution", resolution, "side in pixels; training area with buckets", Limits{8, 8192});
    v("min_image_size", min_image_size, "leave out pictures with a shorter side", Limits{0, 65536});
    v("native_sizes", native_sizes,
      "increasing sides in pixels: each picture gets one by the hash of its name and is read no "
      "larger; empty: its own");
    v("native_shares", native_shares, "how many pictures of so many get each of native_sizes");
    v("enable_bucket", enable_bucket, "keep aspect ratios, batches of equal shape");
    v("bucket_reso_steps", bucket_reso_steps, "bucket sides are multiples of this", Limits{8, 512});
    v("bucket_no_upscale", bucket_no_upscale,
      "with buckets, do not enlarge pictures that are smaller than theirs");
    v("alpha_mask", alpha_mask,
      "transparency says where the loss of a picture counts, instead of making it a cut-out");
    v("scene_count", scene_count, "composed scenes added to the pictures", Limits{0, 1e7});
    v("background_probability", background_probability, "cut-outs put on a colour instead of white",
      Limits{0, 1});
    v("latent_crop", latent_crop, "side of random crops of cached latents; 0 is off",
      Limits{0, 1024});
    v("latent_downscale_probability", latent_downscale_probability,
      "share of whole pictures at the crop's size instead of crops", Limits{0, 1});
    v("prediction_type", prediction_type,
      "`epsilon`, `v_prediction`, `sample` or `flow_prediction`");
    v("beta_schedule", beta_schedule, "`scaled_linear`, `linear`, `squaredcos_cap_v2` or `flow`");
    v("min_timestep", min_timestep, "first time index trained", Limits{0, 1e6});
    v("max_timestep", max_timestep, "one past the last time index trained", Limits{1, 1e6});
    v("loss_weighting", loss_weighting, "`min_snr`, `epsilon`, `edm` or `none`");
    v("snr_gamma", snr_gamma, "ceiling of the weights `min_snr` and `edm`", Limits{1e-6, 1e6});
    v("sigma_data", sigma_data, "deviation of the latents, of `edm`", Limits{1e-3, 1e3});
    v("noise_offset", noise_offset, "0 is off", Limits{0, 1});
    v("caption_dropout_rate", caption_dropout_rate, "share of empty captions, for guidance",
      Limits{0, 1});
    v("shuffle_caption", shuffle_caption,
      "the tags of a caption, parted by commas, in one of 16 orders each time (network_module)");
    v("keep_tokens", keep_tokens,
      "so many tags at the front stay there; in a caption with `|||`, those before it",
      Limits{0, 255});
    v("caption_tag_dropout_rate", caption_tag_dropout_rate,
      "share of the tags that may move which are left out (network_module)", Limits{0, 1});
    v("max_token_length", max_token_length, "captions are cut to this many tokens", Limits{2, 512});
    v("control", control,
      "`edges`, or `canny`: Canny's edges of the picture, as further input channels (pixel models) "
      "or for a ControlNet; empty: none");
    v("control_dropout_rate", control_dropout_rate, "share of black control pictures",
      Limits{0, 1});
    v("conditioning_data_dir", conditioning_data_dir,
      "folders with the control pictures of a ControlNet, under the names of the pictures, where "
      "`control` makes none");
    v("inpainting", inpainting,
      "five input channels for a mask and the masked picture are added to the model's denoiser, of "
      "weights that begin at 0: it becomes an inpainting model; those that are one need not say "
      "so");
    v("whole_mask_probability", whole_mask_probability,
      "share of samples whose whole picture is masked (inpainting models); the others have random "
      "masks",
      Limits{0, 1});
    v("mask_data_dir", mask_data_dir,
      "folders of masks under the names of the pictures, white where an inpainting model draws, in "
      "place of random ones");
    v("image_encoder_config", image_encoder_config,
      "JSON of a CLIPVisionModelWithProjection that is trained along; its embedding of the picture "
      "takes the captions' place (pixel models); empty: none");
    v("network_module", network_module,
      "`lora`: low-rank changes of the denoiser are trained, its weights stay; `controlnet`: a "
      "copy "
      "of its downward half that sees a control picture; empty: the weights");
    v("network_dim", network_dim, "rank of a LoRA", Limits{1, 1024});
    v("network_alpha", network_alpha, "the change is alpha / rank of the product; 0: the rank",
      Limits{0, 1e4});
    v("network_train_unet_only", network_train_unet_only,
      "false: a LoRA changes the text encoders too, whose states are then computed in every step "
      "instead of once (kohya's trainer does so by default)");
    v("network_train_text_encoder_only", network_train_text_encoder_only,
      "true: a LoRA changes the text encoders alone");
    v("conv_dim", conv_dim,
      "rank in the 3x3 convolutions of residual blocks and resampling; 0: they stay",
      Limits{0, 1024});
    v("conv_alpha", conv_alpha, "as network_alpha, of conv_dim", Limits{0, 1e4});
    v("target_modules", target_modules,
      "layers that a LoRA changes, by the ends of their paths, as in PEFT");
    v("lora_format", lora_format, "`kohya` or `diffusers` (PEFT): names in a LoRA's file");
    v("gradient_checkpointing", gradient_checkpointing,
      "blocks of the denoiser are computed twice, which saves most of the memory (not of our own "
      "models)");
    v("validation_split", validation_split,
      "share of the pictures that are not trained on; validation.jsonl has the loss on them "
      "(network_module)",
      Limits{0, 0.9});
    v("distillation_phases", distillation_phases,
      "steps in which the expert shall draw its range of t: it learns from itself as it was, with "
      "guidance, and draws without (task denoiser); 0: no distillation",
      Limits{0, 1000});
    v("num_ddim_timesteps", num_ddim_timesteps,
      "of the teacher's path through that range; a multiple of distillation_phases",
      Limits{1, 1000});
    v("distillation_guidance", distillation_guidance, "scale of the teacher's guidance",
      Limits{1, 100});
    v("kl_weight", kl_weight, "of the posterior's KL to N(0,1)", Limits{0, 1e3});
    v("perceptual_weight", perceptual_weight, "of the VGG feature distance", Limits{0, 1e3});
    v("whole_picture_probability", whole_picture_probability,
      "share of whole pictures, shrunk to resolution; the rest are crops (task autoencoder)",
      Limits{0, 1});
    v("train_encoder", train_encoder,
      "false: the latents stay as they are, only the decoder learns (task autoencoder)");
    v("latent_noise", latent_noise,
      "deviation of noise on what the decoder sees: abs(N(0, this^2)) / scaling_factor, so that it "
      "forgives a generator's errors (task autoencoder); 0 is off",
      Limits{0, 10});
    v("equivariance_probability", equivariance_probability,
      "share of batches whose halved latents must decode to halved pictures", Limits{0, 1});
    v("adversarial_weight", adversarial_weight,
      "of what a discriminator says that sees the pictures by perceptual_weights: the decoder "
      "draws "
      "what looks real instead of a mean (task autoencoder); 0: no discriminator",
      Limits{0, 1e3});
    v("adversarial_start", adversarial_start, "steps before the decoder learns from it",
      Limits{0, 1e9});
    v("discriminator_start", discriminator_start, "steps before the discriminator itself learns",
      Limits{0, 1e9});
    v("discriminator_channels", discriminator_channels, "within each of its heads",
      Limits{1, 1024});
    v("discriminator_lr", discriminator_lr, "peak of its learning rate; 0: learning_rate",
      Limits{0, 1});
    v("train_batch_size", train_batch_size, "samples a step, over all replicas", Limits{1, 65536});
    v("gradient_accumulation_steps", gradient_accumulation_steps, "batches a step",
      Limits{1, 4096});
    v("max_train_steps", max_train_steps, "end of the run and of the cosine", Limits{1, 1e9});
    v("time_budget_minutes", time_budget_minutes, "stop with a checkpoint after this; 0 is off",
      Limits{0, 1e6});
    v("optimizer", optimizer,
      "`adamw`; `adamw8bit`: its moments in 8 bits by blocks of 256; `muon`: matrices by Muon at "
      "AdamW's learning rate, the rest by AdamW");
    v("learning_rate", learning_rate, "peak", Limits{0, 1});
    v("unet_lr", unet_lr, "peak of a LoRA's changes of the denoiser; 0: learning_rate",
      Limits{0, 1});
    v("text_encoder_lr", text_encoder_lr,
      "peak of a LoRA's changes of the text encoders; 0: learning_rate", Limits{0, 1});
    v("lr_scheduler", lr_scheduler, "`cosine` or `constant`");
    v("lr_warmup_steps", lr_warmup_steps, "linear warm-up", Limits{0, 1e9});
    v("adam_beta1", adam_beta1, "first moment", Limits{0, 0.9999999});
    v("adam_beta2", adam_beta2, "second moment", Limits{0, 0.9999999});
    v("adam_weight_decay", adam_weight_decay, "decoupled, not on norms and biases", Limits{0, 1});
    v("max_grad_norm", max_grad_norm, "clipping; 0 is off", Limits{0, 1e9});
    v("use_ema", use_ema, "average the weights; the average is what is exported");
    v("ema_decay", ema_decay, "grows towards this as (1 + step) / (10 + step)", Limits{0, 1});
    v("offload_ema", offload_ema,
      "the average is in a file of output_dir that has no name, instead of in memory (on the CPU)");
    v("fused_backward_pass", fused_backward_pass,
      "each parameter is stepped in the backward pass, and its gradient let go: needs replicas = "
      "1, "
      "gradient_accumulation_steps = 1 and max_grad_norm = 0");
    v("mixed_precision", mixed_precision, "`bf16` or `no`; master weights have 32 bits in both");
    v("device", device, "`cpu` or `cuda`");
    v("replicas", replicas, "slices of a process's batch computed side by side; 0: one a thread",
      Limits{0, 256});
    v("zero_stage", zero_stage,
      "of several processes: 1 divides the optimiser's state and the average among them, 2 the "
      "summed gradients too",
      Limits{0, 2});
    v("seed", seed, "of weights, order, noise and captions", Limits{0, 9e15});
    v("save_every_minutes", save_every_minutes, "between checkpoints", Limits{0, 1e6});
    v("save_every_n_steps", save_every_n_steps,
      "checkpoints by number, beside those by time; 0 is off", Limits{0, 1e9});
    v("async_save_memory_gib", async_save_memory_gib,
      "most memory of a process, in GiB, for the copy out of which a checkpoint is written while "
      "training goes on; a larger one is written before it does; -1: half of what is available, 0: "
      "no copy",
      Limits{-1, 1e6});
    v("sample_every_n_steps", sample_every_n_steps,
      "grid of sample pictures, of a LoRA its file so far and its validation; 0 is off",
      Limits{0, 1e9});
    v("log_every_n_steps", log_every_n_steps, "lines of metrics.jsonl", Limits{1, 1e9});
    v("sample_prompts", sample_prompts,
      "prompts of the sample grid, drawn as `draw` draws (not of our own models, whose grid is of "
      "the "
      "data's captions)");
  }

  data::SizeHistogram native_size_histogram() const { return {native_sizes, native_shares}; }

  // Reads the file, applies "key=value" assignments and validates. Relative paths in the file are
  // taken from its folder, those of assignments from the current one. Throws kBadInput, which names
  // file, line and key.
  static TrainConfig open(const std::string& path, const std::vector<std::string>& assignments);
  // The same without a file: assignments over `start`.
  static TrainConfig with(const TrainConfig& start, const std::vector<std::string>& assignments);

  // What differs from the defaults, as a file in `folder` that open() reads as the same.
  std::string toml(const std::string& folder) const;
};

// What of a model a LoRA changes: one of the two at least. Neither without one.
bool changes_denoiser(const TrainConfig& config);
bool changes_text(const TrainConfig& config);

// Whether the value of a key is a path or a list of paths.
bool is_path_key(const std::string& key);

// Error kBadInput naming the key of an input that is no file or folder.
void require_inputs(const TrainConfig& config);

}  // namespace pangu::train
