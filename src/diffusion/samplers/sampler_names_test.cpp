#include "diffusion/samplers/sampler_names.h"

#include <doctest/doctest.h>

#include <map>
#include <set>

#include "core/error.h"
#include "diffusion/samplers/samplers.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {
namespace {

TEST_CASE(
    "A sampler is found by the names that A1111, ComfyUI, k-diffusion and diffusers give it") {
  const std::map<std::string, std::string> names = {
      {"euler", "euler"},
      {"Euler a", "euler_a"},
      {"euler_ancestral", "euler_a"},
      {"k_euler_a", "euler_a"},
      {"EulerAncestralDiscreteScheduler", "euler_a"},
      {"DPM++ 2M", "dpmpp_2m"},
      {"dpm++2m", "dpmpp_2m"},
      {"DPM++ 2S a", "dpmpp_2s_a"},
      {"dpmpp_2s_ancestral", "dpmpp_2s_a"},
      {"DPM++ SDE", "dpmpp_sde"},
      {"dpmpp_2m_sde", "dpmpp_2m_sde"},
      {"dpmpp_2m_sde_gpu", "dpmpp_2m_sde"},
      {"DPM2 a", "dpm2_a"},
      {"dpm_2_ancestral", "dpm2_a"},
      {"uni_pc", "unipc"},
      {"UniPC", "unipc"},
      {"DPMSolverMultistepScheduler", "dpmpp_2m"},
      {"LCM", "lcm"},
  };
  for (const auto& [name, own] : names) {
    CAPTURE(name);
    CHECK(named_sampler(name).sampler == own);
    CHECK(!named_sampler(name).schedule);
  }
}

TEST_CASE("A name of A1111 that ends with a schedule says both") {
  const auto check = [](const char* name, const char* sampler, const char* schedule) {
    CAPTURE(name);
    CHECK(named_sampler(name).sampler == sampler);
    CHECK(named_sampler(name).schedule.value_or("none") == schedule);
  };
  check("DPM++ 2M Karras", "dpmpp_2m", "karras");
  check("DPM++ 2M SDE Exponential", "dpmpp_2m_sde", "exponential");
  check("DPM++ 2M SDE Polyexponential", "dpmpp_2m_sde", "polyexponential");
  check("Euler a SGM Uniform", "euler_a", "sgm_uniform");
  check("dpmpp_2m_karras", "dpmpp_2m", "karras");
  check("DDIM DDIM", "ddim", "ddim_uniform");
}

TEST_CASE("A schedule is found by the names of A1111 and ComfyUI, and automatic is the model's") {
  CHECK(named_schedule("SGM Uniform") == "sgm_uniform");
  CHECK(named_schedule("Align Your Steps") == "align_your_steps");
  CHECK(named_schedule("KL Optimal") == "kl_optimal");
  CHECK(named_schedule("ddim_uniform") == "ddim_uniform");
  CHECK(named_schedule("Uniform") == "normal");
  CHECK(!named_schedule("Automatic"));
}

TEST_CASE("A wrong name is refused with the nearest right ones") {
  CHECK_THROWS_WITH_AS(named_sampler("eular"),
                       doctest::Contains("found 'eular'. Hint: did you mean 'euler'?"), Error);
  CHECK_THROWS_WITH_AS(named_schedule("karas"), doctest::Contains("did you mean 'karras'?"), Error);
  CHECK_THROWS_WITH_AS(named_sampler(""), doctest::Contains("one of euler, heun"), Error);
  CHECK_THROWS_WITH_AS(named_sampler("Karras"), doctest::Contains("one of euler, heun"), Error);
}

TEST_CASE("No two samplers and no two schedules share a name") {
  const auto check = [](const auto& entries, const auto& found) {
    for (const auto& entry : entries) {
      std::vector<std::string> names = entry.other_names;
      names.push_back(entry.name);
      if (!entry.web_name.empty()) names.push_back(entry.web_name);
      for (const std::string& name : names) {
        CAPTURE(name);
        CHECK(found(name) == entry.name);
      }
    }
  };
  check(samplers(), [](const std::string& name) { return named_sampler(name).sampler; });
  check(sigma_rules(), [](const std::string& name) { return named_schedule(name).value_or(""); });
}

}  // namespace
}  // namespace pangu::diffusion
