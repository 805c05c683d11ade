#include "train/device_cost.h"

namespace pangu::train {
namespace {

constexpr double kFloatBytes = 4, kBf16Bytes = 2;
constexpr double kCodeBytes = 1,
                 kCodesAScale = 256;  // of adamw8bit's moments (train/block_codes.h)
constexpr double kSecondsOfHour = 3600;

double moment_bytes(const std::string& optimizer) {
  if (optimizer == "muon") return kFloatBytes;  // of nearly all parameters
  if (optimizer == "adamw8bit") return 2 * (kCodeBytes + kFloatBytes / kCodesAScale);
  return 2 * kFloatBytes;
}

// What a ring sends of S bytes that N devices sum, or gather: S (N-1)/N each way.
double part_of_ring(const Sharing& sharing) {
  const auto devices = static_cast<double>(sharing.devices);
  return (devices - 1) / devices;
}

}  // namespace

ParameterBytes parameter_bytes(const TrainConfig& config, const Sharing& sharing) {
  const bool is_bf16 = config.mixed_precision == "bf16";
  ParameterBytes bytes;
  bytes.weight = is_bf16 ? kBf16Bytes : kFloatBytes;
  // In bf16 a master has two bytes more than its weight; in f32 the weight is the master.
  bytes.optimizer = (is_bf16 ? kFloatBytes - kBf16Bytes : 0) + moment_bytes(config.optimizer) +
                    (config.use_ema && !config.offload_ema ? kFloatBytes : 0);
  bytes.sums = kFloatBytes;
  if (sharing.devices > 1) return bytes;
  // One device alone sums nothing but micro-batches, in f32 beside the gradient itself.
  bytes.sums = config.fused_backward_pass ? 0 : bytes.weight;
  if (config.gradient_accumulation_steps > 1) bytes.sums += kFloatBytes;
  return bytes;
}

bool can_share(const TrainConfig& config, const Sharing& sharing) {
  if (sharing.devices > 1 && config.fused_backward_pass) return false;
  if (config.optimizer == "muon") return sharing.zero_stage < 2;
  return config.optimizer != "adamw8bit" || sharing.zero_stage == 0;
}

double state_bytes(const TrainConfig& config, double parameters, const Sharing& sharing) {
  const ParameterBytes bytes = parameter_bytes(config, sharing);
  const auto devices = static_cast<double>(sharing.devices);
  return parameters * (bytes.weight + bytes.sums / (sharing.zero_stage > 1 ? devices : 1) +
                       bytes.optimizer / (sharing.zero_stage > 0 ? devices : 1));
}

double sent_bytes(const TrainConfig& config, double parameters, const Sharing& sharing) {
  const double gradients = parameters * kFloatBytes * part_of_ring(sharing);
  const double weights =
      parameters * parameter_bytes(config, sharing).weight * part_of_ring(sharing);
  // A sum of all is a sum of parts that is then gathered; with stage 2 parts stay where they are,
  // and every micro-batch travels.
  if (sharing.zero_stage == 0) return 2 * gradients;
  if (sharing.zero_stage == 1) return 2 * gradients + weights;
  return gradients * static_cast<double>(config.gradient_accumulation_steps) + weights;
}

double hours_of(double gflop, double gflop_per_second, const Sharing& sharing, double overhead) {
  const double alone = gflop / gflop_per_second / kSecondsOfHour;
  if (sharing.devices == 1) return alone;
  return alone / static_cast<double>(sharing.devices) * (1 + overhead);
}

}  // namespace pangu::train
