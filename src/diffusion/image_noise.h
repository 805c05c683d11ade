// Noise of drawing: one stream per image, made on the host, so that a seed gives the same image at
// any batch size, in any place of the batch and on any device. By default it is a pure function
// (Philox, core/rng.h): a draw is named by its seed, stage, step, part of the step and latent
// space. These are whole numbers; the number of earlier draws does not count, nor does a noise
// level, whose last bits depend on compiler and processor. The generators of other programs, which
// give the same pictures as those programs, are sequences.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {

enum class NoiseKind {
  // "philox": our own.
  kPhilox,
  // "numpy": np.random.RandomState(seed).randn, as the released PanGu-Draw 3 draws; seeds up to
  // 2^32 - 1.
  kNumpy,
  // "torch-cpu": torch.randn with torch.Generator("cpu").manual_seed(seed), as diffusers and most
  // web UIs draw. The generator uses the seed's lowest 32 bits.
  kTorchCpu,
};
NoiseKind noise_kind_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(NoiseKind kind);
std::vector<std::string> noise_kind_names();

// The version of the rule by which Philox names the draws of steps; pictures keep it, because
// another version gives other pictures with samplers that add noise. Version 1, which a picture
// without a version has, named the draws by the bits of their noise levels.
inline constexpr int kStepNoiseVersion = 2;

// The position of a sampler's first step in its drawing.
struct StepOrigin {
  size_t stage = 0;       // number of the stage of resolution (stages.h)
  size_t first_step = 0;  // its number in the full plan, before image-to-image cut it
};

// The noise of one drawing of a batch. A numpy or torch-cpu sequence goes on from draw to draw:
// first the draws of `next`, then those of the steps, each of shape [1,C,H,W] in f32, as diffusers
// does with one generator a picture. The sequence lives as long as this object or a source made
// from it; copies share it. Philox numbers the draws of `next` from 0, so that the first is
// image_noise(seeds, shape).
class ImageNoise {
 public:
  // Throws kBadInput for a seed that the kind does not know.
  ImageNoise(NoiseKind kind, const std::vector<uint64_t>& seeds);

  // Returns standard normals [B,shape...] f32 on the host, B = seeds.size().
  at::Tensor next(const std::vector<int64_t>& shape_chw);
  // Returns noise for a tuple of latents. Parts of equal shape share their noise (Coop-Diffusion
  // begins with z'_T = z_T); other shapes have noise of their own. The first part's are those of
  // next(its shape), then come the other shapes in lexicographic order: a part's numbers depend on
  // the first part's shape and on the set of shapes, not on the order of the parts.
  Latents next_tuple(const std::vector<std::vector<int64_t>>& shapes_chw);
  // Returns the source of noise for stochastic samplers, in the shapes, dtypes and devices of
  // `like`, whose batch must be seeds.size() (kInternal error otherwise). Parts share noise and
  // follow one another as in next_tuple.
  NoiseSource steps(const Latents& like, const StepOrigin& origin = {}) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Philox noise: standard normals [B,shape...] f32 on the host, B = seeds.size(). space: the number
// of the shape in a tuple, in the order of next_tuple.
at::Tensor image_noise(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape_chw,
                       uint64_t space = 0);
// Philox noise for a draw of a step. Every stage (below 2^15), step of the full plan (below 2^24),
// part (below 2^8) and space (below 2^16) has numbers of its own; throws kInternal for greater
// ones.
at::Tensor image_step_noise(const std::vector<uint64_t>& seeds,
                            const std::vector<int64_t>& shape_chw, const NoiseDraw& draw,
                            const StepOrigin& origin = {}, uint64_t space = 0);
// The same as ImageNoise(kPhilox, seeds).steps(like, origin).
NoiseSource step_noise(std::vector<uint64_t> seeds, const Latents& like,
                       const StepOrigin& origin = {});

}  // namespace pangu::diffusion
