// `pangu-draw train` for task = "denoiser": one expert, alone.
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <nlohmann/json.hpp>

#include "app/train/codec.h"
#include "app/train/latent_cache.h"
#include "app/train/training.h"
#include "core/error.h"
#include "core/hash.h"
#include "diffusion/image_noise.h"
#include "diffusion/parameterisation.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"
#include "image/image.h"
#include "image/sheet.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "nn/text/clip_vision.h"
#include "nn/unet/unet.h"
#include "nn/weights.h"
#include "tensors/pictures.h"
#include "train/checkpoint.h"
#include "train/denoiser_loss.h"

namespace pangu::app {
namespace {

constexpr int kSampleSteps = 12;
constexpr double kSampleGuidance = 4.0;
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

void write_network(const std::string& folder, const nlohmann::json& config,
                   const nn::TensorMap& weights, const std::string& file) {
  std::filesystem::create_directories(folder);
  io::write_file_atomic(folder + "/config.json", config.dump(2) + "\n");
  train::write_weights(folder + "/" + file, weights, at::kBFloat16);
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
             const train::LatentSet& set)
      : config_(config),
        schedule_(schedule),
        judge_(std::move(judge)),
        codec_(open_codec(config.model_dir + "/vae")) {
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
    const double high = schedule_.sigma_of_t(double(config_.max_timestep - 1));
    const double low = std::max(schedule_.sigma_of_t(double(config_.min_timestep)), 0.03);
    std::vector<uint64_t> seeds;
    for (int64_t i = 0; i < x0_.size(0); ++i) seeds.push_back(static_cast<uint64_t>(i));
    at::Tensor x = diffusion::image_noise(seeds, x0_.sizes().slice(1).vec()) * high;
    if (config_.max_timestep < schedule_.num_train_timesteps()) x = x + x0_;
    const auto denoise = diffusion::denoise_with(
        [&](const at::Tensor& x_net, double t) {
          const at::Tensor one = control_.defined() ? at::cat({x_net, control_}, 1) : x_net;
          const at::Tensor out =
              call_of(judge_)(at::cat({one, one}).contiguous(at::MemoryFormat::ChannelsLast),
                              at::full({1}, t), context_.to(at::kFloat), mask_);
          const auto halves = out.chunk(2);
          return halves[0] + kSampleGuidance * (halves[1] - halves[0]);
        },
        diffusion::parameterisation_from(config_.prediction_type), schedule_);
    std::vector<double> sigmas;
    for (int i = 0; i < kSampleSteps; ++i) {
      sigmas.push_back(high * std::pow(low / high, double(i) / (kSampleSteps - 1)));
    }
    sigmas.push_back(0.0);  // the last step lands on the clean guess
    const auto result = diffusion::sample_euler(denoise, diffusion::Latents(x), sigmas);
    const at::Tensor pictures = codec_.decode(result.one());
    std::vector<image::Image> cells;
    for (int64_t i = 0; i < pictures.size(0); ++i)
      cells.push_back(tensors::picture_of(pictures[i]));
    const auto png = image::encode_png(image::contact_sheet(cells, {.columns = 8, .cell_px = 160}));
    io::write_file_atomic(path, std::as_bytes(std::span(png)));
  }

 private:
  train::TrainConfig config_;
  diffusion::Schedule schedule_;
  Network judge_;
  Codec codec_;
  at::Tensor x0_, control_, context_, mask_;
};

}  // namespace

void train_denoiser(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  const nn::UNetConfig unet_config = read_unet_config(config.network_config);
  diffusion::ScheduleConfig schedule_config;
  schedule_config.beta_schedule = diffusion::beta_schedule_from(config.beta_schedule);
  const diffusion::Schedule schedule(schedule_config);
  diffusion::LossConfig loss_config;
  loss_config.parameterisation = diffusion::parameterisation_from(config.prediction_type);
  loss_config.min_timestep = config.min_timestep;
  loss_config.max_timestep = config.max_timestep;
  loss_config.weighting = diffusion::loss_weighting_from(config.loss_weighting);
  loss_config.snr_gamma = config.snr_gamma;
  loss_config.sigma_data = config.sigma_data;
  loss_config.noise_offset = config.noise_offset;
  loss_config.validate(schedule);

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
  SampleGrid grid(config, schedule, judge, *set);
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
  std::vector<int64_t> times;
  for (int64_t i = 0; i <= 10; ++i) {
    times.push_back(config.min_timestep + (config.max_timestep - 1 - config.min_timestep) * i / 10);
  }
  const std::vector<double> losses =
      train::loss_by_t(config, schedule, loss_config, call_of(judge), *set, times, 64);
  nlohmann::json by_t = nlohmann::json::array();
  for (size_t i = 0; i < times.size(); ++i) {
    by_t.push_back({{"t_index", times[i]},
                    {"sigma", schedule.sigma_of_t(double(times[i]))},
                    {"loss", losses[i]}});
  }
  io::write_file_atomic(config.output_dir + "/loss_by_t.json", by_t.dump(2) + "\n");
  const std::string unet_file = "diffusion_pytorch_model.safetensors";
  if (!judge.encoder) {
    write_network(config.output_dir + "/unet", nn::to_json(unet_config), result.weights, unet_file);
    return;
  }
  write_network(config.output_dir + "/unet", nn::to_json(unet_config),
                part_of(result.weights, "unet."), unet_file);
  write_network(config.output_dir + "/image_encoder", judge.encoder->config().to_json(),
                part_of(result.weights, "image_encoder."), "model.safetensors");
}

}  // namespace pangu::app
