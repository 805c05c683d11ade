// Compares Coop-Diffusion with algorithm 1 as the paper writes it (tools/coop_reference.py: noise
// predictions, alpha-bar, DDIM, f64) on diffusers' modules: the latents of every member after every
// step, in both forms of the paper. tools/parity/dump_coop.py makes tiny models with random weights
// when the test runs; without a Python that has diffusers the case says so loudly and passes.
#include "pipeline/coop/coop.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "case.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

// 20 guided steps, in f32 here and f64 there: measured 6e-6, on other processors perhaps a few
// times that.
constexpr double kBound = 5e-5;

struct Step {
  std::vector<at::Tensor> parts;
  double sigma;
};

TEST_CASE("coop_reference: both latents follow the paper's algorithm step by step") {
  const parity::Dump dump("diffusers", "dump_coop.py");
  if (!dump.made()) return;
  std::map<std::string, Model> opened;
  CoopSetup setup;
  setup.load.dtype = "f32";
  setup.open_model = [&](const std::string& path, const LoadOptions& options) {
    if (!opened.count(path)) opened.emplace(path, load_model(path, options));
    return opened.at(path);
  };
  for (const auto& one : parity::read_json(dump.folder() / "cases.json")) {
    const std::string name = one["name"];
    const auto wanted =
        tensors::load_safetensors((dump.folder() / (name + ".safetensors")).string());
    const Cooperation coop = assemble(recipe_from_json(one["recipe"]), setup);
    std::vector<Step> path;
    DrawHooks hooks;
    hooks.on_latents = [&](const diffusion::StepInfo& info) {
      Step step{{}, info.sigma_next};
      for (const at::Tensor& part : info.x.parts) step.parts.push_back(part.clone());
      path.push_back(std::move(step));
    };
    draw(coop, hooks);

    const at::Tensor ab = wanted.at("ab");
    REQUIRE(static_cast<int64_t>(path.size()) == ab.size(0));
    const auto compared = one["compared"].get<std::vector<size_t>>();
    parity::Worst worst;
    for (size_t i = 0; i < path.size(); ++i) {
      const double bar = ab[static_cast<int64_t>(i)].item<double>();
      for (size_t k = 0; k < path[i].parts.size() && k < compared.size(); ++k) {
        if (i >= compared[k]) continue;
        const std::string key = std::to_string(i) + "/" + std::to_string(k);
        const at::Tensor z = wanted.at(key), x = path[i].parts[k];
        worst.add(key + " as z_t", x / std::sqrt(1.0 + path[i].sigma * path[i].sigma), z);
        worst.add(key + " as x", x, z / std::sqrt(bar));
      }
    }
    worst.report("coop: " + name, kBound);
  }
}

}  // namespace
}  // namespace pangu::pipeline
