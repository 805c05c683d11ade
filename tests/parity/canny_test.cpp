// Compares every pixel of Canny's edges with tools/parity/dump_canny.py, a second implementation of
// OpenCV's algorithm in numpy. The reference is made when the test runs; without a Python that has
// numpy the case says so loudly.
#include "image/canny.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "tensors/safetensors.h"

namespace pangu::image {
namespace {

Image picture_of(const at::Tensor& hwc) {
  const at::Tensor bytes = hwc.contiguous();
  const auto* first = bytes.const_data_ptr<uint8_t>();
  return {static_cast<int>(hwc.size(1)), static_cast<int>(hwc.size(0)), 3,
          std::vector<uint8_t>(first, first + bytes.numel())};
}

TEST_CASE("Canny's edges are OpenCV's, pixel by pixel") {
  const parity::Dump dump("safetensors.numpy", "dump_canny.py");
  if (!dump.made()) return;
  const nn::TensorMap t =
      tensors::load_safetensors((dump.folder() / "tensors.safetensors").string());
  int cases = 0;
  int64_t pixels = 0, edges = 0, differing = 0;
  for (const auto& [key, picture] : t) {
    if (!key.ends_with("/picture")) continue;
    const std::string name = key.substr(0, key.rfind('/'));
    CAPTURE(name);
    const at::Tensor options = t.at(name + "/options"), wanted = t.at(name + "/edges");
    const Image found = canny(
        picture_of(picture),
        {options[0].item<double>(), options[1].item<double>(), options[2].item<double>() != 0});
    const auto* want = wanted.const_data_ptr<uint8_t>();
    int64_t wrong = 0;
    for (int64_t i = 0; i < wanted.numel(); ++i) {
      wrong += found.pixels[static_cast<size_t>(3 * i)] != want[i];
      edges += want[i] != 0;
    }
    CHECK(wrong == 0);
    differing += wrong;
    pixels += wanted.numel();
    ++cases;
  }
  CHECK(cases == 50);
  CHECK(edges > 10000);
  parity::report("canny (" + std::to_string(pixels) + " pixels)", double(differing), 0);
}

}  // namespace
}  // namespace pangu::image
