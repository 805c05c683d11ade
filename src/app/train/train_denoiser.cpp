// `pangu-draw train` for task = "denoiser": one expert, alone.
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/train/latent_cache.h"
#include "app/train/training.h"
#include "core/error.h"
#include "core/hash.h"
#include "diffusion/parameterisation.h"
#include "image/image.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "nn/text/clip_vision.h"
#include "nn/unet/unet.h"
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

nn::UNetConfig read_unet_config(const std::string& path) {
  return nn::unet_config_from_json(io::read_json_file(path, "network_config"));
}

// Of the configurations of what is trained.
std::string network_hash(const train::TrainConfig& config) {
  std::string text = io::read_json_file(config.network_config, "network_config").dump();
  if (!config.image_encoder_config.empty()) {
    text += io::read_json_file(config.image_encoder_config, "image_encoder_config").dump();
  }
  return sha256_hex(text);
}

// A denoiser that reads a picture's embedding, and the encoder that makes it, as one to train.
struct WithEncoder : torch::nn::Module {
  WithEncoder(std::shared_ptr<nn::UNet2DConditionModel> unet,
              std::shared_ptr<nn::ClipVisionModel> encoder) {
    register_module("unet", std::move(unet));
    register_module("image_encoder", std::move(encoder));
  }
};

// One replica.
struct Network {
  std::shared_ptr<torch::nn::Module> all;  // what is trained
  std::shared_ptr<nn::UNet2DConditionModel> unet;
  std::shared_ptr<nn::ClipVisionModel> encoder;  // or none
};

Network make_denoiser(const nn::UNetConfig& unet_config, const train::TrainConfig& config) {
  torch::manual_seed(static_cast<uint64_t>(config.seed));
  Network network;
  network.unet = std::make_shared<nn::UNet2DConditionModel>(unet_config);
  network.all = network.unet;
  if (!config.image_encoder_config.empty()) {
    network.encoder = std::make_shared<nn::ClipVisionModel>(nn::ClipVisionConfig::from_json(
        io::read_json_file(config.image_encoder_config, "image_encoder_config")));
    network.all = std::make_shared<WithEncoder>(network.unet, network.encoder);
  }
  if (config.initial_weights.empty()) {
    nn::zero_init_output(*network.unet);
  } else {
    nn::load_into(*network.all, read_initial_weights(config.initial_weights));
  }
  nn::weights_to_channels_last(*network.unet);
  return network;
}

train::DenoiserCall call_of(const Network& network) {
  return [network](const at::Tensor& x, const at::Tensor& t, const at::Tensor& context,
                   const at::Tensor& mask) {
    nn::UNetExtras extras;
    if (network.encoder) {
      at::Tensor embeds = network.encoder->forward(context).image_embeds;
      embeds = (embeds * mask.to(embeds.dtype())).unsqueeze(1);
      extras.class_labels = network.unet->class_labels_of(embeds, {});
      return network.unet->forward(x, t, embeds, extras);
    }
    extras.context_mask = mask;
    extras.class_labels = network.unet->class_labels_of(context, mask);
    return network.unet->forward(x, t, context, extras);
  };
}

// The weights whose names begin with `prefix`, without it.
nn::TensorMap part_of(const nn::TensorMap& weights, const std::string& prefix) {
  nn::TensorMap part;
  for (const auto& [name, tensor] : weights) {
    if (name.starts_with(prefix)) part[name.substr(prefix.size())] = tensor;
  }
  return part;
}

// What the expert alone makes of the first pictures of the set: from pure noise, or, where its
// range of t does not reach it, from the pictures' own latents under noise; stopped at the end of
// its range with the clean latent it then sees.
class SampleGrid {
 public:
  SampleGrid(const train::TrainConfig& config, const diffusion::Schedule& schedule, Network judge,
             const pipeline::LatentCodec& codec, const train::LatentSet& set)
      : config_(config), schedule_(schedule), judge_(std::move(judge)), codec_(codec) {
    const size_t stride = std::max<size_t>(1, set.items.size() / kDenoiserSamples);
    std::vector<at::Tensor> latents, controls, pictures;
    std::vector<int64_t> captions;
    for (size_t i = 0; i < set.items.size() && latents.size() < kDenoiserSamples; i += stride) {
      const train::LatentItem& item = set.items[i];
      if (!latents.empty() && item.latent.sizes() != latents.front().sizes()) continue;
      const auto& words = item.captions[latents.size() % item.captions.size()];
      captions.push_back(words.empty() ? 0 : words[0]);
      latents.push_back(item.latent.to(at::kFloat));
      if (item.control.defined()) controls.push_back(item.control.to(at::kFloat));
      if (item.picture.defined()) pictures.push_back(item.picture.to(at::kFloat));
    }
    x0_ = at::stack(latents);
    if (!controls.empty()) control_ = at::stack(controls);
    // One batch: unconditional rows first.
    if (!pictures.empty()) {
      context_ = at::stack(pictures).repeat({2, 1, 1, 1});
      mask_ = at::cat({at::zeros({x0_.size(0), 1}), at::ones({x0_.size(0), 1})}).to(at::kBool);
      return;
    }
    std::vector<int64_t> rows(latents.size(), 0);
    rows.insert(rows.end(), captions.begin(), captions.end());
    std::tie(context_, mask_) = train::gather_captions(set.captions, rows);
  }

  void write(const std::string& path) {
    const at::NoGradGuard no_grad;
    pipeline::ExpertSamples asked{schedule_};
    asked.parameterisation = diffusion::parameterisation_from(config_.prediction_type);
    asked.min_timestep = config_.min_timestep;
    asked.max_timestep = config_.max_timestep;
    asked.latents = x0_;
    asked.predict = [&](const at::Tensor& x_net, double t) {
      const at::Tensor one = control_.defined() ? at::cat({x_net, control_}, 1) : x_net;
      return call_of(judge_)(at::cat({one, one}).contiguous(at::MemoryFormat::ChannelsLast),
                             at::full({1}, t), context_.to(at::kFloat), mask_);
    };
    const at::Tensor pictures = codec_.decode(pipeline::expert_samples(asked), {});
    const auto png = image::encode_png(pipeline::sheet_of(pictures, kSheetColumns, kSheetCellPx));
    io::write_file_atomic(path, std::as_bytes(std::span(png)));
  }

 private:
  train::TrainConfig config_;
  diffusion::Schedule schedule_;
  Network judge_;
  pipeline::LatentCodec codec_;
  at::Tensor x0_, control_, context_, mask_;
};

// What the model that comes of it is told beside its weights.
pipeline::TrainedModelPlan model_plan_of(const train::TrainConfig& config,
                                         const diffusion::Schedule& schedule,
                                         const diffusion::LossConfig& loss) {
  pipeline::TrainedModelPlan plan;
  plan.schedule = schedule;
  plan.parameterisation = loss.parameterisation;
  plan.min_timestep = loss.min_timestep;
  plan.max_timestep = loss.max_timestep;
  plan.inputs = config.model_dir;
  plan.reads_captions = config.image_encoder_config.empty();
  plan.default_side_px = static_cast<int>(config.resolution);
  plan.drawing = config.drawing;
  plan.other_expert = config.other_expert;
  return plan;
}

void write_model(const train::TrainConfig& config, const pipeline::TrainedModelPlan& plan,
                 const nn::UNetConfig& unet, const Network& network, const nn::TensorMap& weights) {
  const std::string folder =
      config.model_output.empty() ? config.output_dir + "/model" : config.model_output;
  if (!network.encoder) {
    pipeline::write_trained_model(folder, plan, {nn::to_json(unet), weights}, {});
    return;
  }
  pipeline::write_trained_model(
      folder, plan, {nn::to_json(unet), part_of(weights, "unet.")},
      {network.encoder->config().to_json(), part_of(weights, "image_encoder.")});
}

}  // namespace

void train_denoiser(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  const nn::UNetConfig unet_config = read_unet_config(config.network_config);
  const diffusion::Schedule schedule = train::schedule_of(config);
  const diffusion::LossConfig loss_config = train::loss_config_of(config);
  loss_config.validate(schedule);
  const pipeline::TrainedModelPlan plan = model_plan_of(config, schedule, loss_config);
  pipeline::check_trained_model(plan);

  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::vector<train::DenoiserCall> calls;
  for (int64_t r = 0; r < train::replica_count(config); ++r) {
    const Network network = make_denoiser(unet_config, config);
    calls.push_back(call_of(network));
    modules.push_back(network.all);
  }
  // Caching takes minutes: what else can be wrong is found before.
  const CacheSources sources = open_cache_sources(config);
  const train::RunInputs inputs{sources.data.index_hash, network_hash(config),
                                conditioning_hash(sources)};
  if (run.resume) train::check_resumable(config, inputs, train::replica_count(config));
  const auto set = latent_set_for(config, sources, run.quiet, run.hooks.stop);
  if (!set) return;  // stopped
  if (run.dry_run) return;

  const Network judge = make_denoiser(unet_config, config);  // f32, with averaged weights
  judge.all->eval();
  SampleGrid grid(config, schedule, judge, sources.codec, *set);
  train::TrainHooks hooks = run.hooks;
  hooks.on_sample = [&](int64_t step, const nn::TensorMap& weights) {
    nn::load_into(*judge.all, weights);
    const std::string folder = config.output_dir + "/samples";
    std::filesystem::create_directories(folder);
    grid.write(folder + "/step" + std::to_string(step) + ".png");
  };
  const train::TrainResult result =
      train::train(config, modules, train::denoiser_loss(config, schedule, loss_config, calls, set),
                   inputs, hooks, run.resume);

  nn::load_into(*judge.all, result.weights);
  const at::NoGradGuard no_grad;
  nlohmann::json by_t = nlohmann::json::array();
  for (const train::LossAtT& one : train::loss_by_t(config, schedule, loss_config, call_of(judge),
                                                    *set, kLossTimes, kLossPictures)) {
    by_t.push_back({{"t_index", one.t_index}, {"sigma", one.sigma}, {"loss", one.loss}});
  }
  io::write_file_atomic(config.output_dir + "/loss_by_t.json", by_t.dump(2) + "\n");
  write_model(config, plan, unet_config, judge, result.weights);
}

}  // namespace pangu::app
