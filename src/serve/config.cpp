#include "serve/config.h"

#include <algorithm>
#include <thread>

#include "core/error.h"

namespace pangu::serve {

ServeConfig serve_config(const std::string& file, const std::vector<std::string>& sets) {
  TomlReader reader = file.empty() ? TomlReader("", "--set") : TomlReader::open(file);
  for (const std::string& assignment : sets) reader.set(assignment);
  ServeConfig config;
  config.visit_fields(reader);
  reader.finish();
  return config;
}

void check_listening(const ServeConfig& config) {
  const bool loopback = config.host == "localhost" || config.host.starts_with("127.") ||
                        config.host == "::1" || config.host == "[::1]";
  if (loopback || !config.api_key_file.empty()) return;
  throw bad_input("host", "127.0.0.1, as there are no keys", "'" + config.host + "'",
                  "--api-key-file FILE lets others in, each with a key of their own");
}

nlohmann::json worker_config(const ServeConfig& config, int worker) {
  const int64_t cores = std::max(1u, std::thread::hardware_concurrency());
  const int64_t threads =
      config.threads > 0 ? config.threads : std::max<int64_t>(1, cores / config.workers);
  std::string device = config.device;
  if (device == "cuda" && config.workers > 1) device += ":" + std::to_string(worker);
  return {{"type", "configure"},
          {"worker", worker},
          {"device", device},
          {"dtype", config.dtype},
          {"threads", threads},
          {"cache_megabytes", config.cache_megabytes},
          {"default_model", config.default_model},
          {"count", config.count},
          {"folders",
           {{"model", config.models},
            {"lora", config.loras},
            {"controlnet", config.controlnets},
            {"embedding", config.embeddings},
            {"vae", config.vaes},
            {"unet", config.unets},
            {"text_encoder", config.text_encoders},
            {"upscaler", config.upscalers},
            {"refiner", config.refiners}}}};
}

}  // namespace pangu::serve
