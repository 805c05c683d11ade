// How noise streams are named, and how tensors are filled from them.
#include "diffusion/image_noise.h"

#include <ATen/ATen.h>
#include <ATen/CPUGeneratorImpl.h>

#include <algorithm>
#include <functional>
#include <set>
#include <utility>

#include "core/rng.h"
#include "core/rng_numpy.h"
#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<NoiseKind> kNoiseKindNames[] = {
    {NoiseKind::kPhilox, "philox"},
    {NoiseKind::kNumpy, "numpy"},
    {NoiseKind::kTorchCpu, "torch-cpu"},
};

// Start noise takes the streams below 2^63, so that stream number and space number are one and the
// same; a step's stream has the top bit, and below it stage, step, part and space side by side.
uint64_t step_stream(const NoiseDraw& draw, const StepOrigin& origin, uint64_t space) {
  const uint64_t step = origin.first_step + draw.step;
  const auto part = static_cast<uint64_t>(draw.part);
  if (origin.stage >> 15 || step >> 24 || part >> 8 || space >> 16) {
    throw Error(ErrorCode::kInternal, "noise: a stage, step, part or space of too great a number");
  }
  return uint64_t{1} << 63 | uint64_t{origin.stage} << 48 | step << 24 | part << 16 | space;
}

at::Tensor filled(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape,
                  uint64_t stream) {
  std::vector<int64_t> batch_shape = {static_cast<int64_t>(seeds.size())};
  batch_shape.insert(batch_shape.end(), shape.begin(), shape.end());
  at::Tensor noise = at::empty(batch_shape, at::kFloat);
  const size_t count = seeds.empty() ? 0 : static_cast<size_t>(noise.numel()) / seeds.size();
  for (size_t i = 0; i < seeds.size(); ++i) {
    fill_normal(seeds[i], stream, 0, noise.mutable_data_ptr<float>() + i * count, count);
  }
  return noise;
}

using Shape = std::vector<int64_t>;

// The different shapes of a tuple, the first part's first and the others in lexicographic order, so
// that the order of the other parts changes no number. Parts of one shape share noise.
struct Spaces {
  std::vector<Shape> shapes_chw;
  std::vector<size_t> of_part;
};

Spaces spaces_of(const std::vector<Shape>& parts) {
  Spaces spaces;
  if (parts.empty()) return spaces;
  std::set<Shape> others(parts.begin(), parts.end());
  others.erase(parts.front());
  spaces.shapes_chw.push_back(parts.front());
  spaces.shapes_chw.insert(spaces.shapes_chw.end(), others.begin(), others.end());
  for (const Shape& part : parts) {
    const auto found = std::find(spaces.shapes_chw.begin(), spaces.shapes_chw.end(), part);
    spaces.of_part.push_back(static_cast<size_t>(found - spaces.shapes_chw.begin()));
  }
  return spaces;
}

// Calls make(shape, number of the space) once a space, in order; every part gets the result of its
// space.
template <class Make>
Latents by_space(const Spaces& spaces, const Make& make) {
  std::vector<at::Tensor> own;
  for (size_t k = 0; k < spaces.shapes_chw.size(); ++k) {
    own.push_back(make(spaces.shapes_chw[k], k));
  }
  Latents noise;
  for (const size_t space : spaces.of_part) noise.parts.push_back(own[space]);
  return noise;
}

// What a source must know of the latents that it serves.
struct Like {
  Spaces spaces;
  std::vector<at::TensorOptions> options;  // of each part

  Latents operator()(Latents noise) const {
    for (size_t k = 0; k < options.size(); ++k) noise.parts[k] = noise[k].to(options[k]);
    return noise;
  }
};

Like like_of(const Latents& latents, size_t images) {
  Like like;
  std::vector<Shape> shapes;
  for (const at::Tensor& part : latents.parts) {
    if (part.dim() < 1 || part.size(0) != static_cast<int64_t>(images)) {
      throw Error(ErrorCode::kInternal,
                  "noise: expected a batch of " + std::to_string(images) + " images, one per seed");
    }
    shapes.push_back(part.sizes().slice(1).vec());
    like.options.push_back(part.options());
  }
  like.spaces = spaces_of(shapes);
  return like;
}

// Returns the next numbers of one picture's sequence, [shape...] f32.
using Stream = std::function<at::Tensor(const std::vector<int64_t>& shape_chw)>;

Stream stream_of(NoiseKind kind, uint64_t seed) {
  if (kind == NoiseKind::kNumpy) {
    return [random = NumpyRandom(seed)](const std::vector<int64_t>& shape_chw) mutable {
      at::Tensor noise = at::empty(shape_chw, at::kFloat);
      random.fill_normal(noise.mutable_data_ptr<float>(), static_cast<size_t>(noise.numel()));
      return noise;
    };
  }
  // torch itself draws: its blocks of 16 numbers and its vectorised logarithm are not worth
  // repeating here.
  return [generator = at::make_generator<at::CPUGeneratorImpl>(seed)](
             const std::vector<int64_t>& shape_chw) {
    return at::randn(shape_chw, generator, at::TensorOptions(at::kFloat));
  };
}

}  // namespace

NoiseKind noise_kind_from(const std::string& name) {
  return enum_from(kNoiseKindNames, "noise", name);
}
std::string to_string(NoiseKind kind) { return enum_name(kNoiseKindNames, kind); }
std::vector<std::string> noise_kind_names() {
  std::vector<std::string> names;
  for (const auto& entry : kNoiseKindNames) names.push_back(entry.name);
  return names;
}

struct ImageNoise::State {
  std::vector<uint64_t> seeds;
  std::vector<Stream> streams;  // one an image; none for philox
  uint64_t draws = 0;           // of `next`, philox only

  at::Tensor next(const std::vector<int64_t>& shape_chw) {
    if (streams.empty()) return image_noise(seeds, shape_chw, draws++);
    std::vector<at::Tensor> images;
    for (const Stream& stream : streams) images.push_back(stream(shape_chw));
    return at::stack(images);
  }
};

ImageNoise::ImageNoise(NoiseKind kind, const std::vector<uint64_t>& seeds)
    : state_(std::make_shared<State>()) {
  if (seeds.empty()) throw Error(ErrorCode::kInternal, "noise: expected a seed for every image");
  state_->seeds = seeds;
  if (kind == NoiseKind::kPhilox) return;
  for (const uint64_t seed : seeds) state_->streams.push_back(stream_of(kind, seed));
}

at::Tensor ImageNoise::next(const std::vector<int64_t>& shape_chw) {
  return state_->next(shape_chw);
}

Latents ImageNoise::next_tuple(const std::vector<std::vector<int64_t>>& shapes_chw) {
  return by_space(spaces_of(shapes_chw), [&](const Shape& shape, size_t) { return next(shape); });
}

NoiseSource ImageNoise::steps(const Latents& like, const StepOrigin& origin) const {
  if (state_->streams.empty()) return step_noise(state_->seeds, like, origin);
  return [state = state_, as = like_of(like, state_->seeds.size())](const NoiseDraw&) {
    return as(by_space(as.spaces, [&](const Shape& shape, size_t) { return state->next(shape); }));
  };
}

at::Tensor image_noise(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape_chw,
                       uint64_t space) {
  return filled(seeds, shape_chw, space);
}

at::Tensor image_step_noise(const std::vector<uint64_t>& seeds,
                            const std::vector<int64_t>& shape_chw, const NoiseDraw& draw,
                            const StepOrigin& origin, uint64_t space) {
  return filled(seeds, shape_chw, step_stream(draw, origin, space));
}

NoiseSource step_noise(std::vector<uint64_t> seeds, const Latents& like, const StepOrigin& origin) {
  Like as = like_of(like, seeds.size());
  return [seeds = std::move(seeds), as = std::move(as), origin](const NoiseDraw& draw) {
    return as(by_space(as.spaces, [&](const Shape& shape, size_t space) {
      return image_step_noise(seeds, shape, draw, origin, space);
    }));
  };
}

}  // namespace pangu::diffusion
