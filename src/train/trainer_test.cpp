// The loop on a toy regression: what must hold whatever the network.
#include "train/trainer.h"

#include <ATen/Parallel.h>
#include <doctest/doctest.h>
#include <sys/resource.h>
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <csignal>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include "core/error.h"
#include "core/rng.h"
#include "core/testing.h"
#include "io/safetensors.h"
#include "train/checkpoint.h"
#include "train/fingerprint.h"
#include "train/latent_set.h"

using namespace pangu;
using namespace pangu::train;

namespace {

TrainConfig config_in(const std::string& folder) {
  TrainConfig c;
  c.output_dir = folder;
  c.train_batch_size = 12;
  c.max_train_steps = 20;
  c.learning_rate = 1e-2;
  c.lr_warmup_steps = 2;
  c.log_every_n_steps = 5;
  c.sample_every_n_steps = 0;
  c.replicas = 2;
  c.seed = 3;
  return c;
}

// Learns y = sum(x) of counter-keyed random x; hooks may stop it early.
TrainResult run(const TrainConfig& config, const TrainHooks& hooks = {}, bool resume = true,
                const RunInputs& inputs = {}, int64_t hidden = 16) {
  std::vector<std::shared_ptr<torch::nn::Module>> modules;
  std::vector<torch::nn::Sequential> nets;
  if (config.optimizer == "adamw8bit") hidden = 1024;  // 4096 weights, which have 8-bit moments
  for (int64_t r = 0; r < replica_count(config); ++r) {
    torch::manual_seed(5);
    nets.push_back(torch::nn::Sequential(torch::nn::Linear(4, hidden), torch::nn::SiLU(),
                                         torch::nn::Linear(hidden, 1)));
    modules.push_back(nets.back().ptr());
  }
  const auto loss = [&](const Slice& slice) {
    std::vector<float> x(static_cast<size_t>(slice.count * 4));
    fill_normal(9, 0,
                static_cast<uint64_t>((slice.batch * config.train_batch_size + slice.first) * 4),
                x.data(), x.size());
    const at::Tensor input = at::tensor(x).view({slice.count, 4});
    const auto dtype = config.mixed_precision == "bf16" ? at::kBFloat16 : at::kFloat;
    const at::Tensor out =
        nets[static_cast<size_t>(slice.replica)]->forward(input.to(dtype)).to(at::kFloat);
    return (out.squeeze(1) - input.sum(1)).square().sum();
  };
  return pangu::train::train(config, modules, loss, inputs, hooks, resume);
}

bool equal(const StoredTensors& a, const StoredTensors& b) {
  if (a.size() != b.size()) return false;
  for (const auto& [name, t] : a) {
    if (!b.count(name) || !at::equal(whole_of(t).make(), whole_of(b.at(name)).make())) return false;
  }
  return true;
}

}  // namespace

TEST_CASE("a run cut anywhere and resumed ends with the same bits as an uninterrupted one") {
  for (const auto& [precision, optimizer] : {std::pair{"bf16", "adamw"},
                                             {"no", "adamw"},
                                             {"bf16", "muon"},
                                             {"no", "muon"},
                                             {"bf16", "adamw8bit"},
                                             {"no", "adamw8bit"}}) {
    TestFolder whole, cut;
    TrainConfig c = config_in(whole.path);
    c.mixed_precision = precision;
    c.optimizer = optimizer;
    run(c);
    TrainConfig d = c;
    d.output_dir = cut.path;
    for (const int stop_after : {1, 6, 3, 100}) {
      int steps = 0;
      TrainHooks hooks;
      hooks.stop = [&] { return ++steps >= stop_after; };
      run(d, hooks);
    }
    const auto a = load_checkpoint(whole.file("checkpoint"));
    const auto b = load_checkpoint(cut.file("checkpoint"));
    REQUIRE(a);
    REQUIRE(b);
    CHECK(a->step == 20);
    CHECK(b->step == 20);
    CHECK(equal(a->tensors, b->tensors));
    CHECK(a->tensors.contains("m_scale/0.weight") == (std::string(optimizer) == "adamw8bit"));
  }
}

TEST_CASE("steps inside the backward pass and an average on the disk give the same bits") {
  for (const char* optimizer : {"adamw", "adamw8bit", "muon"}) {
    TestFolder plain, fused;
    TrainConfig c = config_in(plain.path);
    c.optimizer = optimizer;
    c.replicas = 1;
    c.max_grad_norm = 0;
    run(c);
    c.output_dir = fused.path;
    c.fused_backward_pass = c.offload_ema = true;
    int steps = 0;
    TrainHooks hooks;
    hooks.stop = [&] { return ++steps >= 7; };
    run(c, hooks);
    run(c);
    const auto a = load_checkpoint(plain.file("checkpoint"));
    const auto b = load_checkpoint(fused.file("checkpoint"));
    REQUIRE(a);
    REQUIRE(b);
    CHECK(equal(a->tensors, b->tensors));
  }
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  c.fused_backward_pass = true;
  CHECK_THROWS_WITH_AS(run(c), doctest::Contains("replicas"), Error);
}

TEST_CASE("moments of 8 bits learn as moments of f32 do") {
  std::vector<std::vector<double>> losses;
  for (const char* name : {"adamw", "adamw8bit"}) {
    TestFolder folder;
    TrainConfig c = config_in(folder.path);
    c.max_train_steps = 300;
    c.log_every_n_steps = 20;
    c.optimizer = name;
    losses.emplace_back();
    TrainHooks hooks;
    hooks.on_log = [&](const StepReport& r) { losses.back().push_back(r.loss); };
    run(c, hooks, true, {}, /*hidden=*/1024);
  }
  REQUIRE(losses[0].size() == 15);
  REQUIRE(losses[1].size() == 15);
  // Side by side while the loss falls to a tenth; what remains then is noise of the steps' size.
  for (size_t i = 0; i < 4; ++i) {
    CHECK(losses[1][i] == doctest::Approx(losses[0][i]).epsilon(0.05));
  }
  CHECK(losses[0].back() < 1e-3 * losses[0].front());
  CHECK(losses[1].back() < 1e-3 * losses[1].front());
}

TEST_CASE("one replica and two see the same samples and learn alike") {
  TestFolder one, two;
  TrainConfig c = config_in(one.path);
  c.mixed_precision = "no";
  c.replicas = 1;
  const TrainResult a = run(c);
  c.output_dir = two.path;
  c.replicas = 2;
  const TrainResult b = run(c);
  for (const auto& [name, t] : a.weights) {
    CHECK((t - b.weights.at(name)).abs().max().item<double>() < 1e-4);
  }
}

TEST_CASE("accumulated micro-batches step once") {
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  c.gradient_accumulation_steps = 3;
  CHECK(run(c).step == 20);
}

TEST_CASE("the loss of the toy falls by either optimiser and is logged") {
  const char* optimizer = "";
  SUBCASE("adamw") { optimizer = "adamw"; }
  SUBCASE("muon") { optimizer = "muon"; }
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  c.optimizer = optimizer;
  c.max_train_steps = 400;
  std::vector<double> losses;
  TrainHooks hooks;
  hooks.on_log = [&](const StepReport& r) { losses.push_back(r.loss); };
  run(c, hooks);
  REQUIRE(losses.size() == 80);
  CHECK(losses.back() < 0.1 * losses.front());
  std::ifstream metrics(folder.file("metrics.jsonl"));
  CHECK(std::count(std::istreambuf_iterator<char>(metrics), {}, '\n') == 80);
  CHECK(std::filesystem::file_size(folder.file("metrics.html")) > 2000);
}

TEST_CASE("the learning rate is down when time is up, though steps are left") {
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  c.log_every_n_steps = 1;
  TrainHooks hooks;
  std::vector<double> rates;
  hooks.on_log = [&](const StepReport& r) { rates.push_back(r.learning_rate); };
  hooks.progress = [&] { return double(rates.size()) / 10; };
  hooks.stop = [&] { return rates.size() == 10; };  // asked before the last is told
  run(c, hooks);
  REQUIRE(rates.size() == 11);
  CHECK(rates[1] == c.learning_rate);  // the warm-up's end
  CHECK(rates[5] == doctest::Approx(learning_rate_at("cosine", c.learning_rate, 10, 2, 20)));
  CHECK(rates[10] == doctest::Approx(learning_rate_at("cosine", c.learning_rate, 20, 2, 20)));
}

TEST_CASE("a second training in the folder of one that goes on is refused, and the first goes on") {
  const TestFolder folder;
  const TrainConfig config = config_in(folder.path.string());
  int refused = 0;
  TrainHooks hooks;
  hooks.on_log = [&](const StepReport& report) {
    if (report.step != 5) return;
    CHECK_THROWS_WITH_AS(run(config), doctest::Contains("a training that is going on"), Error);
    ++refused;
  };
  CHECK(run(config, hooks).step == config.max_train_steps);
  CHECK(refused == 1);
  CHECK(run(config).step == config.max_train_steps);  // the folder is free again
}

TEST_CASE("a checkpoint of other settings is refused") {
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  run(c);
  c.train_batch_size = 13;
  CHECK_THROWS_WITH_AS(run(c), doctest::Contains("--fresh"), Error);
  CHECK_THROWS_WITH_AS(run(c), doctest::Contains("train_batch_size 12, now 13"), Error);
  CHECK_NOTHROW(run(c, {}, /*resume=*/false));
}

TEST_CASE("a setting that a checkpoint does not know yet has its default") {
  TrainConfig c;
  const std::string now = fingerprint_of(c, {}, 2);
  std::string before = now;
  const size_t at = before.find("\"seed\":0");
  REQUIRE(at != std::string::npos);
  before.replace(at, 8, "\"x\":0");
  CHECK(difference_of(before, now) == "");
  c.seed = 4;
  c.output_dir = "elsewhere";
  CHECK(difference_of(before, fingerprint_of(c, {}, 2)) == "seed 0, now 4");
  CHECK(difference_of("broken", now) != "");
}

TEST_CASE("a checkpoint of other inputs is refused by their name, one of unknown inputs is not") {
  TestFolder folder;
  const TrainConfig c = config_in(folder.path);
  const RunInputs inputs{"pictures", "layers", "encoder"};
  run(c, {}, true, inputs);
  CHECK_NOTHROW(run(c, {}, true, inputs));
  CHECK_NOTHROW(run(c, {}, true, {}));
  const auto refused = [&](const RunInputs& other) {
    return refusal_of([&] { run(c, {}, true, other); });
  };
  const RunInputs more{"pictures and more", "layers", "encoder"};
  CHECK(contains(refused(more), "data \"pictures\", now \"pictures and mor"));
  CHECK(contains(refused({"pictures", "other layers", "encoder"}), "network"));
  CHECK(contains(refused({"pictures", "layers", "other encoder"}), "conditioning"));
  CHECK_NOTHROW(run(c, {}, /*resume=*/false, more));
}

TEST_CASE(
    "a checkpoint of another number of replicas is refused, and the error says how to go on") {
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  run(c);
  CHECK_NOTHROW(check_resumable(c, {}, {}));
  c.replicas = 3;
  const std::string refusal = refusal_of([&] { check_resumable(c, {}, {}); });
  CHECK(contains(refusal, "replicas 2, now 3"));
  CHECK(contains(refusal, "--set replicas=2"));
  // A checkpoint from before the number was kept has what the configuration said: nothing.
  std::string unknown = fingerprint_of(c, {}, 2);
  unknown.replace(unknown.find("\"replicas\":2"), 12, "\"replicas\":0");
  CHECK(difference_of(unknown, fingerprint_of(c, {}, 3)) == "");
}

TEST_CASE("a run leaves the process's number of threads alone, of threads begun later too") {
  const int before = at::get_num_threads();
  at::set_num_threads(3);
  const auto later = [] {
    int count = 0;
    std::thread([&] { count = at::get_num_threads(); }).join();
    return count;
  };
  REQUIRE(later() == 3);
  TestFolder folder;
  TrainHooks hooks;
  std::vector<int> during;
  hooks.on_log = [&](const StepReport&) { during.push_back(later()); };
  run(config_in(folder.path), hooks);
  CHECK(during == std::vector<int>(during.size(), 3));
  CHECK(later() == 3);
  CHECK(at::get_num_threads() == 3);
  at::set_num_threads(before);
}

TEST_CASE("an error inside a replica reaches the caller") {
  TestFolder folder;
  TrainConfig c = config_in(folder.path);
  auto module = std::make_shared<torch::nn::LinearImpl>(2, 2);
  auto other = std::make_shared<torch::nn::LinearImpl>(2, 2);
  const LossFunction loss = [](const Slice& slice) -> at::Tensor {
    if (slice.replica == 1) throw bad_input("broken picture");
    return torch::zeros({}, torch::requires_grad());
  };
  CHECK_THROWS_WITH_AS(pangu::train::train(c, {module, other}, loss, {}, {}),
                       doctest::Contains("broken picture"), Error);
}

TEST_CASE("checkpoints that are written while training goes on are those of the moment") {
  for (const char* precision : {"bf16", "no"}) {
    TestFolder folder, plain;
    TrainConfig c = config_in(plain.path);
    c.mixed_precision = precision;
    run(c);
    for (const double memory : {1.0, 0.0}) {
      CAPTURE(memory);
      TrainConfig d = c;
      d.output_dir = folder.file(memory > 0 ? "asynchronous" : "streamed");
      d.async_save_memory_gib = memory;
      d.save_every_n_steps = 4;
      std::vector<int64_t> steps;
      int asynchronous = 0;
      TrainHooks hooks;
      hooks.on_save = [&](const SaveReport& report) {
        steps.push_back(report.step);
        asynchronous += report.is_asynchronous;
        CHECK(report.size_bytes > 0);
        CHECK(report.is_last == (report.step == 20));
      };
      // It goes on from a checkpoint in the middle, as if the process had ended there.
      int done = 0;
      hooks.stop = [&] {
        if (++done == 14) throw std::runtime_error("ended");
        return false;
      };
      CHECK_THROWS(run(d, hooks));
      const auto middle = load_checkpoint(d.output_dir + "/checkpoint");
      REQUIRE(middle);
      CHECK((middle->step == 8 || middle->step == 12));
      hooks.stop = nullptr;
      run(d, hooks);
      CHECK(steps.back() == 20);
      CHECK((asynchronous > 2) == (memory > 0));
      const auto a = load_checkpoint(plain.file("checkpoint"));
      const auto b = load_checkpoint(d.output_dir + "/checkpoint");
      REQUIRE(a);
      REQUIRE(b);
      CHECK(equal(a->tensors, b->tensors));
      // Nothing is left of those before.
      int folders = 0;
      for (const auto& entry : std::filesystem::directory_iterator(d.output_dir)) {
        folders += entry.is_directory() && !entry.is_symlink();
      }
      CHECK(folders == 1);
    }
  }
}

TEST_CASE("a checkpoint that cannot be written ends the run and leaves the last one") {
  for (const double memory : {1.0, 0.0}) {
    CAPTURE(memory);
    TestFolder folder;
    TrainConfig c = config_in(folder.path);
    c.max_train_steps = 5;
    run(c);
    const auto before = load_checkpoint(folder.file("checkpoint"));
    c.max_train_steps = 20;
    c.save_every_n_steps = 8;
    c.async_save_memory_gib = memory;
    // Files that may not grow stand in for a disk that takes no more.
    rlimit usual{};
    getrlimit(RLIMIT_FSIZE, &usual);
    const auto signal_before = std::signal(SIGXFSZ, SIG_IGN);
    TrainHooks hooks;
    hooks.stop = [&, done = 5]() mutable {
      if (++done == 7) {
        const rlimit small{1500, usual.rlim_max};
        setrlimit(RLIMIT_FSIZE, &small);
      }
      return false;
    };
    std::string failure;
    try {
      run(c, hooks);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kIo);
      failure = error.what();
    }
    setrlimit(RLIMIT_FSIZE, &usual);
    std::signal(SIGXFSZ, signal_before);
    CHECK(contains(failure, "cannot write"));
    const auto after = load_checkpoint(folder.file("checkpoint"));
    REQUIRE(after);
    CHECK(after->step == 5);
    CHECK(equal(before->tensors, after->tensors));
    c.max_train_steps = 6;
    CHECK(run(c).finished);
  }
}

TEST_CASE("batches hold one shape and an epoch every full batch of items once") {
  LatentSet set;
  for (int i = 0; i < 10; ++i) {
    set.items.emplace_back().latent = torch::zeros({1, 4, i < 7 ? 4 : 2});
  }
  const data::BatchOrder order = batch_order(set, 2, 1);
  CHECK(order.batches_per_epoch() == 4);  // 3 of seven items, 1 of three
  std::vector<int> seen(10);
  for (int64_t b = 0; b < 4; ++b) {
    const auto batch = order.at(b);
    REQUIRE(batch.size() == 2);
    CHECK((batch[0] < 7) == (batch[1] < 7));
    for (const int64_t i : batch) ++seen[static_cast<size_t>(i)];
  }
  for (const int count : seen) CHECK(count <= 1);
  const auto again = batch_order(set, 2, 1).at(5);
  CHECK(order.at(5) == again);
}

TEST_CASE("an epoch shows an item as often as it repeats") {
  LatentSet set;
  for (int i = 0; i < 3; ++i) {
    set.items.emplace_back().latent = torch::zeros({1, 4, 4});
    set.items.back().repeats = i + 1;
  }
  const data::BatchOrder order = batch_order(set, 2, 1);
  REQUIRE(order.batches_per_epoch() == 3);
  std::vector<int> seen(3);
  for (int64_t b = 0; b < 3; ++b) {
    for (const int64_t i : order.at(b)) ++seen[static_cast<size_t>(i)];
  }
  CHECK(seen == std::vector<int>{1, 2, 3});
}
