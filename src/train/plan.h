// A plan of a training before it begins: what each strategy can use, what it costs and how long it
// takes on named hardware, out of one TOML file; and which one to take. It trains nothing and says
// nothing of quality.
#pragma once
#include <string>
#include <vector>

#include "core/fields.h"
#include "data/native_size.h"
#include "train/device_cost.h"
#include "train/strategy_cost.h"

namespace pangu::train {

struct PlanConfig {
  std::vector<std::string> strategies;
  std::string reference;
  int64_t pictures = 0;
  std::vector<std::string> train_data_dir;
  std::vector<int64_t> native_sizes, native_shares;
  int64_t latent_downscale = 16;
  int64_t context_length = 12;
  int64_t drawing_px = 256;
  int64_t drawing_steps = 20;
  double drawing_rows = 2;
  double budget_gflop = 0, budget_samples = 0, budget_epochs = 0;
  std::vector<std::string> hardware;
  std::vector<int64_t> hardware_gflop_per_second, hardware_memory_gb;
  std::vector<int64_t> devices;
  std::vector<int64_t> zero_stages = {0, 1, 2};
  int64_t samples_a_device = 1;
  double many_devices_overhead = 0;
  std::vector<int64_t> claimed_percent;

  template <class V>
  void visit_fields(V& v) {
    v("strategies", strategies, "TOML files of strategies");
    v("reference", reference, "the file name, without suffix, of the one to compare with");
    v("pictures", pictures, "how many there are, if train_data_dir is empty", Limits{0, 1e15});
    v("train_data_dir", train_data_dir,
      "datasets whose pictures are counted; empty: the histogram");
    v("native_sizes", native_sizes, "the histogram: increasing sides in pixels");
    v("native_shares", native_shares, "the histogram: how many pictures of so many have each");
    v("latent_downscale", latent_downscale, "pixels a latent pixel, each way", Limits{1, 64});
    v("context_length", context_length, "tokens of a caption", Limits{1, 512});
    v("drawing_px", drawing_px, "side of a drawn picture", Limits{8, 8192});
    v("drawing_steps", drawing_steps, "steps of a drawn picture", Limits{1, 1000});
    v("drawing_rows", drawing_rows, "forward rows in a step: 2 with guidance", Limits{1, 16});
    v("budget_gflop", budget_gflop, "operations of a strategy, 10^9", Limits{0, 1e18});
    v("budget_samples", budget_samples, "or the samples of every stage", Limits{0, 1e15});
    v("budget_epochs", budget_epochs, "or how often every stage sees its pictures", Limits{0, 1e9});
    v("hardware", hardware, "names of machines");
    v("hardware_gflop_per_second", hardware_gflop_per_second,
      "what each of them reaches in training, 10^9 operations a second");
    v("hardware_memory_gb", hardware_memory_gb, "memory of one device of each");
    v("devices", devices,
      "numbers of devices that share a stage, for a table of memory, traffic and hours; empty: "
      "none");
    v("zero_stages", zero_stages, "zero_stage in that table");
    v("samples_a_device", samples_a_device, "of a micro-batch in that table", Limits{1, 65536});
    v("many_devices_overhead", many_devices_overhead,
      "assumed: by what share several devices take longer than one device's time by their number",
      Limits{0, 100});
    v("claimed_percent", claimed_percent,
      "what a publication says of the first strategy against the reference: pictures, cost of "
      "training, cost of drawing, in percent more or less");
  }

  data::SizeHistogram histogram() const { return {native_sizes, native_shares}; }
  // Relative paths are taken from the file's folder. Error kBadInput naming file, line and key.
  static PlanConfig open(const std::string& path);
};

// Bytes of training memory a parameter (docs/training.md): its bf16 value and gradient, the other
// half of its master, two moments and the average in f32. Activations come on top.
inline constexpr double kTrainingBytesAParameter = 2 + 2 + 2 + 8 + 4;

// A stage on several devices, each with the whole network's weights and its own samples.
struct DeviceCost {
  std::string stage;
  Sharing sharing;
  double state_bytes = 0;       // of one device: weights, gradients, optimiser, average
  double activation_bytes = 0;  // of one device's samples
  double sent_bytes = 0;        // by one device in a step
  std::vector<double> hours;    // on each of the plan's hardware

  double bytes() const { return state_bytes + activation_bytes; }
};

// Of every stage at every number of devices and zero_stage that its optimiser goes with. cost: of
// the strategy, with its stages in their order.
std::vector<DeviceCost> device_costs(const PlanConfig& plan, const Strategy& strategy,
                                     const StrategyCost& cost, const CostSources& sources);

// The strategy that a plan recommends, as an index, and why. Of those that fit into the memory of
// one device of at least one machine: the one that uses most pictures, of equals the one whose
// pictures cost least to draw, of equals the one with the smallest network to train. costs: of the
// plan's budget, not empty.
struct Recommendation {
  size_t strategy = 0;
  std::string why;
};
Recommendation recommendation(const PlanConfig& plan, const std::vector<StrategyCost>& costs);

// `value` against `reference` in percent: "+48.0 %", "-50.0 %".
std::string percent_against(double value, double reference);

}  // namespace pangu::train
