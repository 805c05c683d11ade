// Tests judging bridges with closed forms: what is measured, and which candidate is kept.
#include "eval/bridge_judge.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <limits>

namespace pangu::eval {
namespace {

TEST_CASE("a bridge is measured by decoded pictures and by latents in deviations") {
  const auto decode = [](const at::Tensor& z) { return z.slice(1, 0, 1) / 10; };
  nn::LatentConverterConfig config;
  config.to_mean = {0, 0};
  config.to_std = {1, 4};
  const at::Tensor real = at::stack({at::full({4, 4}, 1.0f), at::full({4, 4}, 4.0f)});
  const BridgeJudge judge({{at::zeros({3, 2, 2}), real}}, decode, config);
  const auto at_ = [&](double first, double second) {
    return judge([=](const at::Tensor& from, const at::Tensor& like) {
      REQUIRE(from.sizes() == at::IntArrayRef({1, 3, 2, 2}));
      return at::stack({like[0][0] + first, like[0][1] + second}).unsqueeze(0);
    });
  };
  CHECK(at_(0, 0).psnr_db == doctest::Approx(10 * std::log10(4 / 1e-10)));
  CHECK(at_(0, 0).relative_error == 0.0);
  // The picture has a range of 20 and is off by 2, which is 20 dB. The second channel has no
  // effect.
  CHECK(at_(2, 0).psnr_db == doctest::Approx(20));
  CHECK(at_(0, 4).psnr_db > 100);
  CHECK(at_(1, 4).relative_error == doctest::Approx(1.0));
}

TEST_CASE("the candidate of the highest PSNR is kept, and one that is no number never") {
  const auto kept = [](std::vector<double> psnr_db) {
    std::vector<BridgeCandidate> candidates;
    for (const double value : psnr_db) {
      candidates.push_back({std::to_string(candidates.size()), {value, 0}, {}});
    }
    return best_of(candidates).name;
  };
  const double none = std::numeric_limits<double>::quiet_NaN();
  CHECK(kept({22, 21}) == "0");
  CHECK(kept({22, 23}) == "1");
  CHECK(kept({22, 22}) == "0");
  CHECK(kept({22, none}) == "0");
  CHECK(kept({none, 20}) == "1");
  CHECK(kept({none, none}) == "0");
  CHECK(kept({22, -std::numeric_limits<double>::infinity()}) == "0");
}

}  // namespace
}  // namespace pangu::eval
