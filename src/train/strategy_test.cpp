// Strategies as files, and what they cost: the identities behind the claims for time-decoupled
// training.
#include "train/strategy.h"

#include <doctest/doctest.h>

#include "core/testing.h"
#include "train/plan.h"
#include "train/strategy_cost.h"

namespace pangu::train {
namespace {

std::string config_file(const std::string& name) {
  return std::string(kSourceDir) + "/configs/study/" + name;
}

// A network of this many parameters, of which each takes part once at every position.
CostSources even_sources(const PlanConfig& plan) {
  const auto parameters = [](const Stage& stage) {
    return stage.config.network_config.ends_with("half.json") ? 0.5 : 1.0;
  };
  CostSources sources;
  sources.parameters = parameters;
  sources.forward_gflop = [=](const Stage& stage, int64_t side) {
    return 2 * parameters(stage) * double(side * side);
  };
  sources.training_gflop = [forward = sources.forward_gflop](const Stage& stage, int64_t side) {
    return 3 * forward(stage, side);
  };
  sources.pictures = [plan](const Stage& stage) {
    return double(plan.pictures) *
           data::share_of_at_least(plan.histogram(), stage.config.min_image_size);
  };
  sources.downscale = plan.latent_downscale;
  sources.drawing_px = plan.drawing_px;
  return sources;
}

PlanConfig plan_like_the_paper() {
  PlanConfig plan;
  plan.pictures = 3700;
  plan.native_sizes = {64, 96, 128, 192, 256};
  plan.native_shares = {6, 6, 8, 7, 10};
  return plan;
}

TEST_CASE("the strategies of the study are lists of stages with equal tuning") {
  const Strategy tdts = open_strategy(config_file("tdts.toml"));
  const Strategy boost = open_strategy(config_file("resolution_boost.toml"));
  const Strategy monolith = open_strategy(config_file("monolith.toml"));
  CHECK(tdts.drawn() == std::vector<size_t>{0, 1});
  CHECK(boost.drawn() == std::vector<size_t>{1});
  CHECK(boost.chain_of(1) == std::vector<size_t>{0, 1});
  CHECK(monolith.drawn() == std::vector<size_t>{0});
  CHECK(tdts.tuning.size() == boost.tuning.size());
  CHECK(tdts.tuning.size() == monolith.tuning.size());
  CHECK(tdts.stages[0].share + tdts.stages[1].share == doctest::Approx(1));
  CHECK(tdts.stages[1].config.network_config == config_file("half.json"));
  CHECK(boost.stages[1].config.train_data_dir == tdts.stages[0].config.train_data_dir);
}

TEST_CASE("all against at least half of the pictures is what the histogram says") {
  const PlanConfig plan = plan_like_the_paper();
  const CostSources sources = even_sources(plan);
  const auto used = [&](const char* file) {
    return cost_of_epochs(open_strategy(config_file(file)), sources, 1).pictures;
  };
  CHECK(used("tdts.toml") / used("resolution_boost.toml") == doctest::Approx(1.48).epsilon(1e-12));
}

TEST_CASE("half of the parameters at every step is half of the cost of drawing") {
  const CostSources sources = even_sources(plan_like_the_paper());
  const auto drawing = [&](const char* file) {
    return cost_of_epochs(open_strategy(config_file(file)), sources, 1).gflop_a_picture;
  };
  CHECK(drawing("tdts.toml") == doctest::Approx(drawing("resolution_boost.toml") / 2));
  CHECK(drawing("monolith.toml") == doctest::Approx(drawing("resolution_boost.toml")));
}

TEST_CASE(
    "with the same samples in every stage, half of the parameters train at half of the cost") {
  const CostSources sources = even_sources(plan_like_the_paper());
  const StrategyCost tdts = cost_of_samples(open_strategy(config_file("tdts.toml")), sources, 1000);
  const StrategyCost boost =
      cost_of_samples(open_strategy(config_file("resolution_boost.toml")), sources, 1000);
  CHECK(tdts.gflop() / boost.gflop() == doctest::Approx(0.5));
}

TEST_CASE("stages share a budget as they say, whatever a sample costs") {
  const CostSources sources = even_sources(plan_like_the_paper());
  const StrategyCost cost =
      cost_of_budget(open_strategy(config_file("resolution_boost.toml")), sources, 1e6);
  CHECK(cost.gflop() == doctest::Approx(1e6));
  CHECK(cost.stages[0].gflop == doctest::Approx(5e5));
  // A sample of half the size costs a quarter.
  CHECK(cost.stages[0].samples == doctest::Approx(4 * cost.stages[1].samples));
}

TEST_CASE("at a point stages side by side are equally far, and stages of a chain take turns") {
  const Strategy tdts = open_strategy(config_file("tdts.toml"));
  const Strategy boost = open_strategy(config_file("resolution_boost.toml"));
  using Steps = std::vector<int64_t>;
  CHECK(steps_at(tdts, {1000, 400}, {4, 1}, 0.25) == Steps{250, 100});
  // A step at half size costs a quarter; each stage has half of the operations.
  CHECK(steps_at(boost, {400, 100}, {1, 4}, 0.25) == Steps{200, 0});
  CHECK(steps_at(boost, {400, 100}, {1, 4}, 0.75) == Steps{400, 50});
  CHECK(steps_at(boost, {400, 100}, {1, 4}, 1) == Steps{400, 100});
  CHECK(steps_at(boost, {400, 100}, {1, 4}, 1e-6) == Steps{1, 0});
}

TEST_CASE("assignments reach every stage or the one that they name") {
  const Strategy s = open_strategy(config_file("tdts.toml"),
                                   {"seed=7", "texture.latent_crop=4", "texture.share=0.3"});
  CHECK(s.stages[0].config.seed == 7);
  CHECK(s.stages[0].config.latent_crop == 0);
  CHECK(s.stages[1].config.latent_crop == 4);
  CHECK(s.stages[1].share == doctest::Approx(0.3 / 1.1));
  CHECK(contains(refusal_of([] { open_strategy(config_file("tdts.toml"), {"textur.seed=1"}); }),
                 "'textur'"));
}

TEST_CASE("stages that cannot draw together are refused") {
  const TestFolder folder;
  folder.write("base.toml", std::string("output_dir = \"o\"\ntrain_data_dir = [\"d\"]\n"
                                        "network_config = \"n\"\nmodel_dir = \"m\"\n"));
  const auto refusal = [&](const std::string& stages) {
    const std::string file = folder.write("s.toml", "base = \"base.toml\"\n" + stages);
    return refusal_of([&] { open_strategy(file); });
  };
  CHECK(refusal("[[stage]]\nname = \"a\"\n") == "accepted");
  CHECK(contains(refusal(""), "[[stage]]"));
  CHECK(contains(refusal("[[stage]]\nname = \"a\"\nmin_timestep = 500\n"), "down to 500"));
  CHECK(contains(refusal("[[stage]]\nname = \"a\"\nmin_timestep = 500\n"
                         "[[stage]]\nname = \"b\"\nmax_timestep = 400\n"),
                 "meet at 500"));
  CHECK(contains(refusal("[[stage]]\nname = \"a\"\nbegin_from = \"b\"\n"), "begin_from"));
  CHECK(contains(refusal("[[stage]]\nname = \"a\"\nresolutoin = 64\n"), "resolutoin"));
  CHECK(contains(refusal("[[stage]]\nname = \"a\"\n[[stage]]\nname = \"a\"\n"), "two 'a'"));
}

TEST_CASE("a plan has every stage on every number of devices, in what its settings take") {
  PlanConfig plan = plan_like_the_paper();
  plan.devices = {1, 8};
  plan.zero_stages = {0, 2};
  plan.samples_a_device = 4;
  plan.many_devices_overhead = 0.5;
  plan.hardware = {"slow", "fast"};
  plan.hardware_gflop_per_second = {10, 20};
  plan.hardware_memory_gb = {16, 16};
  CostSources sources = even_sources(plan);
  sources.activations = [](const Stage& stage, int64_t side) {
    return double(side) * (stage.config.gradient_checkpointing ? 100 : 1000);
  };
  Strategy strategy;
  for (const char* name : {"a", "b"}) {
    Stage& stage = strategy.stages.emplace_back();
    stage.name = name;
    stage.config.resolution = 256;
    stage.config.gradient_checkpointing = stage.name == "b";
  }
  strategy.stages[1].config.optimizer = "muon";  // which zero_stage 2 is not for
  StrategyCost cost;
  cost.stages.resize(2);
  cost.stages[0].gflop = 3600 * 10 * 8;  // 8 hours of one slow device
  cost.stages[1].gflop = 3600 * 10 * 16;
  const auto costs = device_costs(plan, strategy, cost, sources);
  REQUIRE(costs.size() == 4 + 2);
  const double side = double(latent_side(strategy.stages[0].config, sources.downscale));
  for (const DeviceCost& one : costs) {
    CHECK(one.activation_bytes == doctest::Approx(4 * side * (one.stage == "a" ? 1000 : 100) * 2));
    CHECK(one.bytes() == one.state_bytes + one.activation_bytes);
  }
  const DeviceCost& shared = costs[3];
  CHECK(shared.stage == "a");
  CHECK(shared.sharing.devices == 8);
  CHECK(shared.sharing.zero_stage == 2);
  const double parameters = sources.parameters(strategy.stages[0]);
  CHECK(shared.state_bytes == doctest::Approx(parameters * (2 + 18.0 / 8)));
  CHECK(shared.sent_bytes == doctest::Approx(parameters * 6 * 7 / 8));
  CHECK(shared.hours == std::vector<double>{1.5, 0.75});
  CHECK(costs[5].hours == std::vector<double>{3, 1.5});
  plan.devices.clear();
  CHECK(device_costs(plan, strategy, cost, sources).empty());
}

TEST_CASE("a plan recommends what fits, then more pictures, then cheaper drawing") {
  PlanConfig plan = plan_like_the_paper();
  StrategyCost small, large;
  small.stages.resize(1);
  small.pictures = large.pictures = 100;
  small.gflop_a_picture = 1;
  large.gflop_a_picture = 2;
  small.trained_at_once = 1e9;
  large.trained_at_once = 2e9;
  large.stages = small.stages;
  CHECK(recommendation(plan, {large, small}).strategy == 1);
  large.pictures = 148;
  CHECK(recommendation(plan, {large, small}).strategy == 0);
  plan.hardware = {"a device"};
  plan.hardware_gflop_per_second = {100};
  plan.hardware_memory_gb = {30};
  CHECK(recommendation(plan, {large, small}).strategy == 1);
  plan.hardware_memory_gb = {10};
  CHECK(contains(recommendation(plan, {large, small}).why, "no strategy fits"));
  CHECK(percent_against(148, 100) == "+48.0 %");
  CHECK(percent_against(50, 100) == "-50.0 %");
}

}  // namespace
}  // namespace pangu::train
