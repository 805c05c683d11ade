#include "train/fingerprint.h"

#include <nlohmann/json.hpp>

namespace pangu::train {
namespace {

nlohmann::json settings_of(TrainConfig config) {
  JsonFieldWriter writer;
  config.visit_fields(writer);
  for (const char* free :
       {"output_dir", "train_data_dir", "network_config", "model_dir", "initial_weights",
        "perceptual_weights", "cache_dir", "time_budget_minutes", "device", "save_every_minutes",
        "save_every_n_steps", "sample_every_n_steps", "log_every_n_steps", "sample_prompts",
        "max_train_steps", "learning_rate", "lr_scheduler"}) {
    writer.json.erase(free);
  }
  return writer.json;
}

}  // namespace

std::string fingerprint_of(const TrainConfig& config) { return settings_of(config).dump(); }

std::string difference_of(const std::string& before, const std::string& now) {
  const nlohmann::json was = nlohmann::json::parse(before, nullptr, false);
  const nlohmann::json is = nlohmann::json::parse(now, nullptr, false);
  if (!was.is_object() || !is.is_object()) return before == now ? "" : "unreadable settings";
  std::string text;
  const nlohmann::json defaults = settings_of({});
  for (const auto& [key, standard] : defaults.items()) {
    const nlohmann::json a = was.value(key, standard), b = is.value(key, standard);
    if (a != b) text += (text.empty() ? "" : "; ") + key + " " + a.dump() + ", now " + b.dump();
  }
  return text;
}

}  // namespace pangu::train
