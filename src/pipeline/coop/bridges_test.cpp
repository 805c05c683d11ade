#include "pipeline/coop/bridges.h"

#include <ATen/ATen.h>

#include <cmath>

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

BridgeEnd end(const std::string& name, double scale) {
  BridgeEnd e;
  e.name = name;
  e.space.encoder = name;
  e.channels = 3;
  e.downscale = 1;
  e.width = 8;
  e.height = 4;
  e.decode = [scale](const at::Tensor& x) { return x / scale; };
  e.encode = [scale](const at::Tensor& x) { return x * scale; };
  return e;
}

TEST_CASE("resampling of planes is the resizing of pictures but for bytes") {
  image::Image picture{7, 5, 3, {}};
  for (int i = 0; i < 7 * 5 * 3; ++i) picture.pixels.push_back(uint8_t(60 + i * 37 % 128));
  const at::Tensor planes =
      at::from_blob(picture.pixels.data(), {5, 7, 3}, at::kByte).to(at::kFloat).permute({2, 0, 1});
  for (const char* name : {"nearest", "bilinear", "bicubic", "lanczos"}) {
    for (const auto& [w, h] : {std::pair{13, 9}, {4, 3}, {7, 9}}) {
      const image::Image want = image::resize(picture, w, h, filter_from(name));
      const at::Tensor got = resampled(planes.unsqueeze(0), h, w, filter_from(name))[0]
                                 .permute({1, 2, 0})
                                 .contiguous();
      REQUIRE(got.numel() == static_cast<int64_t>(want.pixels.size()));
      double worst = 0;
      for (size_t i = 0; i < want.pixels.size(); ++i) {
        worst = std::max(worst, std::abs(got.data_ptr<float>()[i] - double(want.pixels[i])));
      }
      CHECK_MESSAGE(worst <= 1.5, name);  // two roundings, one for each axis
    }
  }
  CHECK(contains(refusal_of([] { filter_from("box"); }), "lanczos"));
}

TEST_CASE("a bridge is picked as asked, by what both ends have") {
  const BridgeEnd a = end("a", 2.0);
  BridgeEnd b = end("b", 3.0);
  const at::Tensor x = at::ones({1, 3, 4, 8});
  const auto exact = pick_bridge("auto", a, b, {});
  CHECK(exact.kind == BridgeKind::kExact);
  CHECK(at::allclose(exact.cross(x), x * 1.5));
  CHECK(pick_bridge("learned", a, a, {}).kind == BridgeKind::kIdentity);

  LearnedBridge learned;
  learned.from.encoder = "a", learned.to.encoder = "b", learned.path = "file";
  learned.convert = [](const at::Tensor& t, int64_t, int64_t) { return t * 7; };
  CHECK(at::allclose(pick_bridge("auto", a, b, {learned}).cross(x), x * 7));
  CHECK(pick_bridge("exact", a, b, {learned}).kind == BridgeKind::kExact);
  CHECK(pick_bridge("auto", b, a, {learned}).kind == BridgeKind::kExact);

  // A bridge that was trained for the spaces "a" and "b" serves their encoders at any scale.
  BridgeEnd scaled = b;
  scaled.space = {"b", 2.0, 0.5};
  CHECK(at::allclose(pick_bridge("auto", a, scaled, {learned}).cross(x), x * 13));
  learned.from.encoder = "b", learned.to.encoder = "a";
  CHECK(at::allclose(pick_bridge("auto", scaled, a, {learned}).cross(x), x * 7));
  const auto identity = pick_bridge("exact", scaled, b, {});
  CHECK(identity.kind == BridgeKind::kIdentity);
  CHECK(at::allclose(identity.cross(x), x));
  CHECK(at::allclose(pick_bridge("exact", b, scaled, {}).cross(x * 3), x * 5));

  b.tiny_encode = [](const at::Tensor& t) { return t * 5; };
  // One end has no tiny autoencoder.
  CHECK(pick_bridge("auto", a, b, {}).kind == BridgeKind::kExact);
  CHECK(at::allclose(pick_bridge("tiny", a, b, {}).cross(x), x * 2.5));

  BridgeEnd other = a;
  other.width = 16;
  CHECK(pick_bridge("auto", a, other, {}).kind == BridgeKind::kExact);
  CHECK(pick_bridge("auto", a, other, {}).cross(x).size(3) == 16);
}

TEST_CASE("a bridge that cannot be is refused by the member's name") {
  const BridgeEnd a = end("a", 2.0);
  BridgeEnd b = end("b", 3.0);
  CHECK(contains(refusal_of([&] { pick_bridge("learned", a, b, {}); }), "'a' to 'b'"));
  CHECK(contains(refusal_of([&] { pick_bridge("tiny", a, b, {}); }), "'a' to 'b'"));
  CHECK(contains(refusal_of([&] { pick_bridge("quick", a, b, {}); }), "exact"));
  b.encode = {};
  CHECK(contains(refusal_of([&] { pick_bridge("auto", a, b, {}); }), "member 'b'"));
  b.decode = {};
  CHECK(contains(refusal_of([&] { pick_bridge("auto", b, a, {}); }), "member 'b'"));
}

}  // namespace
}  // namespace pangu::pipeline
