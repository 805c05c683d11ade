// Compares HED with the embedded weights with a second implementation in torch, and the outputs of
// the preprocessors with numpy (tools/parity/dump_hed.py). The reference is made when the test
// runs; without a Python that has torch the case says so loudly.
#include "nn/features/hed.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "core/testing.h"
#include "image/soft_edges.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;          // f32 sums of 4,608 products in another order
constexpr double kScribbleBound = 1e-3;  // share of pixels; a ridge can depend on the last bit

image::Image grey_picture(const at::Tensor& plane) {
  const at::Tensor rgb = plane.unsqueeze(2).expand({-1, -1, 3}).contiguous();
  const auto* first = rgb.const_data_ptr<uint8_t>();
  return {static_cast<int>(plane.size(1)), static_cast<int>(plane.size(0)), 3,
          std::vector<uint8_t>(first, first + rgb.numel())};
}

double share_differing(const image::Image& found, const at::Tensor& plane) {
  const image::Image wanted = grey_picture(plane);
  REQUIRE(found.pixels.size() == wanted.pixels.size());
  size_t differing = 0;
  for (size_t i = 0; i < wanted.pixels.size(); ++i) {
    differing += found.pixels[i] != wanted.pixels[i];
  }
  return double(differing) / double(wanted.pixels.size());
}

TEST_CASE("HED's side outputs and their fusion are those of its second statement") {
  const parity::Dump dump("torch", "dump_hed.py");
  if (!dump.made()) return;
  const TensorMap t = tensors::load_safetensors((dump.folder() / "tensors.safetensors").string());
  const Hed hed(
      tensors::load_safetensors(std::string(kSourceDir) + "/models/hed/model.safetensors"));
  parity::Worst worst;
  double safe = 0, scribble = 0;
  for (const auto& [key, picture] : t) {
    if (!key.ends_with("/picture")) continue;
    const std::string name = key.substr(0, key.rfind('/'));
    // The picture is bytes [H,W,3].
    const at::Tensor image = picture.permute({2, 0, 1}).unsqueeze(0).to(at::kFloat) / 127.5 - 1.0;
    worst.add(name, at::cat(hed.logits(image), 1)[0], t.at(name + "/logits"));
    const image::Image map = grey_picture(t.at("map/" + name));
    safe = std::max(safe, share_differing(image::safe_levels(map), t.at("safe/" + name)));
    scribble = std::max(scribble, share_differing(image::scribble(map), t.at("scribble/" + name)));
  }
  worst.report("hed", kBound);
  parity::report("hed, safe levels", safe, 0);
  parity::report("hed, scribble (share of pixels)", scribble, kScribbleBound);
}

}  // namespace
}  // namespace pangu::nn
