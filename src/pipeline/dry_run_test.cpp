#include "pipeline/dry_run.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/testing.h"
#include "diffusion/samplers/samplers.h"
#include "pipeline/coop/toy_models.h"

namespace pangu::pipeline {
namespace {

using namespace toys;

// Calls and rows of one network.
struct Count {
  int64_t calls = 0, rows = 0;
  bool operator==(const Count&) const = default;
};

Count count_of(const DryRun& run, const std::string& member, const std::string& network) {
  for (const NetworkUse& use : run.networks) {
    if (use.member == member && use.network == network) return {use.calls, use.rows};
  }
  return {};
}

int64_t crossings_from(const DryRun& run, const std::string& from) {
  int64_t sum = 0;
  for (const BridgeUse& use : run.bridges) sum += use.from == from ? use.crossings : 0;
  return sum;
}

// Models whose networks count while they draw.
CoopSetup counting_setup(std::map<std::string, Count>& counts) {
  CoopSetup counted = setup();
  counted.open_model = [open = counted.open_model, &counts](const std::string& path,
                                                            const LoadOptions& options) {
    Model model = open(path, options);
    const auto add = [&counts](const std::string& what, int64_t rows) {
      ++counts[what].calls;
      counts[what].rows += rows;
    };
    Expert& expert = model.denoising.experts.front();
    expert.predict = [=, predict = expert.predict](const at::Tensor& x, double t,
                                                   const NetInputs& inputs, const Watch& watch) {
      add(path + " net", x.size(0));
      return predict(x, t, inputs, watch);
    };
    model.latents.decode = [=, decode = model.latents.decode](const at::Tensor& z,
                                                              const Watch& watch) {
      add(path + " decoder", z.size(0));
      return decode(z, watch);
    };
    return model;
  };
  return counted;
}

nlohmann::json pair_recipe(const std::string& form) {
  return {{"prompt", "-"},
          {"steps", 6},
          {"form", form},
          {"member",
           {{{"name", "text"}, {"model", "text"}, {"hub", true}},
            {{"name", "lines"}, {"model", "lines"}, {"control_image", "-"}, {"to", 0.7}}}}};
}

TEST_CASE("a dry run of one model counts the forwards of its drawing, for every sampler") {
  for (const diffusion::Sampler& sampler : diffusion::samplers()) {
    CAPTURE(sampler.name);
    Toy toy;
    Request request = toy.request("a cat");
    request.sampler = sampler.name;
    request.styles = {"flat"};
    request.guidance_low = 1.0;  // below it rows are fewer
    const DryRun run = dry_run(toy.model, request);
    REQUIRE(toy.calls.empty());
    draw(toy.model, request);
    std::map<std::string, Count> drawn;
    for (size_t i = 0; i < toy.calls.size(); ++i) {
      ++drawn[toy.calls[i].first].calls;
      drawn[toy.calls[i].first].rows += toy.rows[i];
    }
    int64_t rows = 0;
    for (const char* expert : {"structure", "texture"}) {
      CHECK(count_of(run, "toy", expert) == drawn[expert]);
      rows += drawn[expert].rows;
    }
    CHECK(run.evaluations() == rows);
    CHECK(count_of(run, "toy", "decoder") == Count{1, 1});
  }
}

TEST_CASE("a dry run of several models counts their forwards and bridges, for every form") {
  for (const char* form : {"paper", "symmetric", "one_way"}) {
    for (const int every : {1, 3}) {
      CAPTURE(form);
      CAPTURE(every);
      nlohmann::json recipe = pair_recipe(form);
      recipe["bridge_every"] = every;
      std::map<std::string, Count> drawn;
      const Cooperation coop = assemble(recipe_from_json(recipe), counting_setup(drawn));
      const DryRun run = dry_run(coop);
      REQUIRE(drawn.empty());
      draw(coop);
      CHECK(count_of(run, "text", "net") == drawn["text net"]);
      CHECK(count_of(run, "lines", "net") == drawn["lines net"]);
      // A bridge through pixels decodes once, and so does the finished picture.
      CHECK(crossings_from(run, "text") + 1 == drawn["text decoder"].calls);
      CHECK(crossings_from(run, "lines") == drawn["lines decoder"].calls);
    }
  }
}

TEST_CASE("a dry run of a larger second stage counts how it is carried there") {
  Toy toy;
  Request request = toy.request("a cat");
  request.hires_scale = 2.0;
  request.hires_strength = 0.5;
  const DryRun run = dry_run(toy.model, request);
  int64_t decodings = 0, encodings = 0;
  for (const NetworkUse& use : run.networks) {
    if (use.part == NetworkPart::kDecoder) decodings += use.calls;
    if (use.part == NetworkPart::kEncoder) encodings += use.calls;
  }
  CHECK(decodings == 2);
  CHECK(encodings == 1);
  const nlohmann::json plan = plan_json(toy.model, request, {});
  REQUIRE(plan["stages"].size() == 2);
  CHECK(plan["stages"][0]["members"][0]["width"] == 64);
  CHECK(plan["stages"][1]["members"][0]["width"] == 128);
}

TEST_CASE("operations are estimated for all pictures, bridges included") {
  std::map<std::string, Count> drawn;
  CoopSetup counted = counting_setup(drawn);
  counted.open_model = [open = counted.open_model](const std::string& path,
                                                   const LoadOptions& options) {
    Model model = open(path, options);
    model.cost.row_gflop = [](int, int) { return 10.0; };
    model.cost.decode_gflop = [](int, int) { return 3.0; };
    model.cost.encode_gflop = [](int, int) { return 2.0; };
    model.cost.weight_bytes = 7;
    return model;
  };
  nlohmann::json recipe = pair_recipe("one_way");
  recipe["count"] = 2;
  const DryRun run = dry_run(assemble(recipe_from_json(recipe), counted));
  const double bridged = 5.0 * static_cast<double>(crossings_from(run, "lines"));
  const double forwards = 10.0 * static_cast<double>(run.evaluations());
  CHECK(run.gflop() == doctest::Approx(forwards + 2 * (bridged + 3.0)));
  CHECK(run.weight_bytes == 14);
  CHECK(to_json(run)["pictures"] == 2);
  CHECK(contains(to_table(run), "lines to text, exact"));
}

TEST_CASE("what draw refuses a dry run refuses, by the same words") {
  Toy toy;
  Request request = toy.request("a cat");
  request.width = 65;
  const std::string drawn = refusal_of([&] { draw(toy.model, request); });
  CHECK(contains(drawn, "width"));
  CHECK(refusal_of([&] { dry_run(toy.model, request); }) == drawn);
}

TEST_CASE("a dry run stops when its watch wants to") {
  Toy toy;
  const Watch watch{.wants_stop = [] { return true; }};
  CHECK_THROWS_AS(dry_run(toy.model, toy.request("a cat"), {}, watch), Stopped);
}

}  // namespace
}  // namespace pangu::pipeline
