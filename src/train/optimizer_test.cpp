#include "train/optimizer.h"

#include <doctest/doctest.h>
#include <torch/optim.h>
#include <torch/types.h>
#include <torch/utils.h>

#include "core/error.h"
#include "train/adamw.h"
#include "train/muon.h"
#include "train/thread_count.h"

using namespace pangu;
using namespace pangu::train;

namespace {

at::Tensor part(const Optimizer& optimizer, const std::string& name) {
  return optimizer.state().at(name).make().clone();
}

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
  return (part(optimizer, "master/w") - theirs.detach()).abs().max().item<double>();
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

// Operators of this thread use one thread while this lives.
class OneThread {
 public:
  OneThread() : before_(at::get_num_threads()) { use_threads_here(1); }
  ~OneThread() { use_threads_here(before_); }
  OneThread(const OneThread&) = delete;
  OneThread& operator=(const OneThread&) = delete;

 private:
  int before_;
};

}  // namespace

TEST_CASE("Newton-Schulz brings singular values near 1 and turns nothing") {
  torch::manual_seed(3);
  for (const auto& [rows, columns] : {std::pair{24, 24}, {24, 40}, {16, 90}, {90, 16}, {1, 7}}) {
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
  for (const char* name : {"master/w", "m/w", "v/w", "ema/w"}) {
    CHECK((part(a, name) - part(b, name)).abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("both halves of a split weight are the bits of the f32, whatever they are") {
  for (uint32_t high = 0; high <= 0xffff; ++high) {
    for (const uint32_t low : {0u, 1u, 0x7fffu, 0x8000u, 0x8001u, 0xffffu}) {
      const uint32_t bits = high << 16 | low;
      REQUIRE(joined(upper_half(bits), lower_half(bits)) == bits);
    }
  }
  // Nearest; of two that are as near the greater one.
  CHECK(upper_half(0x3f807fff) == 0x3f80);
  CHECK(upper_half(0x3f808000) == 0x3f81);
  CHECK(upper_half(0x3f818000) == 0x3f82);
}

TEST_CASE("bf16 weights with split masters learn bit for bit what f32 masters learn") {
  torch::manual_seed(6);
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kAdamW8Bit}) {
    const at::Tensor start = torch::randn({70, 5, 4, 4}).to(at::kBFloat16);  // 8-bit, a last block
    at::Tensor halves = start.contiguous(at::MemoryFormat::ChannelsLast).clone();
    at::Tensor whole = halves.to(at::kFloat);
    OptimizerOptions options;
    options.kind = kind;
    options.threads = 3;
    Optimizer a({{"w", halves}}, options), b({{"w", whole}}, options);
    for (int step = 1; step <= 30; ++step) {
      const at::Tensor g = torch::randn_like(halves);
      a.add_gradients({{g}});
      b.add_gradients({{g.to(at::kFloat)}});
      CHECK(a.step(1e-2, 0.9, step) == b.step(1e-2, 0.9, step));
    }
    for (const auto& [name, tensor] : b.state()) CHECK(at::equal(part(a, name), tensor.make()));
    CHECK(at::equal(part(a, "master/w"), whole));
    // The network computes with the nearest bf16 of each: 8 bits, half of the last.
    CHECK((halves.to(at::kFloat) - whole).abs().div(whole.abs()).max().item<double>() <= 0x1p-8);
    CHECK(!at::equal(halves.to(at::kFloat), whole));
  }
}

TEST_CASE("Muon steps split masters as it steps f32 masters, bit for bit") {
  torch::manual_seed(7);
  at::Tensor halves = torch::randn({24, 31}).to(at::kBFloat16);
  at::Tensor w = halves.to(at::kFloat), m = torch::zeros_like(w);
  OptimizerOptions options;
  options.kind = OptimizerKind::kMuon;
  options.max_grad_norm = 0;
  options.weight_decay = 0;
  Optimizer optimizer({{"w", halves}}, options);
  for (int step = 1; step <= 10; ++step) {
    const at::Tensor g = torch::randn_like(w);
    optimizer.add_gradients({{g}});
    optimizer.step(1e-2, 0.9, step);
    m.lerp_(g, 1 - 0.95f);
    const at::Tensor update = orthogonalised(at::lerp(g, m, 0.95f), muon_dtype(halves));
    w.sub_(update, 1e-2f * muon_scale(24, 31));
  }
  CHECK(at::equal(part(optimizer, "master/w"), w));
}

TEST_CASE("moments of 8 bits by the loops equal those by libtorch's operators") {
  torch::manual_seed(8);
  const at::Tensor start = torch::randn({77, 65});
  at::Tensor fast = start.clone();
  at::Tensor plain = start.to(at::kDouble);  // no loop of its own: the plain form
  OptimizerOptions options;
  options.kind = OptimizerKind::kAdamW8Bit;
  Optimizer a({{"w", fast}}, options), b({{"w", plain}}, options);
  for (int step = 1; step <= 10; ++step) {
    const at::Tensor g = torch::randn_like(start) * torch::rand_like(start).pow(6);
    a.add_gradients({{g}});
    b.add_gradients({{g}});
    a.step(1e-2, 0.9, step);
    b.step(1e-2, 0.9, step);
  }
  // Last bits of the f32 that is encoded may differ, and a code where it lies between two.
  const at::Tensor codes = part(a, "m/w").to(at::kInt), others = part(b, "m/w").to(at::kInt);
  CHECK((codes != others).to(at::kFloat).mean().item<double>() < 1e-3);
  CHECK(relative(part(a, "m_scale/w"), part(b, "m_scale/w")) < 1e-5);
  CHECK(relative(part(a, "v_root_scale/w"), part(b, "v_root_scale/w")) < 1e-5);
  CHECK(relative(part(a, "master/w"), part(b, "master/w")) < 1e-4);
  CHECK(relative(part(a, "master/w"), start) > 1e-2);
}

TEST_CASE("parameters stepped one after another, in any order, equal a step of all") {
  torch::manual_seed(9);
  // As a step of all has it: MKL adds up the products of Muon's matrices in another order by
  // another number of threads.
  const OneThread operators;
  for (const OptimizerKind kind :
       {OptimizerKind::kAdamW, OptimizerKind::kAdamW8Bit, OptimizerKind::kMuon}) {
    NamedTensors params, again;
    for (const char* name : {"a", "b", "unused"}) {
      params.emplace_back(name, torch::randn({90, 80}).to(at::kBFloat16));
      again.emplace_back(name, params.back().second.clone());
    }
    OptimizerOptions options;
    options.kind = kind;
    options.max_grad_norm = 0;
    Optimizer all(params, options);
    options.threads = 2;
    Optimizer each(again, options);
    for (int step = 1; step <= 3; ++step) {
      const at::Tensor a = torch::randn({90, 80}).to(at::kBFloat16);
      const at::Tensor b = torch::randn({90, 80});
      all.add_gradients({{a, b, at::Tensor()}});
      each.begin_step(1e-2, 0.9, step);
      each.step_parameter(1, b);
      each.step_parameter(0, a);
      CHECK_THROWS_WITH_AS(each.step_parameter(0, a), doctest::Contains("'a'"), Error);
      CHECK(all.step(1e-2, 0.9, step) == each.finish_step());
    }
    for (const auto& [name, tensor] : all.state()) {
      CHECK(at::equal(part(each, name), tensor.make()));
    }
  }
}

TEST_CASE("a gradient that is not finite leaves its parameter alone and tells") {
  at::Tensor v = torch::ones({4}), w = torch::ones({4});
  OptimizerOptions options;
  options.max_grad_norm = 0;
  Optimizer optimizer({{"v", v}, {"w", w}}, options);
  optimizer.begin_step(1e-2, 0.9, 1);
  optimizer.step_parameter(0, torch::full({4}, NAN));
  optimizer.step_parameter(1, torch::ones({4}));
  CHECK(!std::isfinite(optimizer.finish_step()));
  CHECK(at::equal(v, torch::ones({4})));
  CHECK(!at::equal(w, torch::ones({4})));
}

TEST_CASE("the average in bf16 is the working parameter itself where there is no other") {
  at::Tensor w = torch::randn({4, 4}).to(at::kBFloat16);
  OptimizerOptions options;
  options.use_ema = false;
  Optimizer plain({{"w", w}}, options);
  CHECK(plain.averaged(at::kBFloat16).at("w").const_data_ptr() == w.const_data_ptr());
  CHECK(at::equal(plain.averaged().at("w"), w.to(at::kFloat)));
  options.use_ema = true;
  Optimizer averaging({{"w", w}}, options);
  averaging.add_gradients({{torch::ones({4, 4})}});
  averaging.step(1e-1, 0.5, 1);
  CHECK(at::equal(averaging.averaged().at("w"), part(averaging, "ema/w")));
}

TEST_CASE("clipping scales the gradient to the limit and a NaN changes nothing") {
  at::Tensor w = torch::zeros({4, 4});
  OptimizerOptions options;
  options.max_grad_norm = 1.0;
  Optimizer optimizer({{"w", w}}, options);
  optimizer.add_gradients({{torch::full({4, 4}, 100.0)}});
  CHECK(optimizer.step(1e-3, 0.9, 1) == doctest::Approx(400));
  // m = (1 - beta1) g, with g of norm 1 spread over 16 numbers.
  CHECK(part(optimizer, "m/w")[0][0].item<double>() == doctest::Approx(0.1 * 0.25));
  const at::Tensor before = part(optimizer, "master/w");
  optimizer.add_gradients({{torch::full({4, 4}, NAN)}});
  CHECK(std::isnan(optimizer.step(1e-3, 0.9, 2)));
  CHECK(at::equal(before, part(optimizer, "master/w")));
}

TEST_CASE("a parameter with a factor of the rate moves as one with that rate") {
  for (const OptimizerKind kind : {OptimizerKind::kAdamW, OptimizerKind::kAdamW8Bit}) {
    torch::manual_seed(4);
    const at::Tensor start = torch::randn({16, 32});
    at::Tensor slow = start.clone(), fast = start.clone(), alone = start.clone();
    OptimizerOptions options;
    options.kind = kind;
    options.max_grad_norm = 0;
    options.weight_decay = 0.1;
    Optimizer half({{"alone", alone}}, options);
    options.rate_factor = [](const std::string& name) { return name == "slow" ? 0.5 : 1.0; };
    Optimizer both({{"slow", slow}, {"fast", fast}}, options);
    for (int step = 1; step <= 3; ++step) {
      const at::Tensor g = torch::randn_like(start);
      both.add_gradients({{g, g}});
      both.step(1e-2, 0.9, step);
      half.add_gradients({{g}});
      half.step(0.5e-2, 0.9, step);
    }
    CHECK(at::equal(part(both, "master/slow"), part(half, "master/alone")));
    CHECK_FALSE(at::equal(part(both, "master/fast"), part(half, "master/alone")));
  }
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
