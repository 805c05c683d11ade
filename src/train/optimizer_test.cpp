#include "train/optimizer.h"

#include <doctest/doctest.h>
#include <torch/optim.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"
#include "train/muon.h"

using namespace pangu;
using namespace pangu::train;

namespace {

// Runs both optimisers on the same gradients; returns the greatest difference of the weights.
double difference_from_torch(at::ScalarType dtype, int steps) {
  torch::manual_seed(1);
  const at::Tensor start = torch::randn({7, 5, 3, 3});
  at::Tensor ours = start.to(dtype).contiguous(at::MemoryFormat::ChannelsLast).clone();
  at::Tensor theirs = start.to(dtype).to(at::kFloat).clone().requires_grad_();
  OptimizerOptions options;
  options.max_grad_norm = 0;
  options.weight_decay = 0.1;
  Optimizer optimizer({{"w", ours}}, options);
  torch::optim::AdamW reference({theirs}, torch::optim::AdamWOptions(1e-2)
                                              .betas({options.beta1, options.beta2})
                                              .eps(options.eps)
                                              .weight_decay(options.weight_decay));
  for (int step = 1; step <= steps; ++step) {
    const at::Tensor a = torch::randn_like(start), b = torch::randn_like(start);
    optimizer.add_gradients({{a.contiguous(at::MemoryFormat::ChannelsLast)}, {b}});
    optimizer.step(1e-2, 0.9, step);
    theirs.mutable_grad() = a + b;
    reference.step();
  }
  return (optimizer.state().at("master/w") - theirs.detach()).abs().max().item<double>();
}

// What five iterations make of one singular value.
double iterated(double x) {
  for (int i = 0; i < 5; ++i) x = 3.4445 * x - 4.7750 * x * x * x + 2.0315 * x * x * x * x * x;
  return x;
}

// The same of every singular value of [m,n], by a decomposition.
at::Tensor iterated_by_svd(const at::Tensor& matrix) {
  const auto [u, s, vh] = at::linalg_svd(matrix.to(at::kDouble), /*full_matrices=*/false);
  at::Tensor values = (s / s.norm()).contiguous();
  for (int64_t i = 0; i < values.size(0); ++i) values[i] = iterated(values[i].item<double>());
  return at::matmul(u * values, vh);
}

double relative(const at::Tensor& a, const at::Tensor& b) {
  return ((a - b).norm() / b.norm()).item<double>();
}

}  // namespace

TEST_CASE("Newton-Schulz brings singular values near 1 and turns nothing") {
  torch::manual_seed(3);
  for (const auto& [rows, columns] : {std::pair{24, 24}, {16, 90}, {90, 16}, {1, 7}}) {
    const at::Tensor g = torch::randn({rows, columns});
    const at::Tensor o = orthogonalised(g, at::kFloat);
    // Five products in a row, in f32.
    CHECK(relative(o, iterated_by_svd(g)) < 1e-4);
    // bf16 keeps 8 bits.
    CHECK(relative(orthogonalised(g, at::kBFloat16), iterated_by_svd(g)) < 0.05);
    const auto [u, s, vh] = at::linalg_svd(o, false);
    CHECK(s.max().item<double>() < 1.25);
    // A square one has values below 1 % of its norm.
    CHECK(s.min().item<double>() > (rows == columns ? 0.1 : 0.65));
  }
  CHECK(orthogonalised(torch::zeros({3, 4}), at::kFloat).abs().max().item<double>() == 0);
}

TEST_CASE("Muon steps a convolution along its orthogonalised momentum, in any layout") {
  torch::manual_seed(4);
  for (const auto layout : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::Contiguous}) {
    const at::Tensor start = torch::randn({7, 5, 3, 3});
    at::Tensor param = start.contiguous(layout).clone();
    OptimizerOptions options;
    options.kind = OptimizerKind::kMuon;
    options.max_grad_norm = 0;
    options.weight_decay = 0.1;
    Optimizer optimizer({{"w", param}}, options);
    at::Tensor w = start.flatten(1).to(at::kDouble), m = torch::zeros_like(w);
    for (int step = 1; step <= 6; ++step) {
      const at::Tensor g = torch::randn_like(start);
      optimizer.add_gradients({{g.contiguous(layout)}});
      optimizer.step(1e-2, 0.9, step);
      const at::Tensor flat = g.flatten(1).to(at::kDouble);
      m = 0.95 * m + 0.05 * flat;
      w = w * (1 - 1e-2 * 0.1) -
          1e-2 * 0.2 * std::sqrt(45.0) * iterated_by_svd(0.05 * flat + 0.95 * m);
    }
    CHECK(relative(param.flatten(1).to(at::kDouble), w) < 1e-5);
    CHECK(relative(param, start) > 1e-2);
  }
}

TEST_CASE("Muon leaves first and last layers, embeddings, norms and biases to AdamW") {
  NamedTensors params, again;
  for (const auto& [name, shape] : std::vector<std::pair<std::string, std::vector<int64_t>>>{
           {"conv_in.weight", {4, 2, 3, 3}},
           {"conv_out.weight", {2, 4, 3, 3}},
           {"time_embedding.linear_1.weight", {4, 4}},
           {"mid_block.norm.weight", {4}},
           {"mid_block.attn.to_q.weight", {4, 4}},
           {"mid_block.attn.to_q.bias", {4}}}) {
    params.emplace_back(name, torch::ones(shape));
    again.emplace_back(name, torch::ones(shape));
  }
  OptimizerOptions options;
  Optimizer adamw(params, options);
  options.kind = OptimizerKind::kMuon;
  Optimizer muon(again, options);
  for (const auto& [name, tensor] : params) {
    CHECK(adamw.state().count("v/" + name) == 1);
    CHECK(muon.state().count("v/" + name) == (name == "mid_block.attn.to_q.weight" ? 0 : 1));
  }
  std::vector<at::Tensor> gradients;
  for (const auto& [name, tensor] : params) gradients.push_back(torch::randn_like(tensor));
  for (Optimizer* o : {&adamw, &muon}) {
    o->add_gradients({gradients});
    o->step(1e-2, 0.9, 1);
  }
  for (size_t i = 0; i < params.size(); ++i) {
    CHECK(at::equal(params[i].second, again[i].second) ==
          (params[i].first != "mid_block.attn.to_q.weight"));
  }
  CHECK_THROWS_AS(optimizer_kind_from("sgd"), Error);
}

TEST_CASE("AdamW in one pass equals torch's, in f32 and with bf16 working weights") {
  CHECK(difference_from_torch(at::kFloat, 20) < 1e-6);
  CHECK(difference_from_torch(at::kBFloat16, 20) < 1e-6);
}

TEST_CASE("the one-pass loop equals the plain form that other devices use") {
  torch::manual_seed(2);
  const at::Tensor start = torch::randn({33, 17});
  at::Tensor fast = start.clone();
  at::Tensor plain = start.to(at::kDouble);  // no loop of its own: the plain form
  OptimizerOptions options;
  Optimizer a({{"w", fast}}, options), b({{"w", plain}}, options);
  for (int step = 1; step <= 10; ++step) {
    const at::Tensor g = torch::randn_like(start);
    a.add_gradients({{g}});
    b.add_gradients({{g}});
    CHECK(a.step(1e-2, 0.9, step) == doctest::Approx(b.step(1e-2, 0.9, step)));
  }
  for (const char* part : {"master/w", "m/w", "v/w", "ema/w"}) {
    CHECK((a.state().at(part) - b.state().at(part)).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("clipping scales the gradient to the limit and a NaN changes nothing") {
  at::Tensor w = torch::zeros({4, 4});
  OptimizerOptions options;
  options.max_grad_norm = 1.0;
  Optimizer optimizer({{"w", w}}, options);
  optimizer.add_gradients({{torch::full({4, 4}, 100.0)}});
  CHECK(optimizer.step(1e-3, 0.9, 1) == doctest::Approx(400));
  // m = (1 - beta1) g, with g of norm 1 spread over 16 numbers.
  CHECK(optimizer.state().at("m/w")[0][0].item<double>() == doctest::Approx(0.1 * 0.25));
  const at::Tensor before = optimizer.state().at("master/w").clone();
  optimizer.add_gradients({{torch::full({4, 4}, NAN)}});
  CHECK(std::isnan(optimizer.step(1e-3, 0.9, 2)));
  CHECK(at::equal(before, optimizer.state().at("master/w")));
}

TEST_CASE("a state of another model is refused by name") {
  at::Tensor w = torch::zeros({4, 4}), v = torch::zeros({4, 5});
  Optimizer a({{"w", w}}, {}), b({{"w", v}}, {}), c({{"x", w}}, {});
  CHECK_THROWS_WITH_AS(b.load_state(a.state()), doctest::Contains("'master/w'"), Error);
  CHECK_THROWS_WITH_AS(c.load_state(a.state()), doctest::Contains("'master/x'"), Error);
}

TEST_CASE("the learning rate warms up, then falls along a cosine to its floor") {
  CHECK(learning_rate_at("cosine", 1.0, 0, 10, 110) == doctest::Approx(0.1));
  CHECK(learning_rate_at("cosine", 1.0, 10, 10, 110) == doctest::Approx(1.0));
  CHECK(learning_rate_at("cosine", 1.0, 60, 10, 110) == doctest::Approx(0.525));
  CHECK(learning_rate_at("cosine", 1.0, 110, 10, 110) == doctest::Approx(0.05));
  CHECK(learning_rate_at("constant", 1.0, 90, 10, 110) == 1.0);
}
