#include "train/optimizer.h"

#include <doctest/doctest.h>
#include <torch/torch.h>

#include "core/error.h"

using namespace pangu;
using namespace pangu::train;

namespace {

// Runs both optimisers on the same gradients; returns the greatest difference of the weights.
double difference_from_torch(at::ScalarType dtype, int steps) {
  torch::manual_seed(1);
  const at::Tensor start = torch::randn({7, 5, 3, 3});
  at::Tensor ours = start.to(dtype).contiguous(at::MemoryFormat::ChannelsLast).clone();
  at::Tensor theirs = start.to(dtype).to(at::kFloat).clone().requires_grad_();
  AdamWOptions options;
  options.max_grad_norm = 0;
  options.weight_decay = 0.1;
  AdamW optimizer({{"w", ours}}, options);
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

}  // namespace

TEST_CASE("AdamW in one pass equals torch's, in f32 and with bf16 working weights") {
  CHECK(difference_from_torch(at::kFloat, 20) < 1e-6);
  CHECK(difference_from_torch(at::kBFloat16, 20) < 1e-6);
}

TEST_CASE("the one-pass loop equals the plain form that other devices use") {
  torch::manual_seed(2);
  const at::Tensor start = torch::randn({33, 17});
  at::Tensor fast = start.clone();
  at::Tensor plain = start.to(at::kDouble);  // no loop of its own: the plain form
  AdamWOptions options;
  AdamW a({{"w", fast}}, options), b({{"w", plain}}, options);
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
  AdamWOptions options;
  options.max_grad_norm = 1.0;
  AdamW optimizer({{"w", w}}, options);
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
  AdamW a({{"w", w}}, {}), b({{"w", v}}, {}), c({{"x", w}}, {});
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
