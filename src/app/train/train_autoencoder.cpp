// `pangu-draw train` for task = "autoencoder".
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "app/train/training.h"
#include "app/train/training_pictures.h"
#include "core/error.h"
#include "core/hash.h"
#include "core/watch.h"
#include "eval/reconstruction.h"
#include "io/atomic_file.h"
#include "io/file_hash.h"
#include "io/json_file.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/autoencoder/feature_discriminator.h"
#include "nn/features/vgg.h"
#include "nn/unet/unet.h"
#include "pipeline/expert_samples.h"
#include "tensors/safetensors.h"
#include "train/autoencoder_loss.h"
#include "train/checkpoint.h"
#include "train/picture_pool.h"

namespace pangu::app {
namespace {

// What these halve to one pixel at least, once behind each block but the last.
constexpr int64_t kLeastSeenPx = 1 << (nn::kPerceptualDepth - 1);
constexpr int64_t kAutoencoderSamples = 12;
constexpr int kSheetRow = 6, kReconstructionPx = 192;  // pictures a row, and their side
constexpr int64_t kStatisticsPictures = 256, kStatisticsAtOnce = 16;

std::shared_ptr<nn::AutoencoderKL> make_autoencoder(const train::TrainConfig& config) {
  const auto json = io::read_json_file(config.network_config, "network_config");
  torch::manual_seed(static_cast<uint64_t>(config.seed));
  auto network = std::make_shared<nn::AutoencoderKL>(nn::AutoencoderKLConfig::from_json(json));
  if (config.initial_weights.empty()) {
    nn::init_linear_path(*network);
  } else {
    nn::load_into(*network, read_initial_weights(config.initial_weights));
  }
  nn::weights_to_channels_last(*network);
  return network;
}

constexpr const char* kDiscriminator = "discriminator";  // its name within the autoencoder

// A discriminator of VGG's features that is trained with the network, as a part of it.
train::Discriminate add_discriminator(nn::AutoencoderKL& network,
                                      const train::TrainConfig& config) {
  const std::vector<int64_t> channels(nn::kVggChannels, nn::kVggChannels + nn::kPerceptualDepth);
  nn::FeatureDiscriminator discriminator(channels, config.discriminator_channels);
  nn::weights_to_channels_last(*discriminator);
  network.register_module(kDiscriminator, discriminator.ptr());
  return [discriminator](const train::LayerFeatures& features, bool learns) {
    return discriminator->forward(features, learns);
  };
}

bool is_discriminators(const std::string& parameter) {
  return parameter.starts_with(std::string(kDiscriminator) + ".");
}

// What is trained, without the discriminator.
nn::TensorMap autoencoder_of(nn::TensorMap weights) {
  std::erase_if(weights, [](const auto& one) { return is_discriminators(one.first); });
  return weights;
}

// Places spread over the pool, at least `count` of them if it has so many.
std::vector<int64_t> places_in(const train::PicturePool& pool, int64_t count) {
  const auto all = static_cast<int64_t>(pool.shown.size());
  std::vector<int64_t> places;
  for (int64_t i = 0; i < all; i += std::max<int64_t>(1, all / count)) places.push_back(i);
  return places;
}

// Up to `count` pictures from begin_ on, [N,3,S,S] in [-1,1] on white, which begin_ then has left
// behind; undefined if there are none.
at::Tensor next_pictures(const train::PicturePool& pool, const std::vector<int64_t>& places,
                         size_t& begin_, int64_t count) {
  constexpr double kWhite[3] = {1, 1, 1};
  std::vector<at::Tensor> rows;
  for (; begin_ < places.size() && static_cast<int64_t>(rows.size()) < count; ++begin_) {
    rows.push_back(train::over_colour(train::picture_at(pool, places[begin_]), kWhite));
  }
  if (rows.empty()) return {};
  return at::stack(rows).contiguous(at::MemoryFormat::ChannelsLast);
}

// Only their pixels are trained on.
void forget_captions(std::vector<data::Item>& items_) {
  for (data::Item& item : items_) {
    item.captions_en = std::vector<std::string>();
    item.captions_zh = std::vector<std::string>();
  }
}

// Originals above reconstructions, half of the pictures in each pair of rows.
void write_reconstructions(const std::string& path, nn::AutoencoderKL& network,
                           const at::Tensor& pictures) {
  const at::NoGradGuard no_grad;
  const at::Tensor decoded = network.decode(network.encode(pictures).first);
  std::vector<at::Tensor> rows;
  const int columns = static_cast<int>(std::min<int64_t>(kSheetRow, pictures.size(0)));
  for (int64_t row = 0; row < pictures.size(0); row += columns) {
    for (const at::Tensor& from : {pictures, decoded}) {
      rows.push_back(from.slice(0, row, row + columns));
    }
  }
  const auto png = image::encode_png(pipeline::sheet_of(at::cat(rows), columns, kReconstructionPx));
  io::write_file_atomic(path, std::as_bytes(std::span(png)));
}

}  // namespace

TrainingOutcome train_autoencoder(const TrainingRun& run) {
  const train::TrainConfig& config = run.config;
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::vector<train::AutoencoderCalls> calls;
  for (int64_t r = 0; r < train::replica_count(config); ++r) {
    auto network = make_autoencoder(config);
    calls.push_back({[network](const at::Tensor& x) { return network->encode(x); },
                     [network](const at::Tensor& z) { return network->decode(z); },
                     1 / network->config().scaling_factor, network->config().downscale()});
    if (config.adversarial_weight > 0) {
      calls.back().discriminate = add_discriminator(*network, config);
    }
    modules.push_back(network);
  }
  const bool has_features = !config.perceptual_weights.empty() &&
                            (config.perceptual_weight > 0 || config.adversarial_weight > 0);
  train::check_autoencoder_sizes(config, calls.front().downscale, has_features ? kLeastSeenPx : 0);
  // Room for crops, where there are any.
  const int64_t side = config.resolution * (config.whole_picture_probability < 1 ? 2 : 1);
  begin_run(run, *modules.front());
  TrainingData data = training_data(config, !run.dry_run);
  train::RunInputs inputs;
  inputs.data = data.index_hash;
  inputs.network = sha256_hex(io::read_json_file(config.network_config, "network_config").dump());
  if (!config.perceptual_weights.empty()) {
    inputs.conditioning = io::sha256_of_file(config.perceptual_weights);
  }
  if (run.resume) train::check_resumable(config, inputs, run.hooks);
  forget_captions(data.items);
  if (run.dry_run) check_pictures(data);
  const TrainingPictures pictures(data, side);
  const train::PicturePool pool = pictures.pool();
  train::PerceptualFeatures perceptual;
  if (!config.perceptual_weights.empty()) {
    auto vgg = std::make_shared<nn::Vgg16>(nn::VggConfig{nn::kPerceptualDepth},
                                           tensors::load_safetensors(config.perceptual_weights));
    vgg->to(at::Device(config.device),
            config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat);
    perceptual = [vgg](const at::Tensor& x) { return vgg->features(x); };
  }
  const auto wait = std::make_shared<train::DataWait>();
  const auto gauges = std::make_shared<train::Gauges>();
  const train::LossFunction loss =
      train::autoencoder_loss(config, calls, perceptual, pool, wait, gauges);
  if (run.dry_run) return {};

  auto judge = make_autoencoder(config);  // f32, with averaged weights
  judge->eval();
  size_t begin = 0;
  const at::Tensor shown =
      next_pictures(pool, places_in(pool, kAutoencoderSamples), begin, kAutoencoderSamples);
  train::TrainHooks hooks = run.hooks;
  hooks.data_wait = wait;
  hooks.gauges = gauges;
  if (config.discriminator_lr > 0) {
    hooks.rate_factor = [&](const std::string& parameter) {
      return is_discriminators(parameter) ? config.discriminator_lr / config.learning_rate : 1;
    };
  }
  hooks.on_sample = [&](int64_t step, const nn::TensorMap& weights) {
    nn::load_into(*judge, autoencoder_of(weights));
    const std::string folder = config.output_dir + "/samples";
    std::filesystem::create_directories(folder);
    write_reconstructions(folder + "/step" + std::to_string(step) + ".png", *judge, shown);
  };
  const train::TrainResult result = train::train(config, modules, loss, inputs, hooks, run.resume);
  pictures.say_broken();
  if (!is_first_process(run)) return {result.step, result.finished, ""};
  if (run.say) run.say(data_wait_text(result));

  const nn::TensorMap weights = autoencoder_of(result.weights);
  nn::load_into(*judge, weights);
  const std::vector<int64_t> measured = places_in(pool, kStatisticsPictures);
  begin = 0;
  const eval::Reconstruction found = eval::reconstruction_of(
      [&](const at::Tensor& x) { return judge->encode(x).first; },
      [&](const at::Tensor& z) { return judge->decode(z); },
      [&] { return next_pictures(pool, measured, begin, kStatisticsAtOnce); });
  nn::AutoencoderKLConfig exported = judge->config();
  if (config.train_encoder) {  // else models trained on these latents go by the old numbers
    exported.scaling_factor = 1 / found.latent_deviation;
    exported.shift_factor = found.latent_mean;
  }
  nlohmann::json json = exported.to_json();
  json["training"] = {{"steps", result.step}, {"psnr_db", found.psnr_db}};
  const std::string folder = config.output_dir + "/vae";
  std::filesystem::create_directories(folder);
  io::write_file_atomic(folder + "/config.json", json.dump(2) + "\n");
  train::write_weights(folder + "/diffusion_pytorch_model.safetensors", weights, at::kBFloat16);
  return {result.step, result.finished, folder};
}

}  // namespace pangu::app
