#include "app/train/run_accounting.h"

#include <torch/nn.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>

#include "io/safetensors.h"
#include "nn/unet/cost.h"
#include "pipeline/draw.h"
#include "train/denoiser_loss.h"
#include "train/muon.h"
#include "train/optimizer.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kCountedBatches = 32;  // whose captions are measured
constexpr int64_t kPromptTokens = 12;    // of a short prompt
constexpr const char* kPrompt = "a red fox";
constexpr const char* kExpertFolders[] = {"unet", "unet_texture"};  // from most noise to least

// Mean operations of one sample over the latents' shapes.
double mean_sample_gflop(const train::TrainConfig& config, const train::LatentSet& set,
                         const nn::TensorShapes& shapes, int64_t context_length) {
  double sum = 0, count = 0;
  for (const train::LatentItem& item : set.items) {
    const int64_t crop = config.latent_crop;
    const int64_t h = crop > 0 ? crop : item.latent.size(1);
    const int64_t w = crop > 0 ? crop : item.latent.size(2);
    sum += item.repeats * nn::unet_training_gflop(shapes, h, w, context_length);
    count += item.repeats;
  }
  // Forward and backward are three times a forward. A distillation adds three: the teacher's with
  // and without captions, and the student's at the next point.
  const double parts = config.distillation_phases > 0 ? 2 : 1;
  return count > 0 ? sum / count * parts : 0;
}

double optimizer_gflop(const train::TrainConfig& config, const torch::nn::Module& network) {
  if (train::optimizer_kind_from(config.optimizer) != train::OptimizerKind::kMuon) return 0;
  const auto trained = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
  double flop = 0;
  for (const auto& item : network.named_parameters()) {
    if (train::is_inner_matrix(item.key(), item.value())) {
      const auto dtype = train::muon_dtype(at::empty({0}, item.value().options().dtype(trained)));
      flop += train::orthogonalising_flop(item.value().sizes(), dtype);
    }
  }
  return flop * 1e-9;
}

nn::TensorShapes shapes_of_network(const fs::path& folder) {
  const auto file =
      io::SafetensorsFile::open((folder / "diffusion_pytorch_model.safetensors").string());
  nn::TensorShapes shapes;
  for (const auto& [name, view] : file.tensors()) {
    shapes[name] = {view.shape.begin(), view.shape.end()};
  }
  return shapes;
}

bool guides_at(const pipeline::Request& request, double sigma) {
  return *request.guidance != 1.0 && sigma > *request.guidance_low &&
         sigma <= request.guidance_high;
}

}  // namespace

std::string accounting_file(const std::string& output_dir) {
  return output_dir + "/accounting.json";
}

train::Accounting accounting_of(const train::TrainConfig& config,
                                const std::shared_ptr<train::LatentSet>& set,
                                const torch::nn::Module& network,
                                const train::TrainResult& result) {
  const int64_t replicas = train::replica_count(config);
  const double context = train::mean_context_length(config, set, replicas, kCountedBatches);
  train::Accounting a;
  for (const at::Tensor& one : network.parameters()) a.parameters += one.numel();
  a.steps = result.step;
  a.samples = result.step * config.train_batch_size * config.gradient_accumulation_steps;
  a.gflop_a_sample = mean_sample_gflop(config, *set, nn::shapes_of(network), std::llround(context));
  a.optimizer_gflop_a_step = optimizer_gflop(config, network);
  a.counted_gflop_a_sample = result.gflop_a_batch / double(config.train_batch_size);
  a.seconds = result.seconds;
  a.cpu_seconds = result.cpu_seconds;
  a.peak_memory_bytes = train::peak_memory_bytes();
  return a;
}

double gflop_a_picture(const std::string& folder, const pipeline::Model& model,
                       const pipeline::Request& request, int64_t context_length) {
  std::vector<double> row;  // of each expert
  for (const char* expert : kExpertFolders) {
    if (!fs::exists(fs::path(folder) / expert)) continue;
    row.push_back(nn::unet_gflop(shapes_of_network(fs::path(folder) / expert),
                                 *request.height / model.latents.downscale,
                                 *request.width / model.latents.downscale, context_length));
  }
  double sum = 0;
  for (const diffusion::PlanStep& step : pipeline::plan_of(model, request).steps) {
    sum += row.at(step.expert) * (guides_at(request, step.sigma) ? 2 : 1);
  }
  return sum;
}

void account_a_picture(const std::string& folder, train::Accounting& accounting_) {
  const pipeline::Model model = pipeline::load_model(folder, {});
  if (model.quirks.reads_picture || model.denoising.control_channels > 0) return;
  pipeline::Request request;
  request.prompt = kPrompt;
  request = pipeline::resolved(request, model.rules, /*seed=*/0);
  accounting_.gflop_a_picture = gflop_a_picture(folder, model, request, kPromptTokens);
  pipeline::draw(model, request);  // loads the weights
  const auto start = std::chrono::steady_clock::now();
  pipeline::draw(model, request);
  accounting_.seconds_a_picture =
      std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

}  // namespace pangu::app
