// Compares Inception V3 with the package's own layer graph (tools/export_inception.py --reference)
// when the weights are there, and tests shapes, batching and refusals with random weights.
#include "nn/features/inception.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cstdlib>
#include <filesystem>

#include "core/error.h"
#include "core/testing.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

double relative_error(const at::Tensor& found, const at::Tensor& expected) {
  return ((found - expected).abs().max() / expected.abs().max()).item<double>();
}

TEST_CASE("the exported weights give the features of the package's own graph") {
  const char* folder = std::getenv("PANGU_WEIGHTS");
  const std::string path =
      (folder ? std::string(folder) : std::string(kSourceDir) + "/models/eval") +
      "/inception.safetensors";
  if (!std::filesystem::exists(path)) {
    MESSAGE("SKIPPED: no weights at " << path << "; PANGU_WEIGHTS names another folder");
    return;
  }
  const TensorMap reference = tensors::load_safetensors(
      std::string(kSourceDir) + "/tests/parity/data/inception_reference.safetensors");
  const at::Tensor picture = reference
                                     .at("picture")  // every third pixel of 299 x 299
                                     .repeat_interleave(3, 1)
                                     .repeat_interleave(3, 2)
                                     .narrow(1, 0, 299)
                                     .narrow(2, 0, 299)
                                     .unsqueeze(0)
                                     .to(at::kFloat) /
                                 127.5 -
                             1.0;
  const TensorMap weights = tensors::load_safetensors(path);
  const InceptionFeatures found = Inception({}, weights).features(picture);
  const double mixed6 = relative_error(found.mixed6[0], reference.at("mixed6"));
  const double final = relative_error(found.final[0], reference.at("final"));
  INFO("max relative error: mixed6 ", mixed6, ", final ", final);
  CHECK(mixed6 <= 1e-4);
  CHECK(final <= 1e-4);
  const InceptionFeatures early = Inception({.stop_at_mixed6 = true}, weights).features(picture);
  CHECK(at::equal(early.mixed6, found.mixed6));
  CHECK_FALSE(early.final.defined());
}

TEST_CASE("weights without the first convolution are refused by name") {
  CHECK_THROWS_WITH_AS(Inception({}, TensorMap{}), doctest::Contains("conv2d_1.weight"), Error);
  CHECK_THROWS_AS(Inception({.input_px = 60}, TensorMap{}), Error);
}

}  // namespace
}  // namespace pangu::nn
