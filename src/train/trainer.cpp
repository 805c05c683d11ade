#include "train/trainer.h"

#include <torch/nn.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <thread>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "train/checkpoint.h"
#include "train/fingerprint.h"
#include "train/metrics_page.h"
#include "train/replicas.h"

namespace pangu::train {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// Lines of metrics.jsonl that an interrupted run wrote after its last checkpoint are dropped.
void cut_metrics(const std::string& path, int64_t step) {
  std::ifstream in(path);
  if (!in) return;
  std::string kept, line;
  while (std::getline(in, line)) {
    const nlohmann::json entry = nlohmann::json::parse(line, nullptr, false);
    if (!entry.is_discarded() && entry.value("step", int64_t{0}) <= step) kept += line + "\n";
  }
  in.close();
  io::write_file_atomic(path, kept);
}

void append_metrics(const std::string& path, const StepReport& r) {
  const nlohmann::json entry = {{"step", r.step},
                                {"loss", r.loss},
                                {"learning_rate", r.learning_rate},
                                {"grad_norm", r.grad_norm},
                                {"samples_per_second", r.samples_per_second},
                                {"gflop_per_second", r.gflop_per_second},
                                {"optimizer_share", r.optimizer_share},
                                {"seconds", r.seconds},
                                {"skipped", r.skipped}};
  std::ofstream(path, std::ios::app) << entry.dump() << "\n";
}

void write_page(const TrainConfig& config, const std::string& metrics_path) {
  if (!std::filesystem::exists(metrics_path)) return;
  io::write_file_atomic(config.output_dir + "/metrics.html",
                        metrics_page(config.output_dir, io::read_text_file(metrics_path)));
}

int64_t core_count() { return std::max<int64_t>(1, std::thread::hardware_concurrency()); }

void prepare(const TrainConfig& config,
             const std::vector<std::shared_ptr<torch::nn::Module>>& modules) {
  const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  for (const auto& module : modules) {
    module->to(at::Device(config.device), dtype);
    module->train();
  }
}

}  // namespace

int64_t replica_count(const TrainConfig& config) {
  if (config.replicas > 0) return config.replicas;
  return config.device == "cpu" ? core_count() : 1;
}

TrainResult train(const TrainConfig& config,
                  const std::vector<std::shared_ptr<torch::nn::Module>>& modules,
                  const LossFunction& loss, const TrainHooks& hooks, bool resume) {
  std::filesystem::create_directories(config.output_dir);
  const std::string checkpoint_path = config.output_dir + "/checkpoint.safetensors";
  const std::string metrics_path = config.output_dir + "/metrics.jsonl";
  prepare(config, modules);
  const int64_t n = static_cast<int64_t>(modules.size());
  Replicas replicas(modules, static_cast<int>(std::max<int64_t>(1, core_count() / n)));

  OptimizerOptions options;
  options.kind = optimizer_kind_from(config.optimizer);
  options.beta1 = config.adam_beta1;
  options.beta2 = config.adam_beta2;
  options.weight_decay = config.adam_weight_decay;
  options.max_grad_norm = config.max_grad_norm;
  options.use_ema = config.use_ema;
  Optimizer optimizer(replicas.parameters(), options);

  int64_t step = 0;
  double seconds_before = 0;
  const std::string fingerprint = fingerprint_of(config);
  if (resume) {
    if (auto checkpoint = load_checkpoint(checkpoint_path)) {
      const std::string difference = difference_of(checkpoint->fingerprint, fingerprint);
      if (!difference.empty()) {
        throw bad_input("checkpoint '" + checkpoint_path + "'", "the settings it was written with",
                        difference, "start with an empty output_dir or pass --fresh");
      }
      optimizer.load_state(checkpoint->tensors);
      step = checkpoint->step;
      seconds_before = checkpoint->train_seconds;
    }
  }
  if (step == 0) std::filesystem::remove(metrics_path);
  cut_metrics(metrics_path, step);
  io::remove_stale_temporaries(checkpoint_path);  // of runs that were killed while they saved

  const auto start = Clock::now();
  auto last_save = start, last_log = start;
  const auto save = [&] {
    save_checkpoint(checkpoint_path,
                    {step, seconds_before + seconds_since(start), fingerprint, optimizer.state()});
    last_save = Clock::now();
  };

  const int64_t accumulation = config.gradient_accumulation_steps;
  const double samples_a_step = double(config.train_batch_size * accumulation);
  const double scale = 1.0 / samples_a_step;
  StepReport report;
  report.max_steps = config.max_train_steps;
  double loss_sum = 0, flop_a_batch = 0, optimizer_seconds = 0;
  int64_t logged_step = step;
  bool out_of_time = false;
  const int64_t first_step = step;
  while (step < config.max_train_steps && !out_of_time) {
    for (int64_t a = 0; a < accumulation; ++a) {
      const int64_t batch = step * accumulation + a;
      // The first batch of a run warms kernels up, the second is counted.
      const bool count = flop_a_batch == 0 && step > first_step;
      double sum;
      if (count) {
        flop_a_batch = replicas.count_flop(loss, batch, config.train_batch_size, scale, &sum);
      } else {
        sum = replicas.run(loss, batch, config.train_batch_size, scale);
      }
      loss_sum += sum;
      const auto summing = Clock::now();
      optimizer.add_gradients(replicas.gradients());
      optimizer_seconds += seconds_since(summing);
      replicas.clear_gradients();
    }
    int64_t scheduled = step;
    if (hooks.progress && step >= config.lr_warmup_steps) {
      const double share = std::clamp(hooks.progress(), 0.0, 1.0);
      scheduled = std::max(step, static_cast<int64_t>(share * double(config.max_train_steps)));
    }
    report.learning_rate = learning_rate_at(config.lr_scheduler, config.learning_rate, scheduled,
                                            config.lr_warmup_steps, config.max_train_steps);
    const double ema_decay = std::min(config.ema_decay, double(1 + step) / double(10 + step));
    const auto stepping = Clock::now();
    report.grad_norm = optimizer.step(report.learning_rate, ema_decay, step + 1);
    optimizer_seconds += seconds_since(stepping);
    if (!std::isfinite(report.grad_norm)) ++report.skipped;
    ++step;

    const double budget = config.time_budget_minutes * 60, spent = seconds_since(start);
    out_of_time = (budget > 0 && spent >= budget) || (hooks.stop && hooks.stop());
    const bool last = out_of_time || step == config.max_train_steps;
    if (last || step % config.log_every_n_steps == 0) {
      const double interval = seconds_since(last_log);
      const double steps_done = double(step - logged_step);
      report.step = step;
      report.loss = loss_sum / (steps_done * samples_a_step);
      report.samples_per_second = steps_done * samples_a_step / interval;
      report.gflop_per_second = flop_a_batch * accumulation * steps_done / interval * 1e-9;
      report.optimizer_share = optimizer_seconds / interval;
      report.seconds = seconds_before + spent;
      report.seconds_left = (config.max_train_steps - step) * interval / steps_done;
      if (budget > 0) report.seconds_left = std::min(report.seconds_left, budget - spent);
      append_metrics(metrics_path, report);
      if (hooks.on_log) hooks.on_log(report);
      loss_sum = optimizer_seconds = 0;
      logged_step = step;
      last_log = Clock::now();
    }
    const int64_t by_number = config.save_every_n_steps;
    if (last || seconds_since(last_save) >= config.save_every_minutes * 60 ||
        (by_number > 0 && step % by_number == 0)) {
      save();
    }
    const int64_t every = config.sample_every_n_steps;
    const bool sample = every > 0 && (last || step % every == 0);
    if (sample || last) write_page(config, metrics_path);
    if (sample && hooks.on_sample) hooks.on_sample(step, optimizer.averaged());
    if (sample) last_log = Clock::now();
  }
  return {step, step >= config.max_train_steps, optimizer.averaged()};
}

}  // namespace pangu::train
