// Processes that train together, as threads of one that meet over the loopback.
#include "train/data_parallel.h"

#include <doctest/doctest.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <map>
#include <mutex>
#include <string>
#include <vector>

#include "core/error.h"
#include "core/rng.h"
#include "core/testing.h"
#include "dist/testing.h"
#include "train/checkpoint.h"
#include "train/trainer.h"

using namespace pangu;
using namespace pangu::train;

namespace {

using Weights = std::map<std::string, at::Tensor>;

// Runs work(world) in so many threads; rethrows the first error.
template <class Work>
void in_worlds(int size, const Work& work) {
  if (size == 1) return work(std::make_shared<dist::World>());
  const int port = dist::unused_port();
  std::vector<std::future<void>> threads;
  for (int rank = 0; rank < size; ++rank) {
    threads.push_back(std::async(std::launch::async, [&, rank] {
      dist::Place place;
      place.rank = rank;
      place.size = place.local_size = size;
      place.master_port = port;
      work(std::make_shared<dist::World>(place, dist::WorldOptions{}));
    }));
  }
  for (auto& thread : threads) thread.wait();
  for (auto& thread : threads) thread.get();
}

TrainConfig config_of(const std::string& folder) {
  TrainConfig c;
  c.output_dir = folder;
  c.train_batch_size = 12;
  c.max_train_steps = 50;
  c.learning_rate = 1e-2;
  c.lr_warmup_steps = 2;
  c.log_every_n_steps = 1;
  c.sample_every_n_steps = 0;
  c.replicas = 1;
  c.seed = 3;
  c.mixed_precision = "no";
  return c;
}

// A small convolutional network: matrices for Muon, weights in another order of memory, biases, and
// a layer that never gets a gradient.
struct ToyImpl : torch::nn::Module {
  torch::nn::Conv2d first{torch::nn::Conv2dOptions(3, 24, 3).padding(1)};
  torch::nn::Conv2d inner{torch::nn::Conv2dOptions(24, 20, 3).padding(1)};
  torch::nn::Linear last{20, 1};
  torch::nn::Linear unused{4, 4};
  ToyImpl() {
    register_module("first", first);
    register_module("inner", inner);
    register_module("last", last);
    register_module("unused", unused);
    for (auto& conv : {first, inner}) {
      conv->weight.set_data(conv->weight.detach().contiguous(at::MemoryFormat::ChannelsLast));
    }
  }
  at::Tensor forward(const at::Tensor& x) {
    return last->forward(at::silu(inner->forward(at::silu(first->forward(x)))).mean({2, 3}));
  }
};

// Trains it on pictures that depend on their number alone.
TrainResult learn(const TrainConfig& config, const TrainHooks& hooks) {
  std::vector<std::shared_ptr<ToyImpl>> nets;
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  static std::mutex one_at_a_time;  // libtorch's random numbers are the process's
  for (int64_t r = 0; r < config.replicas; ++r) {
    const std::lock_guard lock(one_at_a_time);
    torch::manual_seed(5);
    nets.push_back(std::make_shared<ToyImpl>());
    modules.push_back(nets.back());
  }
  const auto loss = [&](const Slice& slice) {
    at::Tensor x = at::empty({slice.count, 3, 6, 6});
    fill_normal(9, 0,
                static_cast<uint64_t>((slice.batch * config.train_batch_size + slice.first) * 108),
                x.data_ptr<float>(), static_cast<size_t>(x.numel()));
    const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    const at::Tensor out =
        nets[static_cast<size_t>(slice.replica)]->forward(x.to(dtype)).to(at::kFloat);
    return (out.squeeze(1) - x.square().mean({1, 2, 3}) * 3).square().sum();
  };
  return pangu::train::train(config, modules, loss, {}, hooks);
}

struct Learned {
  Weights weights;
  std::vector<double> losses;
};

Learned learned_by(int processes, const TrainConfig& config) {
  Learned all;
  in_worlds(processes, [&](const std::shared_ptr<dist::World>& world) {
    TrainHooks hooks;
    hooks.world = world;
    if (world->is_first()) {
      hooks.on_log = [&](const StepReport& r) { all.losses.push_back(r.loss); };
    }
    const TrainResult result = learn(config, hooks);
    CHECK(result.finished);
    if (world->is_first()) all.weights = result.weights;
  });
  return all;
}

// The greatest difference, of the greatest weight.
double distance(const Weights& a, const Weights& b) {
  REQUIRE(a.size() == b.size());
  double greatest = 0, difference = 0;
  for (const auto& [name, t] : a) {
    greatest = std::max(greatest, t.abs().max().item<double>());
    difference = std::max(difference, (t - b.at(name)).abs().max().item<double>());
  }
  return difference / greatest;
}

// A batch in smaller parts is summed in another order, and AdamW divides by the root of the second
// moment, so that the rounding of a gradient near 0 moves its weight further than it moves a loss:
// by 1.5e-5 with AVX2, by less than 1e-5 with AVX-512.
constexpr double kCloseWeights = 3e-5;
// Muon's products of such a gradient move it by 4.2e-5 on an Intel Xeon with AMX.
#ifdef __AMX_BF16__
constexpr double kCloseByMuon = 8e-5;
#else
constexpr double kCloseByMuon = kCloseWeights;
#endif

void check_alike(const Learned& one, const Learned& many, double close = kCloseWeights) {
  REQUIRE(one.losses.size() == many.losses.size());
  for (size_t i = 0; i < one.losses.size(); ++i) {
    CHECK(many.losses[i] == doctest::Approx(one.losses[i]).epsilon(1e-5));
  }
  CHECK(distance(one.weights, many.weights) < close);
}

bool same_bits(const Weights& a, const Weights& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, t] : a) {
    if (!b.contains(name) || !at::equal(t, b.at(name))) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("one, two and four processes learn the same, whatever is divided") {
  TestFolder folder;
  for (const std::string optimizer : {"adamw", "muon"}) {
    TrainConfig c = config_of(folder.file(optimizer));
    c.optimizer = optimizer;
    const Learned one = learned_by(1, c);
    for (const int processes : {2, 4}) {
      for (const int64_t stage : {0, 1, 2}) {
        if (optimizer == "muon" && stage == 2) continue;
        CAPTURE(optimizer);
        CAPTURE(processes);
        CAPTURE(stage);
        c.output_dir = folder.file(optimizer + std::to_string(processes * 10 + stage));
        c.zero_stage = stage;
        check_alike(one, learned_by(processes, c),
                    optimizer == "muon" ? kCloseByMuon : kCloseWeights);
      }
    }
  }
}

TEST_CASE("accumulated micro-batches and batches that do not divide are shared too") {
  TestFolder folder;
  TrainConfig c = config_of(folder.file("one"));
  c.train_batch_size = 3;  // one of four processes has nothing to do
  c.gradient_accumulation_steps = 3;
  c.max_train_steps = 12;
  const Learned one = learned_by(1, c);
  for (const int64_t stage : {0, 1, 2}) {
    c.output_dir = folder.file("four" + std::to_string(stage));
    c.zero_stage = stage;
    c.replicas = 2;
    check_alike(one, learned_by(4, c));
  }
}

TEST_CASE("the same number of processes gives the same bits, also where a run was cut") {
  TestFolder folder;
  for (const auto& [precision, stage] : {std::pair{"no", 0}, {"bf16", 1}, {"no", 2}, {"bf16", 2}}) {
    CAPTURE(stage);
    const std::string name = folder.file(precision + std::to_string(stage));
    TrainConfig c = config_of(name);
    c.mixed_precision = precision;
    c.zero_stage = stage;
    c.max_train_steps = 20;
    learned_by(2, c);
    TrainConfig d = c;
    d.output_dir = name + "cut";
    for (const int stop_after : {1, 6, 100}) {
      in_worlds(2, [&](const std::shared_ptr<dist::World>& world) {
        TrainHooks hooks;
        hooks.world = world;
        int steps = 0;
        // A process that is not the first stops all.
        if (!world->is_first()) hooks.stop = [&] { return ++steps >= stop_after; };
        learn(d, hooks);
      });
    }
    const auto a = load_checkpoint(c.output_dir + "/checkpoint");
    const auto b = load_checkpoint(d.output_dir + "/checkpoint");
    REQUIRE(a);
    REQUIRE(b);
    CHECK(b->step == 20);
    CHECK(same_bits(made(whole_of(a->tensors)), made(whole_of(b->tensors))));
  }
}

TEST_CASE("a checkpoint goes on with another number of processes and another stage") {
  TestFolder folder;
  TrainConfig c = config_of(folder.file("one"));
  const Learned whole = learned_by(1, c);
  TrainConfig d = config_of(folder.file("changing"));
  int64_t steps = 0;
  for (const auto& [processes, stage] : {std::pair{2, 1}, {4, 2}, {1, 0}, {2, 0}, {3, 2}}) {
    steps += 10;
    d.zero_stage = stage;
    in_worlds(processes, [&](const std::shared_ptr<dist::World>& world) {
      TrainHooks hooks;
      hooks.world = world;
      int64_t done = 0;
      hooks.stop = [&] { return ++done == 10; };
      const TrainResult result = learn(d, hooks);
      CHECK(result.step == steps);
      if (world->is_first()) {
        if (steps == 50) CHECK(distance(whole.weights, result.weights) < 1e-5);
      }
    });
  }
}

TEST_CASE("a divided state takes its part of the memory") {
  in_worlds(2, [](const std::shared_ptr<dist::World>& world) {
    const NamedTensors params = {{"a", at::ones({100, 30})}, {"b", at::ones({77})}};
    DataParallel shared(*world, params, {{params[0].second, params[1].second}}, {.zero_stage = 2});
    int64_t elements = 0, gradients = 0;
    for (const auto& [name, part] : shared.stepped()) elements += part.numel();
    for (const at::Tensor& one : shared.gradients()) gradients += one.numel();
    CHECK(gradients == elements);
    CHECK(world->sums({double(elements)})[0] == 3077);
    CHECK(elements < 2000);
    Weights parts;
    for (const auto& [name, part] : shared.stepped()) parts["m/" + name] = part;
    const Weights whole = shared.whole(parts);
    CHECK(whole.size() == (world->is_first() ? 2 : 0));
    if (world->is_first()) {
      CHECK(at::equal(whole.at("m/a"), params[0].second));
    }
    world->barrier();
  });
}

TEST_CASE("many buckets travel while the backward pass goes on, and have the sums of all") {
  for (const bool keeps_part : {false, true}) {
    CAPTURE(keeps_part);
    in_worlds(3, [&](const std::shared_ptr<dist::World>& world) {
      // Two replicas of 8 weights that are used one after another; each has a gradient of its own.
      NamedTensors params;
      std::vector<std::vector<at::Tensor>> leaves(2);
      for (int64_t i = 0; i < 8; ++i) {
        for (auto& replica : leaves) replica.push_back(at::ones({40, 50}).requires_grad_());
        params.emplace_back("w" + std::to_string(i), leaves[0].back().detach());
      }
      const auto layout = std::make_shared<const FlatLayout>(params, 3, 5000);
      REQUIRE(layout->buckets().size() == 8);
      GradientBuckets buckets(*world, layout, leaves, keeps_part);
      for (int step = 0; step < 3; ++step) {
        for (int part = 0; part < 2; ++part) {
          buckets.begin(part == 0, part == 1);
          for (int r = 0; r < 2; ++r) {
            at::Tensor sum = at::zeros({40, 50});
            for (size_t i = 0; i < 8; ++i) {
              sum = sum + leaves[static_cast<size_t>(r)][i] * double(i + 10 * r + world->rank());
            }
            sum.sum().backward();
            buckets.replica_done(r);
          }
          // Those that were sent early have been let go before the last are sent.
          CHECK(buckets.whole_buckets() <= (keeps_part ? 4 : 8));
          buckets.finish();
          CHECK(buckets.whole_buckets() == (keeps_part ? 0 : 8));
        }
        for (size_t i = 0; i < 8; ++i) {
          // Two micro-batches, two replicas, three processes.
          const double want = 2 * (6.0 * double(i) + 10 * 3 + 2 * 3);
          const at::Tensor& got = buckets.sums()[i];
          const int64_t own = layout->part_of(i, world->rank()).count();
          CHECK(got.numel() == (keeps_part ? own : 2000));
          CHECK(at::equal(got, at::full(got.sizes(), want)));
        }
      }
    });
  }
}

TEST_CASE("a step sends as many bytes as the formula says") {
  TestFolder folder;
  const int64_t elements = 3 * 24 * 9 + 24 + 24 * 20 * 9 + 20 + 20 + 1 + 16 + 4;
  for (const int64_t stage : {0, 1, 2}) {
    TrainConfig c = config_of(folder.file(std::to_string(stage)));
    c.zero_stage = stage;
    std::vector<double> sent;
    for (const int64_t steps : {1, 11}) {
      c.max_train_steps = steps;
      c.output_dir = folder.file(std::to_string(stage * 100 + steps));
      in_worlds(2, [&](const std::shared_ptr<dist::World>& world) {
        TrainHooks hooks;
        hooks.world = world;
        learn(c, hooks);
        if (world->is_first()) sent.push_back(world->bytes_sent());
      });
    }
    // (N-1)/N of: twice the gradients; the parameters too (stage 1), or gradients once and
    // parameters (stage 2). Votes, and what fills buckets up, are the rest.
    const double factor[] = {2, 3, 2};
    const double formula = factor[stage] * double(elements) * sizeof(float) / 2;
    const double a_step = (sent[1] - sent[0]) / 10;
    CHECK(a_step >= formula);
    CHECK(a_step < formula + factor[stage] * 8 * FlatLayout::kAlignment * sizeof(float));
  }
}

TEST_CASE("Muon's gradients stay whole") {
  TestFolder folder;
  TrainConfig c = config_of(folder.path);
  c.optimizer = "muon";
  c.zero_stage = 2;
  in_worlds(2, [&](const std::shared_ptr<dist::World>& world) {
    TrainHooks hooks;
    hooks.world = world;
    CHECK_THROWS_AS(learn(c, hooks), Error);
  });
}
