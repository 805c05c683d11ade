#include "app/train/lora_metadata.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/message.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/spec.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

const char* python(bool value) { return value ? "True" : "False"; }

double or_rank(double alpha, int64_t rank) { return alpha > 0 ? alpha : double(rank); }

// Of what is trained, else Python's None.
std::string rate_text(bool is_trained, double own, const train::TrainConfig& c) {
  return is_trained ? number_text(own > 0 ? own : c.learning_rate) : "None";
}

// How often each tag occurs, {"FOLDER": {"TAG": 3}}: what web UIs offer beside a LoRA.
std::string tag_frequency(const std::string& folder, const std::vector<data::Item>& items) {
  nlohmann::json counts = nlohmann::json::object();
  const auto count = [&](const std::string& caption) {
    for (size_t from = 0; from <= caption.size();) {
      const size_t comma = std::min(caption.find(',', from), caption.size());
      const size_t first = caption.find_first_not_of(' ', from);
      const std::string tag = first < comma ? caption.substr(first, comma - first) : "";
      if (!tag.empty()) counts[tag] = counts.value(tag, 0) + 1;
      from = comma + 1;
    }
  };
  for (const data::Item& item : items) {
    for (const auto* captions : {&item.captions_en, &item.captions_zh}) {
      if (!captions->empty()) count(captions->front());
    }
  }
  const fs::path path = fs::path(folder) / "";
  const nlohmann::json all = {{path.parent_path().filename().string(), counts}};
  return all.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

}  // namespace

io::Metadata lora_metadata_of(const TrainingRun& run, const TrainingData& data, int64_t step) {
  const train::TrainConfig& c = run.config;
  const pipeline::FrozenBase& base = *run.frozen;
  const pipeline::TrainerNames& names = base.source->spec->trainer_names;
  const bool predicts_v = c.prediction_type == "v_prediction";
  const std::string side = std::to_string(c.resolution);
  const std::string name = fs::path(c.model_output).stem().string();
  const bool is_v2 = names.kohya.starts_with("sd_v2");
  io::Metadata m = {
      {"ss_network_module", "networks.lora"},
      {"ss_network_dim", std::to_string(c.network_dim)},
      {"ss_network_alpha", number_text(or_rank(c.network_alpha, c.network_dim))},
      {"ss_base_model_version", names.kohya + (is_v2 && predicts_v ? "_v" : "")},
      {"ss_v2", python(is_v2)},
      {"ss_sd_model_name", base.source->name},
      {"ss_output_name", name},
      {"ss_learning_rate", number_text(c.learning_rate)},
      {"ss_unet_lr", rate_text(train::changes_denoiser(c), c.unet_lr, c)},
      {"ss_text_encoder_lr", rate_text(train::changes_text(c), c.text_encoder_lr, c)},
      {"ss_lr_scheduler", c.lr_scheduler},
      {"ss_lr_warmup_steps", std::to_string(c.lr_warmup_steps)},
      {"ss_optimizer", c.optimizer},
      {"ss_steps", std::to_string(step)},
      {"ss_max_train_steps", std::to_string(c.max_train_steps)},
      {"ss_num_train_images", std::to_string(data.items.size())},
      {"ss_total_batch_size", std::to_string(c.train_batch_size * c.gradient_accumulation_steps)},
      {"ss_gradient_accumulation_steps", std::to_string(c.gradient_accumulation_steps)},
      {"ss_gradient_checkpointing", python(c.gradient_checkpointing)},
      {"ss_mixed_precision", c.mixed_precision},
      {"ss_resolution", "(" + side + ", " + side + ")"},
      {"ss_enable_bucket", python(c.enable_bucket)},
      {"ss_seed", std::to_string(c.seed)},
      {"ss_noise_offset", number_text(c.noise_offset)},
      {"ss_caption_dropout_rate", number_text(c.caption_dropout_rate)},
      {"ss_caption_tag_dropout_rate", number_text(c.caption_tag_dropout_rate)},
      {"ss_shuffle_caption", python(c.shuffle_caption)},
      {"ss_keep_tokens", std::to_string(c.keep_tokens)},
      {"ss_tag_frequency", tag_frequency(c.train_data_dir.front(), data.items)},
      {"modelspec.sai_model_spec", "1.0.0"},
      {"modelspec.architecture",
       pipeline::modelspec_architecture_of(*base.source->spec, predicts_v) + "/lora"},
      {"modelspec.title", name},
      {"modelspec.resolution", side + "x" + side},
      {"modelspec.prediction_type", predicts_v ? "v" : c.prediction_type},
  };
  if (c.conv_dim > 0) {
    const nlohmann::json args = {{"conv_dim", std::to_string(c.conv_dim)},
                                 {"conv_alpha", number_text(or_rank(c.conv_alpha, c.conv_dim))}};
    m["ss_network_args"] = args.dump();
  }
  if (c.loss_weighting == "min_snr") m["ss_min_snr_gamma"] = number_text(c.snr_gamma);
  if (base.experts.size() > 1) m[pipeline::kLoraExpertKey] = run.expert.name;
  return m;
}

}  // namespace pangu::app
