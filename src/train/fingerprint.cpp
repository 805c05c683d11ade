#include "train/fingerprint.h"

#include <nlohmann/json.hpp>
#include <optional>

namespace pangu::train {
namespace {

using nlohmann::json;

constexpr const char* kReplicas = "replicas";
constexpr size_t kShownDigits = 16;  // of a hash

json settings_of(TrainConfig config) {
  JsonFieldWriter writer;
  config.visit_fields(writer);
  for (const char* free : {"pretrained_model_name_or_path",
                           "expert",
                           "output_dir",
                           "train_data_dir",
                           "reg_data_dir",
                           "conditioning_data_dir",
                           "mask_data_dir",
                           "network_config",
                           "model_dir",
                           "initial_weights",
                           "perceptual_weights",
                           "cache_dir",
                           "model_output",
                           "save_precision",
                           "drawing",
                           "other_expert",
                           "time_budget_minutes",
                           "device",
                           "zero_stage",
                           "offload_ema",
                           "fused_backward_pass",
                           "save_every_minutes",
                           "save_every_n_steps",
                           "async_save_memory_gib",
                           "sample_every_n_steps",
                           "log_every_n_steps",
                           "sample_prompts",
                           "max_train_steps",
                           "learning_rate",
                           "unet_lr",
                           "text_encoder_lr",
                           "discriminator_lr",
                           "adversarial_weight",
                           "lr_scheduler"}) {
    writer.json.erase(free);
  }
  return writer.json;
}

json inputs_of(const RunInputs& inputs) {
  json all = json::object();
  const auto put = [&](const char* key, const std::string& hash) {
    all[key] = hash.substr(0, kShownDigits);
  };
  put("data", inputs.data);
  put("network", inputs.network);
  put("conditioning", inputs.conditioning);
  return all;
}

// Nothing was known of it when the fingerprint was written.
bool is_unknown(const json& value) { return value.is_null() || value == json("") || value == 0; }

json different(const json& was, const json& is) {
  json keys = json::object();  // key -> [was, is]
  const json settings = settings_of({}), inputs = inputs_of({});
  for (const auto& [key, standard] : settings.items()) {
    if (key == kReplicas) continue;
    const json a = was.value(key, standard), b = is.value(key, standard);
    if (a != b) keys[key] = {a, b};
  }
  const auto compare_known = [&](const std::string& key) {
    const json a = was.value(key, json()), b = is.value(key, json());
    if (!is_unknown(a) && !is_unknown(b) && a != b) keys[key] = {a, b};
  };
  compare_known(kReplicas);
  for (const auto& [key, none] : inputs.items()) compare_known(key);
  return keys;
}

// What differs between two fingerprints; nothing if one of them cannot be read.
std::optional<json> differences(const std::string& before, const std::string& now) {
  const json was = json::parse(before, nullptr, false), is = json::parse(now, nullptr, false);
  if (!was.is_object() || !is.is_object()) return std::nullopt;
  return different(was, is);
}

}  // namespace

std::string fingerprint_of(const TrainConfig& config, const RunInputs& inputs, int64_t replicas) {
  json all = settings_of(config);
  all[kReplicas] = replicas;
  all.update(inputs_of(inputs));
  return all.dump();
}

std::string difference_of(const std::string& before, const std::string& now) {
  const auto keys = differences(before, now);
  if (!keys) return before == now ? "" : "unreadable settings";
  std::string text;
  for (const auto& [key, values] : keys->items()) {
    text += (text.empty() ? "" : "; ") + key + " " + values[0].dump() + ", now " + values[1].dump();
  }
  return text;
}

std::string way_on(const std::string& before, const std::string& now) {
  const auto keys = differences(before, now);
  const std::string anew = "start with an empty output_dir or pass --fresh";
  if (keys && keys->size() == 1 && keys->contains(kReplicas)) {
    return "--set replicas=" + (*keys)[kReplicas][0].dump() + " goes on as before; else " + anew;
  }
  return "put back what it was, " + anew;
}

}  // namespace pangu::train
