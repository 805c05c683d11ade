// `pangu-draw train`: reads the configuration, chooses the task, shows progress.
#include <torch/types.h>

#include <cstdio>

#include "app/commands.h"
#include "app/interrupt.h"
#include "app/train/training.h"
#include "app/train/training_state.h"
#include "core/error.h"
#include "core/progress.h"
#include "nn/weights.h"
#include "pipeline/model.h"
#include "tensors/safetensors.h"

namespace pangu::app {

std::map<std::string, at::Tensor> read_initial_weights(const std::string& path) {
  constexpr std::string_view kMaster = "master/";
  std::map<std::string, at::Tensor> weights, masters;
  for (const auto& [name, tensor] : tensors::load_safetensors(path)) {
    if (name.starts_with(kMaster)) {
      masters[name.substr(kMaster.size())] = tensor;
    } else {
      weights[name] = tensor;
    }
  }
  return masters.empty() ? weights : masters;
}

int run_train(const TrainArgs& args) {
  TrainingRun run;
  std::vector<std::string> assignments = args.sets;
  if (!args.device.empty()) assignments.push_back("device=" + args.device);
  if (args.minutes) {
    assignments.push_back("time_budget_minutes=" + std::to_string(*args.minutes));
  }
  run.config = train::TrainConfig::open(args.config, assignments);
  if (!args.export_state.empty()) {
    export_state(run.config, args.export_state, size_t(args.piece_megabytes) * 1'000'000);
    return 0;
  }
  if (!args.import_state.empty()) {
    import_state(run.config, args.import_state, args.fresh);
    return 0;
  }
  if (run.config.device == "cpu" && run.config.mixed_precision == "bf16" &&
      pipeline::fastest_dtype("cpu") != "bf16") {
    std::fprintf(
        stderr,
        "note: this processor does not multiply bf16, which is emulated slowly. Hint: --set "
        "mixed_precision=no trains in f32\n");
  }
  run.resume = !args.fresh;
  run.dry_run = args.dry_run;
  run.quiet = args.quiet;

  ProgressBar bar("train");
  run.hooks.on_log = [&](const train::StepReport& r) {
    if (args.quiet) return;
    Progress progress;
    progress.done = r.step;
    progress.total = r.max_steps;
    progress.loss = r.loss;
    progress.rate = r.samples_per_second;
    progress.unit = "samples";
    char text[128];
    std::snprintf(text, sizeof text,
                  "lr %.1e | grad %.2f | %.0f GFLOP/s | optimiser %.0f %% | %s left",
                  r.learning_rate, r.grad_norm, r.gflop_per_second, 100 * r.optimizer_share,
                  duration_text(r.seconds_left).c_str());
    progress.text = text;
    bar(progress);
  };
  // Ctrl-C ends the run with a checkpoint, or the filling of a cache with what is there.
  const Interrupt interrupt;
  run.hooks.stop = [&] { return interrupt.wanted(); };

  if (run.config.task == "autoencoder") {
    train_autoencoder(run);
  } else {
    train_denoiser(run);
  }
  if (!interrupt.wanted()) return 0;
  bar.finish();
  std::fprintf(stderr, "stopped; the same command goes on from here\n");
  return interrupt.exit_code();
}

}  // namespace pangu::app
