// `pangu-draw train` for task = "denoiser": one expert, alone.
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/train/latent_cache.h"
#include "app/train/run_accounting.h"
#include "app/train/training.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/message.h"
#include "diffusion/parameterisation.h"
#include "image/image.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "nn/weights.h"
#include "pipeline/expert_samples.h"
#include "pipeline/trained_model.h"
#include "train/denoiser_loss.h"

namespace pangu::app {
namespace {

constexpr int kSheetColumns = 8, kSheetCellPx = 160;
constexpr int kLossTimes = 11;  // of loss_by_t.json
constexpr int64_t kLossPictures = 64;
constexpr int64_t kDenoiserSamples = 16;

pipeline::NetworkConfigs network_configs(const train::TrainConfig& config) {
  pipeline::NetworkConfigs networks;
  networks["unet"] = io::read_json_file(config.network_config, "network_config");
  if (!config.image_encoder_config.empty()) {
    networks["image_encoder"] =
        io::read_json_file(config.image_encoder_config, "image_encoder_config");
  }
  return networks;
}

std::string network_hash(const pipeline::NetworkConfigs& networks) {
  // The networks are told apart by their order, as in hashes from before they had names.
  std::string text = networks.at("unet").dump();
  for (const auto& [component, json] : networks) {
    if (component != "unet") text += json.dump();
  }
  return sha256_hex(text);
}

// Runs that begin from different weights of one configuration are different runs.
std::string network_identity(const TrainingRun& run, const pipeline::NetworkConfigs& networks) {
  const std::string hash = network_hash(networks);
  return run.base ? sha256_hex(hash + " " + run.base->source->fingerprint) : hash;
}

// What is trained.
struct Trainee {
  const pipeline::TrainingSpec& spec;
  pipeline::NetworkConfigs networks;
  nn::TensorMap initial;  // of config.initial_weights; empty: random ones
};

Trainee trainee_of(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  if (run.base) return {*run.base->spec, pipeline::networks_of(*run.base, run.expert), {}};
  Trainee t{pipeline::training_from_nothing(!config.image_encoder_config.empty()),
            network_configs(config),
            {}};
  if (!config.initial_weights.empty()) t.initial = read_initial_weights(config.initial_weights);
  return t;
}

pipeline::TrainableDenoiser make_denoiser(const TrainingRun& run, const Trainee& trainee) {
  torch::manual_seed(static_cast<uint64_t>(run.config.seed));
  pipeline::TrainableDenoiser denoiser = trainee.spec.denoiser(trainee.networks);
  if (run.base) {
    nn::load_into(*denoiser.module, pipeline::weights_of(*run.base, run.expert, denoiser.parts));
  } else if (!trainee.initial.empty()) {
    nn::load_into(*denoiser.module, trainee.initial);
  }
  return denoiser;
}

// What a run of distillation_phases learns from: one frozen copy of its first weights a replica, in
// the precision of the training.
class Teachers {
 public:
  Teachers(const TrainingRun& run, const Trainee& trainee) {
    const train::TrainConfig& config = run.config;
    if (config.distillation_phases == 0) return;
    const auto type = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    for (int64_t r = 0; r < train::replica_count(config); ++r) {
      const pipeline::TrainableDenoiser one = make_denoiser(run, trainee);
      one.module->to(at::Device(config.device), type);
      one.module->eval();
      for (at::Tensor& p : one.module->parameters()) p.requires_grad_(false);
      modules_.push_back(one.module);
      calls_.push_back(one.predict);
    }
  }
  const std::vector<train::DenoiserCall>& calls() const { return calls_; }

 private:
  std::vector<std::shared_ptr<torch::nn::Module>> modules_;
  std::vector<train::DenoiserCall> calls_;
};

// What the expert alone makes of pictures spread over the set, as one contact sheet.
void write_samples(const std::string& path, const pipeline::TrainedModelPlan& plan,
                   const pipeline::TrainableDenoiser& judge, const pipeline::LatentCodec& codec,
                   const train::LatentBatch& shown, int64_t phases) {
  pipeline::ExpertSamples asked{.schedule = plan.schedule,
                                .parameterisation = plan.parameterisation,
                                .min_timestep = plan.min_timestep,
                                .max_timestep = plan.max_timestep,
                                .latents = shown.latents,
                                .conditions = shown.conditions,
                                .predict = judge.predict};
  if (phases > 0) {  // as it shall draw
    asked.guidance = 1;
    asked.steps = static_cast<int>(phases);
    asked.equal_steps_of_t = true;
  }
  const at::NoGradGuard no_grad;
  const at::Tensor pictures = codec.decode(pipeline::expert_samples(asked), {});
  const auto png = image::encode_png(pipeline::sheet_of(pictures, kSheetColumns, kSheetCellPx));
  io::write_file_atomic(path, std::as_bytes(std::span(png)));
}

std::string model_folder(const train::TrainConfig& config) {
  return config.model_output.empty() ? config.output_dir + "/model" : config.model_output;
}

// What the model that comes of it is told beside its weights.
pipeline::TrainedModelPlan model_plan_of(const TrainingRun& run, const pipeline::TrainingSpec& spec,
                                         const diffusion::LossConfig& loss) {
  const train::TrainConfig& config = run.config;
  pipeline::TrainedModelPlan plan;
  plan.schedule = run.base ? run.base->schedule : train::schedule_of(config);
  plan.parameterisation = loss.parameterisation;
  plan.min_timestep = loss.min_timestep;
  plan.max_timestep = loss.max_timestep;
  plan.inputs = config.model_dir;
  plan.reads_captions = bool(spec.captions);
  plan.default_side_px = static_cast<int>(config.resolution);
  plan.drawing = config.drawing;
  plan.other_expert = config.other_expert;
  if (run.base) {
    plan.base = run.base->source->folder;
    // The other half is that of the model which is written, once there is one: it may be trained.
    const bool is_written = std::filesystem::exists(model_folder(config) + "/model_index.json");
    if (run.base->experts.size() > 1) {
      plan.other_expert = is_written ? model_folder(config) : plan.base;
    }
  }
  return plan;
}

// Tries the first loss on one picture, in f32 on the CPU: all parts fit each other.
void try_one_loss(const TrainingRun& run, const CacheSources& sources,
                  const pipeline::TrainedModelPlan& plan, const diffusion::LossConfig& loss_config,
                  const train::DenoiserCall& call) {
  const auto set = latent_set_of_one(run.config, sources, check_pictures(sources.data));
  train::TrainConfig alone = run.config;
  alone.train_batch_size = 1;
  alone.device = "cpu";
  alone.mixed_precision = "no";
  const at::NoGradGuard no_grad;
  alone.distillation_phases = 0;
  const double loss = train::denoiser_loss(alone, plan.schedule, loss_config, {call},
                                           set)({.replica = 0, .batch = 0, .first = 0, .count = 1})
                          .item<double>();
  if (!std::isfinite(loss)) throw bad_input("weights", "a finite loss", number_text(loss));
}

void write_loss_by_t(const train::TrainConfig& config, const pipeline::TrainedModelPlan& plan,
                     const diffusion::LossConfig& loss, const pipeline::TrainableDenoiser& judge,
                     const train::LatentSet& set) {
  nlohmann::json by_t = nlohmann::json::array();
  for (const train::LossAtT& one : train::loss_by_t(config, plan.schedule, loss, judge.predict, set,
                                                    kLossTimes, kLossPictures)) {
    by_t.push_back({{"t_index", one.t_index}, {"sigma", one.sigma}, {"loss", one.loss}});
  }
  io::write_file_atomic(config.output_dir + "/loss_by_t.json", by_t.dump(2) + "\n");
}

}  // namespace

TrainingOutcome train_denoiser(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  train::restart_peak_memory();
  const Trainee trainee = trainee_of(run);
  const diffusion::LossConfig loss_config = train::loss_config_of(config);
  const pipeline::TrainedModelPlan plan = model_plan_of(run, trainee.spec, loss_config);
  loss_config.validate(plan.schedule);
  pipeline::check_trained_model(plan);

  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::vector<train::DenoiserCall> calls;
  for (int64_t r = 0; r < train::replica_count(config); ++r) {
    const pipeline::TrainableDenoiser replica = make_denoiser(run, trainee);
    calls.push_back(replica.predict);
    modules.push_back(replica.module);
  }
  const Teachers teachers(run, trainee);
  begin_run(run, *modules.front());
  // Caching takes minutes: what else can be wrong is found before.
  const CacheSources sources = open_cache_sources(config, trainee.spec, trainee.networks,
                                                  training_data(config, !run.dry_run));
  const train::RunInputs inputs{sources.data.index_hash, network_identity(run, trainee.networks),
                                conditioning_hash(sources)};
  if (run.resume) train::check_resumable(config, inputs, run.hooks);
  if (run.dry_run) {
    try_one_loss(run, sources, plan, loss_config, calls.front());
    return {};
  }
  const auto set =
      first_alone(run, [&] { return latent_set_for(config, sources, run.quiet, run.wants_stop); });

  const pipeline::TrainableDenoiser judge = make_denoiser(run, trainee);  // f32, averaged
  judge.module->eval();
  const int64_t stride =
      std::max<int64_t>(1, static_cast<int64_t>(set->items.size()) / kDenoiserSamples);
  const train::LatentBatch shown = train::batch_of(
      *set, train::items_of_one_shape(*set, kDenoiserSamples, stride), /*guided=*/true);
  train::TrainHooks hooks = run.hooks;
  hooks.on_sample = [&](int64_t step, const nn::TensorMap& weights) {
    nn::load_into(*judge.module, weights);
    const std::string folder = config.output_dir + "/samples";
    std::filesystem::create_directories(folder);
    write_samples(folder + "/step" + std::to_string(step) + ".png", plan, judge, sources.codec,
                  shown, config.distillation_phases);
  };
  const auto wait = std::make_shared<train::DataWait>();
  hooks.data_wait = wait;
  const train::TrainResult result = train::train(
      config, modules,
      train::denoiser_loss(config, plan.schedule, loss_config, calls, set, wait, teachers.calls()),
      inputs, hooks, run.resume);
  if (!is_first_process(run)) return {result.step, result.finished, ""};
  if (run.say) run.say(data_wait_text(result));

  nn::load_into(*judge.module, result.weights);
  write_loss_by_t(config, plan, loss_config, judge, *set);
  pipeline::write_trained_model(model_folder(config), plan, judge.parts, result.weights);
  train::Accounting cost = accounting_of(config, set, *judge.module, result);
  cost.pictures = static_cast<int64_t>(sources.data.items.size());
  cost.pictures_in_all = sources.data.pictures_in_all;
  account_a_picture(model_folder(config), cost);
  io::write_file_atomic(accounting_file(config.output_dir), to_json(cost).dump(2) + "\n");
  return {result.step, result.finished, model_folder(config)};
}

}  // namespace pangu::app
