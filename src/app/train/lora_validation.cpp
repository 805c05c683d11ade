#include "app/train/lora_validation.h"

#include <ATen/ATen.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/hash.h"
#include "core/message.h"

namespace pangu::app {
namespace {

constexpr int64_t kValidationTimes = 5, kValidationPictures = 16;
constexpr size_t kShareDigits = 8;  // hexadecimal, of a hash

// Uniform in [0, 1) over pictures.
double place_of(const std::string& content) {
  return double(std::stoul(sha256_hex(content).substr(0, kShareDigits), nullptr, 16)) / 0x1p32;
}

}  // namespace

std::pair<TrainingData, TrainingData> split_for_validation(const train::TrainConfig& config,
                                                           TrainingData data) {
  TrainingData trained = data, kept = data;
  for (TrainingData* side : {&trained, &kept}) {
    side->items.clear();
    side->contents.clear();
  }
  for (size_t i = 0; i < data.items.size(); ++i) {
    TrainingData& side = place_of(data.contents[i]) < config.validation_split ? kept : trained;
    side.items.push_back(std::move(data.items[i]));
    side.contents.push_back(std::move(data.contents[i]));
  }
  if (config.validation_split > 0 && (trained.items.empty() || kept.items.empty())) {
    throw bad_input("validation_split", "a share that leaves pictures on both sides",
                    number_text(config.validation_split) + " of " +
                        std::to_string(data.items.size()) + " pictures");
  }
  return {std::move(trained), std::move(kept)};
}

double validate_at(int64_t step, const train::TrainConfig& config,
                   const diffusion::Schedule& schedule, const diffusion::LossConfig& loss_config,
                   const train::DenoiserCall& net, const train::LatentSet& set) {
  const at::Device device(config.device);
  const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  const train::DenoiserCall on_host = [&](const at::Tensor& x, const at::Tensor& t_index,
                                          const diffusion::Conditions& conditions) {
    return net(x.to(device, dtype), t_index.to(device), conditions.to(device, dtype))
        .to(at::kCPU, at::kFloat);
  };
  const int64_t range = loss_config.max_timestep - loss_config.min_timestep;
  std::vector<int64_t> times;
  for (int64_t k = 0; k < kValidationTimes; ++k) {
    times.push_back(loss_config.min_timestep + range * (2 * k + 1) / (2 * kValidationTimes));
  }
  double sum = 0;
  nlohmann::json by_t = nlohmann::json::object();
  for (const train::LossAtT& one :
       train::loss_at(config, schedule, loss_config, on_host, set, times, kValidationPictures)) {
    by_t[std::to_string(one.t_index)] = one.loss;
    sum += one.loss;
  }
  const double mean = sum / double(kValidationTimes);
  const nlohmann::json line = {{"step", step}, {"loss", mean}, {"loss_by_t", by_t}};
  std::ofstream(config.output_dir + "/validation.jsonl", std::ios::app) << line.dump() << "\n";
  return mean;
}

}  // namespace pangu::app
