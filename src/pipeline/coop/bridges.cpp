#include "pipeline/coop/bridges.h"

#include <ATen/ATen.h>

#include <cmath>
#include <cstdio>
#include <tuple>

#include "core/error.h"

namespace pangu::pipeline {
namespace {

at::Tensor matrix_of(image::Filter filter, int64_t old_size, int64_t new_size) {
  auto weights =
      image::resampling_matrix(filter, static_cast<int>(old_size), static_cast<int>(new_size));
  return at::from_blob(weights.data(), {new_size, old_size}, at::kFloat).clone();
}

// Makes a bridge through pixels.
PickedBridge through_pixels(const BridgeEnd& from, const BridgeEnd& to, bool tiny,
                            image::Filter filter) {
  const bool tiny_out = tiny && from.tiny_decode, tiny_in = tiny && to.tiny_encode;
  const auto& decode = tiny_out ? from.tiny_decode : from.decode;
  const auto& encode = tiny_in ? to.tiny_encode : to.encode;
  if (!decode) throw bad_input("member '" + from.name + "'", "a decoder", "none");
  if (!encode) throw bad_input("member '" + to.name + "'", "an encoder", "a decoder alone");
  PickedBridge picked;
  picked.kind = tiny ? BridgeKind::kTiny : BridgeKind::kExact;
  picked.why = std::string(tiny_out ? "tiny decoder" : "decoder") + " of " + from.name + ", " +
               (tiny_in ? "tiny encoder" : "encoder") + " of " + to.name;
  picked.cross = [decode, encode, to, filter](const at::Tensor& x0) {
    return encode(resampled(decode(x0), to.height, to.width, filter));
  };
  return picked;
}

// How far the ratio of the latent grids (target to source) is from the ratio that a bridge was
// trained at, as a logarithm; the worse of both sides counts.
double distance_of(const LearnedBridge& bridge, const BridgeEnd& from, const BridgeEnd& to) {
  if (bridge.grid_scale <= 0.0) return 0.0;
  const auto off = [&](int to_side, int from_side) {
    const double scale = double(to_side) / to.downscale * from.downscale / from_side;
    return std::abs(std::log(scale / bridge.grid_scale));
  };
  return std::max(off(to.width, from.width), off(to.height, from.height));
}

// Beyond this distance a learned bridge blurs, and "auto" takes another kind.
constexpr double kNearGrids = 0.05;

// Converts latents of `from` to those of `to`, for two spaces of one encoder.
std::function<at::Tensor(const at::Tensor&)> rescaling(const LatentSpace& from,
                                                       const LatentSpace& to) {
  if (from == to) return [](const at::Tensor& latents) { return latents; };
  return [map = linear_map(from, to)](const at::Tensor& latents) {
    return latents * map.first + map.second;
  };
}

const LearnedBridge* find_learned(const std::vector<LearnedBridge>& learned, const BridgeEnd& from,
                                  const BridgeEnd& to) {
  // The bridge with the smallest tuple is the best.
  const auto order = [&](const LearnedBridge& bridge) {
    return std::tuple(distance_of(bridge, from, to), !bridge.named, -bridge.psnr_db.value_or(0.0));
  };
  const LearnedBridge* best = nullptr;
  for (const LearnedBridge& bridge : learned) {
    if (!one_encoder(bridge.from, from.space) || !one_encoder(bridge.to, to.space)) continue;
    if (!best || order(bridge) < order(*best)) best = &bridge;
  }
  return best;
}

// The reason for a learned bridge: "models/bridges/bridge_x/A-to-B, 27.1 dB on held-out pictures
// (exact: 29.5)".
std::string reason_of(const LearnedBridge& bridge) {
  const auto decibels = [](double value) {
    char text[32];
    std::snprintf(text, sizeof text, "%.1f", value);
    return std::string(text);
  };
  if (!bridge.psnr_db) return bridge.path;
  std::string why = bridge.path + ", " + decibels(*bridge.psnr_db) + " dB on held-out pictures";
  if (bridge.exact_psnr_db) why += " (exact: " + decibels(*bridge.exact_psnr_db) + ")";
  return why;
}

}  // namespace

at::Tensor resampled(const at::Tensor& pixels, int64_t height, int64_t width,
                     image::Filter filter) {
  at::Tensor out = pixels.to(at::kFloat);
  if (out.size(3) != width) {
    out = at::matmul(out, matrix_of(filter, out.size(3), width).to(out.device()).t());
  }
  if (out.size(2) != height) {
    out = at::matmul(matrix_of(filter, out.size(2), height).to(out.device()), out);
  }
  return out;
}

image::Filter filter_from(const std::string& name) {
  if (name == "nearest") return image::Filter::kNearest;
  if (name == "bilinear") return image::Filter::kBilinear;
  if (name == "bicubic") return image::Filter::kBicubic;
  if (name == "lanczos") return image::Filter::kLanczos3;
  throw bad_input("filter", "one of nearest, bilinear, bicubic, lanczos", "'" + name + "'");
}

std::string to_string(BridgeKind kind) {
  switch (kind) {
    case BridgeKind::kIdentity:
      return "identity";
    case BridgeKind::kExact:
      return "exact";
    case BridgeKind::kTiny:
      return "tiny";
    case BridgeKind::kLearned:
      return "learned";
  }
  throw Error(ErrorCode::kInternal, "bridge of no kind");
}

PickedBridge pick_bridge(const std::string& requested, const BridgeEnd& from, const BridgeEnd& to,
                         const std::vector<LearnedBridge>& learned, image::Filter filter) {
  if (requested != "auto" && requested != "exact" && requested != "tiny" &&
      requested != "learned") {
    throw bad_input("bridge", "one of auto, exact, tiny, learned", "'" + requested + "'");
  }
  if (one_encoder(from.space, to.space) && from.width == to.width && from.height == to.height) {
    return {BridgeKind::kIdentity,
            from.space == to.space ? "one latent space" : "one latent space, scaled",
            rescaling(from.space, to.space)};
  }
  const std::string pair = "from '" + from.name + "' to '" + to.name + "'";
  if (requested == "learned" || requested == "auto") {
    const LearnedBridge* found = find_learned(learned, from, to);
    if (found && (requested == "learned" || distance_of(*found, from, to) <= kNearGrids)) {
      const int64_t h = to.height / to.downscale, w = to.width / to.downscale;
      return {BridgeKind::kLearned, reason_of(*found),
              [into = rescaling(from.space, found->from), convert = found->convert,
               out_of = rescaling(found->to, to.space), h,
               w](const at::Tensor& x0) { return out_of(convert(into(x0), h, w)); }};
    }
    if (requested == "learned") {
      throw bad_input("bridge " + pair, "a learned bridge of their two spaces", "none",
                      "`pangu-draw train-bridge` makes one");
    }
  }
  if (requested == "tiny" && !from.tiny_decode && !to.tiny_encode) {
    throw bad_input("bridge " + pair, "a tiny autoencoder (tiny_vae) of either", "none");
  }
  const bool tiny =
      requested == "tiny" || (requested == "auto" && from.tiny_decode && to.tiny_encode);
  return through_pixels(from, to, tiny, filter);
}

}  // namespace pangu::pipeline
