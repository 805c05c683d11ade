#include "pipeline/families/scheduler_config.h"

#include <doctest/doctest.h>

#include "pipeline/families/spec.h"

using namespace pangu;
using namespace pangu::pipeline;

TEST_CASE("ddim's end is the files' own, in single files that of diffusers' configurations") {
  const auto ends_at_zero = [](io::Family family, const char* scheduler) {
    Source source;
    source.what.family = family;
    source.spec = &spec_of(family);
    source.scheduler = nlohmann::json::parse(scheduler);
    return sigma_options_of(source).final_sigma == diffusion::FinalSigma::kZero;
  };
  using io::Family;
  for (const Family family : {Family::kStableDiffusion1, Family::kStableDiffusion2, Family::kSdxl,
                              Family::kSdxlRefiner}) {
    CHECK(!ends_at_zero(family, "null"));
    CHECK(!ends_at_zero(family, R"({"set_alpha_to_one": false})"));
    CHECK(ends_at_zero(family, R"({"set_alpha_to_one": true})"));
    CHECK(ends_at_zero(family, R"({"steps_offset": 1})"));
  }
  CHECK(ends_at_zero(Family::kPanguDraw3, "null"));
}
