#include "app/train/training.h"

#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <string_view>

#include "io/disk_space.h"
#include "pipeline/families/networks.h"
#include "train/checkpoint.h"

namespace pangu::app {

std::map<std::string, at::Tensor> read_initial_weights(const std::string& path) {
  constexpr std::string_view kMaster = "master/";
  const auto is_master = [&](const auto& item) { return item.first.starts_with(kMaster); };
  const train::StoredTensors stored = train::stored_tensors(path);
  const bool has_masters = std::any_of(stored.begin(), stored.end(), is_master);
  std::map<std::string, at::Tensor> weights;
  for (const auto& item : stored) {
    if (has_masters && !is_master(item)) continue;
    weights[item.first.substr(has_masters ? kMaster.size() : 0)] =
        train::whole_of(item.second).make();
  }
  return weights;
}

bool is_first_process(const TrainingRun& run) {
  return !run.hooks.world || run.hooks.world->is_first();
}

void begin_run(const TrainingRun& run, const torch::nn::Module& network) {
  const train::TrainConfig& config = run.config;
  pipeline::LoadOptions options;
  options.device = config.device;
  pipeline::placement_of(options);
  io::require_space(config.output_dir, train::bytes_on_disk(config, network));
  const int64_t done = run.resume ? train::steps_done(config) : 0;
  const std::string all = std::to_string(config.max_train_steps) + " steps";
  const std::string part = run.expert.name + " (timesteps " + std::to_string(config.min_timestep) +
                           " to " + std::to_string(config.max_timestep) + ")";
  std::string what = config.task;
  if (run.base) what = "fine-tuning '" + run.base->source->name + "', " + part;
  if (run.frozen) {
    const std::string& kind = config.network_module;
    const char* doing = kind == "lora" ? "a LoRA of '"
                        : kind.empty() ? "training '"
                                       : "a ControlNet of '";
    what = doing + run.frozen->source->name + "', " + part;
  }
  if (done >= config.max_train_steps) {
    what += ": its " + all + " are done";
  } else if (done > 0) {
    what += std::string(run.dry_run ? ": would resume" : ": resuming") + " at step " +
            std::to_string(done) + " of " + all;
  } else {
    what += (run.dry_run ? ": would start, " : ": starting, ") + all;
  }
  if (run.say) run.say(what + ", in '" + config.output_dir + "'");
}

Progress progress_of(const train::StepReport& report, const char* unit) {
  Progress progress;
  progress.done = report.step;
  progress.total = report.max_steps;
  progress.loss = report.loss;
  progress.rate = 0;  // of steps, which the bar would tell the time by
  char text[160];
  std::snprintf(text, sizeof text, "%.1f %s/s | %s left", report.samples_per_second, unit,
                duration_text(report.seconds_left).c_str());
  progress.text = text;
  return progress;
}

std::string data_wait_text(const train::TrainResult& result) {
  constexpr double kPercent = 100;
  char text[64];
  std::snprintf(text, sizeof text, "steps waited %.2f %% of their time for data",
                result.data_wait_share * kPercent);
  return text;
}

}  // namespace pangu::app
