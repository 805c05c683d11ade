// Compares samplers, lists of noise levels and noise sources with diffusers, NumPy and torch, and
// with formulas written again in Python. The reference is made when the test runs, by
// tools/parity/dump_samplers.py; without a Python that has diffusers the cases say so loudly and
// pass. The network is a closed form on both sides, so that only the sampler is compared.
#include "diffusion/samplers/samplers.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "case.h"
#include "diffusion/consistency.h"
#include "diffusion/image_noise.h"
#include "diffusion/parameterisation.h"
#include "tensors/safetensors.h"

namespace pangu::diffusion {
namespace {

// diffusers keeps sigmas and latents in f32; ours are f64.
constexpr double kPathBound = 1e-5;
// The formulas of the Python side are f64 too.
constexpr double kFormulaBound = 1e-12;
// diffusers' table is a product of a thousand f32 numbers. Lists are compared with the table in
// f64, but their sigmas, and t where it is not whole, are rounded to f32.
constexpr double kTableBound = 5e-6, kListBound = 5e-7, kTimestepBound = 1e-7;

struct Reference {
  parity::Dump dump{"diffusers", "dump_samplers.py"};
  nlohmann::json cases = nlohmann::json::array();
  nn::TensorMap tensors;

  Reference() {
    if (!dump.made()) return;
    cases = parity::read_json(dump.folder() / "cases.json");
    tensors = tensors::load_safetensors((dump.folder() / "tensors.safetensors").string());
  }
  at::Tensor tensor(const nlohmann::json& one, const std::string& key) const {
    const auto found = tensors.find(one["name"].get<std::string>() + "/" + key);
    return found == tensors.end() ? at::Tensor() : found->second;
  }
};

const Reference& reference() {
  static const Reference made;
  return made;
}

// The worst error of the cases of one kind by group, printed as one line a group.
class Groups {
 public:
  void add(const std::string& group, const std::string& name, double error, double bound) {
    Group& g = groups_[group];
    ++g.count;
    g.bound = bound;
    if (!(error <= g.error)) g.error = error;
    CHECK_MESSAGE(error <= bound, name, ": error ", error);
  }
  void report() const {
    CHECK(!groups_.empty());
    for (const auto& [group, g] : groups_) {
      parity::report(group + " (" + std::to_string(g.count) + ")", g.error, g.bound);
    }
  }

 private:
  struct Group {
    size_t count = 0;
    double error = 0.0, bound = 0.0;
  };
  std::map<std::string, Group> groups_;
};

SigmaList list_of(const at::Tensor& tensor) {
  const at::Tensor flat = tensor.to(at::kDouble).contiguous();
  return {flat.const_data_ptr<double>(), flat.const_data_ptr<double>() + flat.numel()};
}

Schedule schedule_of(bool zero_snr) {
  ScheduleConfig config;
  config.rescale_betas_zero_snr = zero_snr;
  return Schedule(config);
}

// "euler EulerDiscrete epsilon n=12 leading" -> "euler EulerDiscrete"
std::string first_words(const std::string& name, int count) {
  size_t end = 0;
  for (int i = 0; i < count && end != std::string::npos; ++i) end = name.find(' ', end + 1);
  return name.substr(0, end);
}

// The mixture of dump_samplers.py, behind a network of the given parameterisation.
Denoiser mixture(Parameterisation kind, const Schedule& schedule) {
  const Net net = [kind, schedule](const at::Tensor& x_net, double t_index) {
    constexpr double kSpread2 = 0.4 * 0.4;
    const double sigma = schedule.sigma_of_t(t_index), spread = kSpread2 + sigma * sigma;
    const at::Tensor x = x_net / schedule.input_scale(sigma);
    const at::Tensor x0 = (x * kSpread2 + at::tanh(x / spread) * (sigma * sigma)) / spread;
    return prediction_from(kind, x0, (x - x0) / sigma, schedule.coefficients(sigma));
  };
  return denoise_with(net, kind, schedule);
}

SamplerOptions options_of(const nlohmann::json& json) {
  SamplerOptions options;
  if (json.contains("eta")) options.eta = json["eta"].get<double>();
  if (json.contains("order")) options.order = json["order"].get<int>();
  return options;
}

TEST_CASE("every sampler follows its reference step by step") {
  Groups groups;
  for (const auto& one : reference().cases) {
    if (one["kind"] != "path") continue;
    const std::string name = one["name"];
    CAPTURE(name);
    const Schedule schedule = schedule_of(one["zero_snr"]);
    Denoiser D = mixture(parameterisation_from(one["prediction"]), schedule);
    if (one["consistency"]) D = consistency(D, schedule);
    const at::Tensor noise = reference().tensor(one, "noise"),
                     want = reference().tensor(one, "path");
    int64_t given = 0;
    const NoiseSource recorded = [&](const NoiseDraw&) {
      REQUIRE(noise.defined());
      REQUIRE(given < noise.size(0));
      return Latents(noise[given++]);
    };
    double error = 0.0;
    int64_t steps = 0;
    find_sampler(one["sampler"])
        .sample(
            D, reference().tensor(one, "start"), list_of(reference().tensor(one, "sigmas")),
            recorded,
            [&](const StepInfo& info) {
              REQUIRE(steps < want.size(0));
              const double here = parity::relative(info.x.one(), want[steps++]);
              if (!(here <= error)) error = here;
              return true;
            },
            options_of(one["options"]));
    CHECK(steps == want.size(0));
    const bool formula = name.find(" formula ") != std::string::npos;
    groups.add("sampler " + first_words(name, 2), name, error,
               formula ? kFormulaBound : kPathBound);
  }
  if (reference().dump.made()) groups.report();
}

TEST_CASE(
    "lists and timesteps are diffusers' and the web UIs' for every family, spacing and curve") {
  const std::map<std::string, TimestepRule> rules = {{"euler", TimestepRule::kEuler},
                                                     {"ddim", TimestepRule::kDdim},
                                                     {"dpm_solver", TimestepRule::kDpmSolver}};
  Groups groups;
  const auto difference = [](const std::vector<double>& got, const std::vector<double>& want) {
    double worst = got.size() < want.size() ? INFINITY : 0.0;
    for (size_t i = 0; i < std::min(got.size(), want.size()); ++i) {
      worst = std::max(worst, std::abs(got[i] - want[i]) / std::max(std::abs(want[i]), 1e-3));
    }
    return worst;
  };
  for (const auto& one : reference().cases) {
    if (one["kind"] == "table") {
      const auto want = list_of(reference().tensor(one, "alpha_bars"));
      const bool zero_snr = one["zero_snr"];
      groups.add("table of alpha bars, " + one["name"].get<std::string>(), one["name"],
                 difference(schedule_of(zero_snr).alpha_bars(), want), kTableBound);
    }
    if (one["kind"] != "list") continue;
    const std::string name = one["name"], list = one["list"];
    const int64_t n = one["n"];
    const Schedule schedule = schedule_of(one["zero_snr"]);
    SigmaOptions options;
    options.spacing = spacing_from(one["spacing"]);
    options.timestep_rule = rules.at(one["rule"]);
    options.steps_offset = one["offset"];
    options.linear_interpolation = true;
    options.ends_of_timesteps = one["ends"];
    if (one["table"] == "sdxl") options.align_your_steps = AlignYourSteps::kSdxl;
    if (one.contains("rho")) options.rho = one["rho"].get<double>();
    const at::Tensor t = reference().tensor(one, "timesteps");
    if (t.defined()) {
      const auto got =
          list == "lcm" ? lcm_timesteps(schedule, n) : spaced_timesteps(schedule, n, options);
      CHECK(got.size() == static_cast<size_t>(t.numel()));
      groups.add("timesteps " + first_words(name, 2), name, difference(got, list_of(t)),
                 kTimestepBound);
    }
    const at::Tensor sigmas = reference().tensor(one, "sigmas");
    if (!sigmas.defined()) continue;
    const bool formula = name.find(" formula") != std::string::npos;
    const SigmaList got = make_sigmas(list, schedule, n, options), want = list_of(sigmas);
    if (formula) CHECK(got.size() == want.size());
    groups.add("sigmas " + first_words(name, 2), name, difference(got, want),
               formula ? kFormulaBound : kListBound);
  }
  if (reference().dump.made()) groups.report();
}

TEST_CASE("image-to-image keeps as many steps as diffusers' pipelines") {
  for (const auto& one : reference().cases) {
    if (one["kind"] != "tail") continue;
    const at::Tensor rows = reference().tensor(one, "rows");
    for (int64_t i = 0; i < rows.size(0); ++i) {
      const auto n = rows[i][0].item<int64_t>();
      const double strength = rows[i][1].item<double>();
      const auto kept = static_cast<size_t>(rows[i][2].item<int64_t>());
      CAPTURE(n);
      CAPTURE(strength);
      const SigmaList all = karras_sigmas(n, 0.03, 14.0);
      if (kept == 0) {
        CHECK_THROWS(tail_of(all, strength));
      } else {
        CHECK(tail_of(all, strength).size() == kept + 1);
      }
    }
    parity::report("image-to-image steps (" + std::to_string(rows.size(0)) + ")", 0.0, 0.0);
  }
}

TEST_CASE("noise is NumPy's and torch's to the last bit, draw after draw") {
  Groups groups;
  for (const auto& one : reference().cases) {
    if (one["kind"] != "noise") continue;
    ImageNoise noise(noise_kind_from(one["noise"]), {one["seed"].get<uint64_t>()});
    double error = 0.0;
    for (size_t i = 0; i < one["shapes"].size(); ++i) {
      const at::Tensor got = noise.next(one["shapes"][i].get<std::vector<int64_t>>());
      const at::Tensor want = reference().tensor(one, std::to_string(i));
      REQUIRE(got[0].sizes() == want.sizes());
      error = std::max(error, parity::relative(got[0], want));
    }
    groups.add("noise " + first_words(one["name"], 1), one["name"], error, 0.0);
  }
  if (reference().dump.made()) groups.report();
}

TEST_CASE("a drawing with torch-cpu noise ends where diffusers' ends") {
  Groups groups;
  for (const auto& one : reference().cases) {
    if (one["kind"] != "drawing") continue;
    const std::string name = one["name"];
    CAPTURE(name);
    const Schedule schedule;
    Denoiser D = mixture(Parameterisation::kEps, schedule);
    if (one["consistency"]) D = consistency(D, schedule);
    const SigmaList sigmas = list_of(reference().tensor(one, "sigmas"));
    const at::Tensor want = reference().tensor(one, "end");
    ImageNoise noise(NoiseKind::kTorchCpu, one["seeds"].get<std::vector<uint64_t>>());
    const double high = sigmas.front();
    const double scale = one["unit_variance"] ? std::sqrt(1.0 + high * high) : high;
    const Latents x(noise.next(want.sizes().slice(1).vec()) * scale);
    const Latents end = find_sampler(one["sampler"]).sample(D, x, sigmas, noise.steps(x), {});
    // Both sides compute in f32.
    groups.add("drawing " + name, name, parity::relative(end.one(), want), kPathBound);
  }
  if (reference().dump.made()) groups.report();
}

}  // namespace
}  // namespace pangu::diffusion
