// LatentConverter: layers, and the geometry between two grids that cover one picture.
#include "nn/autoencoder/latent_converter.h"

#include <torch/nn.h>

#include <algorithm>
#include <cmath>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/json_reader.h"
#include "nn/conv.h"

namespace pangu::nn {
namespace {

constexpr char kConverterConfig[] = "latent converter config";
constexpr int64_t kMostChannels = 4096, kMostConverterBlocks = 64, kMostFold = 4,
                  kMostSide = 1 << 14;
constexpr int64_t kGeometryChannels = 4;
constexpr double kRidge = 1e-4;  // as a share of the mean square of an input

// x + point(silu(local(silu(x)))), which is the identity with fresh weights.
struct ConverterBlock : torch::nn::Module {
  Conv2d local{nullptr}, point{nullptr};

  explicit ConverterBlock(int64_t width) {
    local = register_module("local", same_conv2d(width, width, 3));
    point = register_module("point", same_conv2d(width, width, 1));
    torch::nn::init::zeros_(point->weight);
    torch::nn::init::zeros_(point->bias);
  }
  at::Tensor forward(const at::Tensor& x) {
    const Prologue silu{.activation = Activation::kSilu};
    return point->forward(local->forward(x, silu), silu, {.residual = x});
  }
};

// How the cells of two grids lie on each other along one side of the picture. A grid's last cell
// may reach over the picture's end: from_real and to_real are the picture's side in cells, which
// need not be whole.
struct Axis {
  int64_t from, to;
  double from_real, to_real;
  double step() const { return from_real / to_real; }
  double centre(int64_t i) const { return (double(i) + 0.5) * step(); }  // in cells of `from`
  bool same() const { return from == to && std::abs(step() - 1.0) < 1e-9; }
};

// The matrix [to,from] of a triangle filter as wide as a target cell, but at least as a source
// cell; rows sum to 1.
at::Tensor resampling(const Axis& axis) {
  at::Tensor weights = at::zeros({axis.to, axis.from}, at::kDouble);
  auto rows = weights.accessor<double, 2>();
  const double reach = std::max(1.0, axis.step());
  for (int64_t i = 0; i < axis.to; ++i) {
    const double centre = std::min(axis.centre(i), double(axis.from)) - 0.5;
    const auto first = static_cast<int64_t>(std::floor(centre - reach));
    const auto last = static_cast<int64_t>(std::ceil(centre + reach));
    double sum = 0.0;
    for (int64_t k = first; k <= last; ++k) {
      const double weight = std::max(0.0, 1.0 - std::abs(double(k) - centre) / reach);
      rows[i][std::clamp<int64_t>(k, 0, axis.from - 1)] += weight;
      sum += weight;
    }
    for (int64_t k = 0; k < axis.from; ++k) rows[i][k] /= sum;
  }
  return weights;
}

// Returns [to]: where each target cell's centre lies between source cells, in [-0.5,0.5].
at::Tensor phases(const Axis& axis) {
  at::Tensor out = at::empty({axis.to}, at::kFloat);
  for (int64_t i = 0; i < axis.to; ++i) {
    const double at = axis.centre(i) - 0.5;
    out[i] = static_cast<float>(at - std::round(at));
  }
  return out;
}

// Returns [1,4,H,W]: the phases, then the binary logarithms of the zoom, each down and across.
at::Tensor geometry(const Axis& y, const Axis& x) {
  const auto plane = [&](double value) { return at::full({y.to, x.to}, value, at::kFloat); };
  return at::stack({phases(y).unsqueeze(1).expand({y.to, x.to}),
                    phases(x).unsqueeze(0).expand({y.to, x.to}), plane(-std::log2(y.step())),
                    plane(-std::log2(x.step()))})
      .unsqueeze(0);
}

int64_t cells(int64_t pixels, int64_t fold) { return (pixels + fold - 1) / fold; }

// Repeats the last row and column until the picture has whole cells.
at::Tensor whole_cells(const at::Tensor& x, int64_t fold) {
  const int64_t down = cells(x.size(2), fold) * fold - x.size(2);
  const int64_t right = cells(x.size(3), fold) * fold - x.size(3);
  return down + right == 0 ? x : at::replication_pad2d(x, {0, right, 0, down});
}

at::Tensor per_channel(const std::vector<double>& values) {
  return at::tensor(values, at::kDouble).to(at::kFloat).reshape({1, -1, 1, 1});
}

at::Tensor normalised(const at::Tensor& x, const std::vector<double>& mean,
                      const std::vector<double>& std) {
  return (x.to(at::kFloat) - per_channel(mean).to(x.device())) / per_channel(std).to(x.device());
}

// The two sides of the picture, down and across.
std::pair<Axis, Axis> axes_of(const LatentConverterConfig& c, const at::Tensor& latents,
                              int64_t height, int64_t width) {
  const auto axis = [&](int64_t from, int64_t to) {
    return Axis{cells(from, c.fold_in), cells(to, c.fold_out), double(from) / double(c.fold_in),
                double(to) / double(c.fold_out)};
  };
  return {axis(latents.size(2), height), axis(latents.size(3), width)};
}

// [1,C,H,W] -> [1,C*9,H*W], the patches that a 3x3 convolution reads.
at::Tensor patches_of(const at::Tensor& x) { return at::im2col(x, {3, 3}, {1, 1}, {1, 1}, {1, 1}); }

// Ridge regression of a 3x3 convolution's weights and bias.
class LeastSquares {
 public:
  explicit LeastSquares(const Conv2d& conv)
      : conv_(conv),
        inputs_(conv->weight[0].numel() + 1),  // one more for the bias
        squares_(at::zeros({inputs_, inputs_}, at::kDouble)),
        products_(at::zeros({inputs_, conv->weight.size(0)}, at::kDouble)) {}

  // patches: [inputs,n] as patches_of makes them; wanted: [outputs,n]. Sums are kept in f64.
  void add(const at::Tensor& patches, const at::Tensor& wanted) {
    const at::Tensor columns =
        at::cat({patches, at::ones({1, patches.size(1)}, patches.options())});
    squares_ += at::matmul(columns, columns.t());
    products_ += at::matmul(columns, wanted.to(columns.dtype()).t());
  }
  // Sets the layer's weights, but leaves them as they are if the sums are not finite.
  void solve() {
    if (!squares_.isfinite().all().item<bool>()) return;
    const at::Tensor ridge =
        at::eye(inputs_, at::kDouble) * (kRidge * squares_.diagonal().mean().item<double>());
    const at::Tensor solution = at::linalg_solve(squares_ + ridge, products_).t();
    conv_->weight.copy_(solution.slice(1, 0, inputs_ - 1).reshape(conv_->weight.sizes()));
    conv_->bias.copy_(solution.select(1, inputs_ - 1));
  }

 private:
  Conv2d conv_;
  int64_t inputs_;
  at::Tensor squares_, products_;
};

Error converter_key_error(const std::string& key, const std::string& expected,
                          const std::string& found) {
  return bad_input(std::string(kConverterConfig) + ", key '" + key + "'", expected, found);
}

}  // namespace

struct LatentConverter::Layers : torch::nn::Module {
  Conv2d linear{nullptr}, conv_in{nullptr}, geometry{nullptr}, conv_out{nullptr};
  std::vector<std::shared_ptr<ConverterBlock>> from_blocks, to_blocks;
};

LatentConverterConfig LatentConverterConfig::from_json(const nlohmann::json& json) {
  LatentConverterConfig c;
  JsonReader reader(kConverterConfig, json);
  reader.only("_class_name", {"LatentConverter"});
  reader.read("from_channels", c.from_channels);
  reader.read("to_channels", c.to_channels);
  reader.read("from_downscale", c.from_downscale);
  reader.read("to_downscale", c.to_downscale);
  reader.read("from_space", c.from_space);
  reader.read("to_space", c.to_space);
  reader.read("from_name", c.from_name);
  reader.read("to_name", c.to_name);
  reader.read("grid_scale", c.grid_scale);
  reader.read("hidden_channels", c.hidden_channels);
  reader.read("from_blocks", c.from_blocks);
  reader.read("to_blocks", c.to_blocks);
  reader.read("fold_in", c.fold_in);
  reader.read("fold_out", c.fold_out);
  reader.read("from_mean", c.from_mean);
  reader.read("from_std", c.from_std);
  reader.read("to_mean", c.to_mean);
  reader.read("to_std", c.to_std);
  c.validate();
  return c;
}

nlohmann::json LatentConverterConfig::to_json() const {
  return {{"_class_name", "LatentConverter"},
          {"from_channels", from_channels},
          {"to_channels", to_channels},
          {"from_downscale", from_downscale},
          {"to_downscale", to_downscale},
          {"from_space", from_space},
          {"to_space", to_space},
          {"from_name", from_name},
          {"to_name", to_name},
          {"grid_scale", grid_scale},
          {"hidden_channels", hidden_channels},
          {"from_blocks", from_blocks},
          {"to_blocks", to_blocks},
          {"fold_in", fold_in},
          {"fold_out", fold_out},
          {"from_mean", from_mean},
          {"from_std", from_std},
          {"to_mean", to_mean},
          {"to_std", to_std}};
}

void LatentConverterConfig::validate() const {
  const auto in_range = [](const char* key, int64_t value, int64_t low, int64_t high) {
    if (value >= low && value <= high) return;
    throw converter_key_error(key, std::to_string(low) + ".." + std::to_string(high),
                              std::to_string(value));
  };
  in_range("from_channels", from_channels, 1, kMostChannels);
  in_range("to_channels", to_channels, 1, kMostChannels);
  in_range("from_downscale", from_downscale, 1, 256);
  in_range("to_downscale", to_downscale, 1, 256);
  in_range("hidden_channels", hidden_channels, 1, kMostChannels);
  in_range("from_blocks", from_blocks, 0, kMostConverterBlocks);
  in_range("to_blocks", to_blocks, 0, kMostConverterBlocks);
  in_range("fold_in", fold_in, 1, kMostFold);
  in_range("fold_out", fold_out, 1, kMostFold);
  if (!(grid_scale > 0.0) || !std::isfinite(grid_scale)) {
    throw converter_key_error("grid_scale", "a positive number", std::to_string(grid_scale));
  }
  const auto numbers = [](const char* key, const std::vector<double>& list, int64_t channels,
                          bool positive) {
    const bool fits = static_cast<int64_t>(list.size()) == channels &&
                      std::all_of(list.begin(), list.end(), [&](double v) {
                        return std::isfinite(v) && (!positive || v > 0.0);
                      });
    if (fits) return;
    throw converter_key_error(key,
                              std::to_string(channels) +
                                  (positive ? " positive numbers" : " numbers") + ", one a channel",
                              nlohmann::json(list).dump().substr(0, 80));
  };
  numbers("from_mean", from_mean, from_channels, false);
  numbers("from_std", from_std, from_channels, true);
  numbers("to_mean", to_mean, to_channels, false);
  numbers("to_std", to_std, to_channels, true);
}

void choose_folds(LatentConverterConfig& config) {
  const auto fold = [](double ratio) {
    return ratio < 1.5 ? int64_t{1} : std::clamp<int64_t>(std::lround(ratio), 2, kMostFold);
  };
  config.fold_in = fold(1.0 / config.grid_scale);
  config.fold_out = fold(config.grid_scale);
}

LatentConverter::LatentConverter(const LatentConverterConfig& config) : config_(config) {
  config_.validate();
  const int64_t in = config.from_channels * config.fold_in * config.fold_in;
  const int64_t out = config.to_channels * config.fold_out * config.fold_out;
  const int64_t width = config.hidden_channels;
  layers_ = std::make_shared<Layers>();
  Layers& l = *layers_;
  l.linear = register_module("linear", same_conv2d(in, out, 3));
  l.conv_in = register_module("conv_in", same_conv2d(in, width, 3));
  l.geometry =
      register_module("geometry", same_conv2d(kGeometryChannels, width, 1, 1, /*has_bias=*/false));
  l.conv_out = register_module("conv_out", same_conv2d(width, out, 3));
  torch::nn::init::zeros_(l.conv_out->weight);
  torch::nn::init::zeros_(l.conv_out->bias);
  const auto add = [&](const char* name, int64_t count, auto& list) {
    auto parent = std::make_shared<torch::nn::Module>("ModuleList");
    for (int64_t i = 0; i < count; ++i) {
      list.push_back(
          parent->register_module(std::to_string(i), std::make_shared<ConverterBlock>(width)));
    }
    register_module(name, parent);
  };
  add("from_blocks", config.from_blocks, l.from_blocks);
  add("to_blocks", config.to_blocks, l.to_blocks);
}

at::Tensor LatentConverter::forward(const at::Tensor& latents, int64_t height, int64_t width) {
  if (!latents.defined() || latents.dim() != 4 || latents.size(1) != config_.from_channels ||
      latents.numel() == 0) {
    throw bad_input("latents of the converter",
                    "[B," + std::to_string(config_.from_channels) + ",h,w]",
                    latents.defined() ? c10::str(latents.sizes()) : "nothing");
  }
  if (height < 1 || width < 1 || height > kMostSide || width > kMostSide) {
    throw bad_input("size of converted latents", "sides of 1 to " + std::to_string(kMostSide),
                    std::to_string(width) + "x" + std::to_string(height));
  }
  const Halves halves = halves_of(latents, height, width);
  const at::Device device = halves.linear.device();
  at::Tensor x = halves.linear + layers_->conv_out(halves.features);
  x = at::pixel_shuffle(x.to(at::kFloat), config_.fold_out);
  x = x.slice(2, 0, height).slice(3, 0, width);
  return x * per_channel(config_.to_std).to(device) + per_channel(config_.to_mean).to(device);
}

// Both results are in cells of the target's grid.
LatentConverter::Halves LatentConverter::halves_of(const at::Tensor& latents, int64_t height,
                                                   int64_t width) const {
  Layers& l = *layers_;
  const at::Device device = l.conv_in->weight.device();
  const at::ScalarType dtype = l.conv_in->weight.scalar_type();
  const at::Tensor x =
      folded(latents.to(device)).to(dtype).contiguous(at::MemoryFormat::ChannelsLast);
  const auto [down, across] = axes_of(config_, latents, height, width);
  at::Tensor linear = l.linear(x), h = l.conv_in(x);
  for (const auto& block : l.from_blocks) h = block->forward(h);
  if (!down.same() || !across.same()) {
    const at::Tensor rows = resampling(down).to(device, dtype);
    const at::Tensor columns = resampling(across).to(device, dtype).t();
    const auto resample = [&](const at::Tensor& t) {
      return at::matmul(rows, at::matmul(t.contiguous(), columns))
          .contiguous(at::MemoryFormat::ChannelsLast);
    };
    linear = resample(linear);
    h = resample(h) + l.geometry(geometry(down, across).to(device, dtype));
  }
  for (const auto& block : l.to_blocks) h = block->forward(h);
  return {linear, at::silu(h)};
}

// [C',height,width] -> [C'*fold*fold,H*W] f32: normalised, with the pixels of a cell as channels.
at::Tensor LatentConverter::wanted(const at::Tensor& to) const {
  const int64_t fold = config_.fold_out;
  const at::Tensor whole =
      whole_cells(normalised(to.cpu().unsqueeze(0), config_.to_mean, config_.to_std), fold);
  return at::pixel_unshuffle(whole, fold).squeeze(0).flatten(1);
}

// [B,C,h,w] f32 -> [B,C*fold*fold,H,W]: normalised, with the pixels of a cell as channels.
at::Tensor LatentConverter::folded(const at::Tensor& latents) const {
  const int64_t fold = config_.fold_in;
  return at::pixel_unshuffle(
      whole_cells(normalised(latents, config_.from_mean, config_.from_std), fold), fold);
}

void LatentConverter::check(const LatentPairs& pairs) const {
  if (pairs.empty()) throw bad_input("pairs of latents", "at least one", "none");
  for (const auto& [from, to] : pairs) {
    if (from.dim() == 3 && to.dim() == 3 && from.size(0) == config_.from_channels &&
        to.size(0) == config_.to_channels) {
      continue;
    }
    throw bad_input("pair of latents",
                    "[" + std::to_string(config_.from_channels) + ",h,w] and [" +
                        std::to_string(config_.to_channels) + ",height,width]",
                    c10::str(from.sizes(), " and ", to.sizes()));
  }
}

void LatentConverter::fit_linear(const LatentPairs& pairs) {
  const at::NoGradGuard no_grad;
  check(pairs);
  LeastSquares fit(layers_->linear);
  for (const auto& [from, to] : pairs) {
    const at::Tensor x = from.cpu().unsqueeze(0);
    const auto [down, across] = axes_of(config_, x, to.size(1), to.size(2));
    at::Tensor patches = patches_of(folded(x)).reshape({-1, down.from, across.from});
    patches =
        at::matmul(resampling(down), at::matmul(patches.to(at::kDouble), resampling(across).t()));
    fit.add(patches.flatten(1), wanted(to));
  }
  fit.solve();
}

void LatentConverter::fit_output(const LatentPairs& pairs) {
  const at::NoGradGuard no_grad;
  check(pairs);
  LeastSquares fit(layers_->conv_out);
  for (const auto& [from, to] : pairs) {
    const Halves halves = halves_of(from.unsqueeze(0), to.size(1), to.size(2));
    const at::Tensor linear = halves.linear.squeeze(0).flatten(1).cpu().to(at::kFloat);
    fit.add(patches_of(halves.features.cpu().to(at::kFloat)).squeeze(0), wanted(to) - linear);
  }
  fit.solve();
}

}  // namespace pangu::nn
