// Tests LatentConverter with random weights: shapes at odd ratios, geometry, gradients, files,
// refusals.
#include "nn/autoencoder/latent_converter.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <limits>
#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

LatentConverterConfig config_of(int64_t from, int64_t to, double grid_scale) {
  LatentConverterConfig c;
  c.from_channels = from;
  c.to_channels = to;
  c.grid_scale = grid_scale;
  c.hidden_channels = 16;
  c.from_space = "one";
  c.to_space = "two";
  for (int64_t i = 0; i < from; ++i) c.from_mean.push_back(0.1 * double(i));
  for (int64_t i = 0; i < to; ++i) c.to_mean.push_back(-0.2 * double(i));
  c.from_std.assign(static_cast<size_t>(from), 1.5);
  c.to_std.assign(static_cast<size_t>(to), 0.5);
  choose_folds(c);
  return c;
}

LatentConverter random_converter(const LatentConverterConfig& config) {
  torch::manual_seed(7);
  LatentConverter converter(config);
  const at::NoGradGuard no_grad;
  for (at::Tensor& p : converter.parameters()) p.normal_(0.0, 0.1);
  return converter;
}

TEST_CASE("a converter gives any size that is asked for, from any size and at any ratio") {
  const at::NoGradGuard no_grad;
  for (const double grid_scale : {0.25, 0.4, 0.75, 1.0, 4.0 / 3, 2.0, 4.0, 9.0}) {
    LatentConverter converter = random_converter(config_of(3, 5, grid_scale));
    for (const auto& [h, w, height, width] : std::vector<std::array<int64_t, 4>>{{8, 8, 8, 8},
                                                                                 {7, 9, 11, 5},
                                                                                 {1, 1, 3, 2},
                                                                                 {13, 6, 5, 17},
                                                                                 {16, 12, 32, 24},
                                                                                 {30, 31, 7, 8}}) {
      const at::Tensor z = at::randn({2, 3, h, w});
      const at::Tensor out = converter.forward(z, height, width);
      CHECK(out.sizes() == at::IntArrayRef({2, 5, height, width}));
      CHECK((out.scalar_type() == at::kFloat));
      CHECK(out.isfinite().all().item<bool>());
      CHECK(at::equal(out, converter.forward(z, height, width)));
      // Rows of a batch do not depend on each other.
      CHECK(at::allclose(out.slice(0, 1, 2), converter.forward(z.slice(0, 1, 2), height, width),
                         1e-4, 1e-5));
    }
  }
}

TEST_CASE("grids are brought close to the coarser one") {
  const auto folds = [](double grid_scale) {
    LatentConverterConfig c;
    c.grid_scale = grid_scale;
    choose_folds(c);
    return std::pair(c.fold_in, c.fold_out);
  };
  CHECK(folds(1.0) == std::pair<int64_t, int64_t>(1, 1));
  CHECK(folds(0.75) == std::pair<int64_t, int64_t>(1, 1));
  CHECK(folds(2.0) == std::pair<int64_t, int64_t>(1, 2));
  CHECK(folds(0.5) == std::pair<int64_t, int64_t>(2, 1));
  CHECK(folds(4.0) == std::pair<int64_t, int64_t>(1, 4));
  CHECK(folds(16.0) == std::pair<int64_t, int64_t>(1, 4));
}

TEST_CASE("a ramp across the picture stays the same ramp at every ratio") {
  const at::NoGradGuard no_grad;
  LatentConverterConfig c = config_of(1, 1, 1.0);
  c.from_mean = c.to_mean = {0.0};
  c.from_std = c.to_std = {1.0};
  LatentConverter converter(c);
  for (at::Tensor& p : converter.parameters()) p.zero_();
  converter.named_parameters()["linear.weight"][0][0][1][1] = 1.0;  // the linear path alone
  const auto ramp = [](int64_t side) {
    return ((at::arange(side, at::kFloat) + 0.5) / double(side)).expand({1, 1, side, side});
  };
  for (const int64_t side : {5, 8, 12, 16, 24, 31}) {
    const at::Tensor wrong = (converter.forward(ramp(16), side, side) - ramp(side)).abs();
    CAPTURE(side);
    const int64_t inner = side / 4;  // edges repeat the last pixel
    // A triangle filter over a fractional number of pixels moves them by a few hundredths of one.
    const double bound = side < 16 && 16 % side != 0 ? 0.03 / 16 : 1e-5;
    CHECK(wrong.slice(3, inner, side - inner).max().item<double>() < bound);
  }
}

TEST_CASE("a fresh converter is a linear map, and every weight of it can learn") {
  torch::manual_seed(1);
  LatentConverter converter(config_of(3, 4, 0.75));
  const at::Tensor a = at::randn({1, 3, 8, 8}), b = at::randn({1, 3, 8, 8});
  const auto f = [&](const at::Tensor& z) { return converter.forward(z, 6, 6); };
  CHECK(at::allclose(f(a) + f(b), f(a + b) + f(at::zeros_like(a)), 1e-4, 1e-5));
  LatentConverter random = random_converter(config_of(3, 4, 0.75));
  random.forward(a, 6, 6).square().sum().backward();
  for (const auto& p : random.named_parameters()) {
    CHECK_MESSAGE(p.value().grad().abs().sum().item<double>() > 0, p.key());
  }
}

TEST_CASE("the linear path finds a linear relation, folded or between two grids") {
  const at::NoGradGuard no_grad;
  torch::manual_seed(2);
  const auto error_at = [](double grid_scale, const auto& relation) {
    LatentConverter converter(config_of(2, 2, grid_scale));
    std::vector<std::pair<at::Tensor, at::Tensor>> pairs;
    for (int i = 0; i < 8; ++i) {
      const at::Tensor z = at::randn({2, 12, 12});
      pairs.emplace_back(z, relation(z));
    }
    converter.fit_linear(pairs);
    const at::Tensor z = at::randn({2, 12, 12}), wanted = relation(z);
    const at::Tensor found =
        converter.forward(z.unsqueeze(0), wanted.size(1), wanted.size(2)).squeeze(0);
    return (found - wanted).norm().item<double>() / wanted.norm().item<double>();
  };
  const auto mixed = [](const at::Tensor& z) { return z.flip(0) * 3 - 1; };
  CHECK(error_at(1.0, mixed) < 0.02);
  CHECK(error_at(0.5, [&](const at::Tensor& z) { return at::avg_pool2d(mixed(z), 2); }) < 0.02);
  CHECK(error_at(2.0, [&](const at::Tensor& z) {
          return mixed(z).repeat_interleave(2, 1).repeat_interleave(2, 2);
        }) < 0.02);
  // A linear fit cannot follow what is not linear.
  CHECK(error_at(1.0, [](const at::Tensor& z) { return z.square(); }) > 0.5);
  LatentConverter converter(config_of(2, 2, 1.0));
  CHECK(contains(refusal_of([&] { converter.fit_linear({}); }), "at least one"));
  CHECK(contains(
      refusal_of([&] { converter.fit_linear({{at::zeros({3, 4, 4}), at::zeros({2, 4, 4})}}); }),
      "[2,h,w]"));
}

TEST_CASE("the last layer finds what the blocks' features can tell, folded or between two grids") {
  const at::NoGradGuard no_grad;
  for (const double grid_scale : {0.5, 0.75, 1.0, 2.0}) {
    CAPTURE(grid_scale);
    const auto side = static_cast<int64_t>(12 * grid_scale);
    LatentConverter teacher = random_converter(config_of(2, 3, grid_scale));
    LatentConverter::LatentPairs pairs;
    for (int i = 0; i < 12; ++i) {
      const at::Tensor z = at::randn({2, 12, 12});
      pairs.emplace_back(z, teacher.forward(z.unsqueeze(0), side, side).squeeze(0));
    }
    // The pupil has all weights of the teacher but the last layer's.
    LatentConverter pupil = random_converter(config_of(2, 3, grid_scale));
    for (const auto& p : pupil.named_parameters()) {
      if (p.key().starts_with("conv_out")) p.value().zero_();
    }
    const at::Tensor z = at::randn({1, 2, 12, 12}), wanted = teacher.forward(z, side, side);
    const auto error = [&] {
      return (pupil.forward(z, side, side) - wanted).norm() / wanted.norm();
    };
    const double before = error().item<double>();
    pupil.fit_output(pairs);
    CHECK(error().item<double>() < 0.1 * before);
  }
  LatentConverter converter(config_of(2, 2, 1.0));
  CHECK(contains(refusal_of([&] { converter.fit_output({}); }), "at least one"));
}

TEST_CASE("a converter comes back from its files") {
  const TestFolder folder;
  const at::NoGradGuard no_grad;
  LatentConverter converter = random_converter(config_of(3, 4, 2.0));
  tensors::save_safetensors(folder.file("w.safetensors"), state_of(converter));
  std::shared_ptr<LatentConverter> back;
  {
    const SkipInitialisation skip;
    back = std::make_shared<LatentConverter>(
        LatentConverterConfig::from_json(converter.config().to_json()));
  }
  CHECK(back->config() == converter.config());
  load_by_assignment(*back, tensors::load_safetensors(folder.file("w.safetensors")));
  const at::Tensor z = at::randn({1, 3, 5, 6});
  CHECK(at::equal(back->forward(z, 10, 12), converter.forward(z, 10, 12)));
  back->to(at::kBFloat16);
  CHECK(at::allclose(back->forward(z, 10, 12), converter.forward(z, 10, 12), 0.05, 0.05));
}

TEST_CASE("configurations and latents that do not fit are refused by name") {
  const auto refusal = [](const char* key, const nlohmann::json& value) {
    nlohmann::json json = config_of(3, 4, 1.0).to_json();
    json[key] = value;
    return refusal_of([&] { LatentConverterConfig::from_json(json); });
  };
  CHECK(contains(refusal("from_channels", 0), "from_channels"));
  CHECK(contains(refusal("from_channels", 2), "from_mean"));
  CHECK(contains(refusal("to_std", {1.0, 1.0, 0.0, 1.0}), "to_std"));
  CHECK(contains(refusal("fold_in", 5), "fold_in"));
  CHECK(contains(refusal("hidden_channels", "wide"), "hidden_channels"));
  CHECK(contains(refusal("grid_scale", -1.0), "grid_scale"));
  CHECK(contains(refusal("_class_name", "AutoencoderKL"), "_class_name"));
  LatentConverter converter = random_converter(config_of(3, 4, 1.0));
  CHECK(contains(refusal_of([&] { converter.forward(at::zeros({1, 4, 8, 8}), 8, 8); }), "[B,3"));
  CHECK(contains(refusal_of([&] { converter.forward(at::zeros({1, 3, 8, 0}), 8, 8); }), "[B,3"));
  CHECK(contains(refusal_of([&] { converter.forward(at::zeros({1, 3, 8, 8}), 0, 8); }), "sides"));
}

}  // namespace
}  // namespace pangu::nn
