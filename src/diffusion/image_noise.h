// Noise of drawing: one stream per image, made on the host, so that a seed gives the same image at
// any batch size, in any place of the batch and on any device. By default pure functions: a draw is
// named by its seed, stage, step, part of the step and latent space, whole numbers all, never by
// how many draws came before nor by a noise level, whose last bits depend on compiler and processor
// (Philox, core/rng.h). The generators of other programs, for the same pictures as theirs, are
// sequences.
#pragma once
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "diffusion/samplers/samplers.h"

namespace pangu::diffusion {

enum class NoiseKind {
  kPhilox,    // "philox"     ours
  kNumpy,     // "numpy"      np.random.RandomState(seed).randn, PanGu-Draw 3's; seeds to 2^32 - 1
  kTorchCpu,  // "torch-cpu"  torch.randn with torch.Generator("cpu").manual_seed(seed): diffusers
              //              and most web UIs. The generator uses the seed's lowest 32 bits.
};
NoiseKind noise_kind_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(NoiseKind kind);
std::vector<std::string> noise_kind_names();

// The version of how Philox names the draws of steps, for whoever keeps pictures: another version
// gives other pictures of samplers that add noise. Version 1, of pictures that say none, named them
// by the bits of their noise levels.
inline constexpr int kStepNoiseVersion = 2;

// Where the first step of a sampler's list stands in its drawing.
struct StepOrigin {
  size_t stage = 0;       // of resolution (stages.h)
  size_t first_step = 0;  // in the drawing's full plan, before image-to-image cut it
};

// The noise of one drawing of a batch. A numpy or torch-cpu sequence goes on from draw to draw:
// first what `next` was asked for, then the steps', each of shape [1,C,H,W] in f32, as diffusers
// does with one generator an image. It lives as long as this object or a source made from it;
// copies share it. Philox numbers the draws of `next` from 0, so that the first is
// image_noise(seeds, shape).
class ImageNoise {
 public:
  // kBadInput for a seed that the kind does not know.
  ImageNoise(NoiseKind kind, const std::vector<uint64_t>& seeds);

  // Standard normals [B,shape...] f32 on the host, B = seeds.size().
  at::Tensor next(const std::vector<int64_t>& shape_chw);
  // For a tuple of latents. Parts of equal shape share their noise (Coop-Diffusion begins with z'_T
  // = z_T); others have numbers of their own. The first part's are those of next(its shape), then
  // come the other shapes in lexicographic order: a part's numbers depend on the first part's shape
  // and on the set of shapes, not on the order of the parts.
  Latents next_tuple(const std::vector<std::vector<int64_t>>& shapes_chw);
  // For stochastic samplers, in the shapes, dtypes and devices of `like`, whose batch must be
  // seeds.size() (kInternal error otherwise). Parts share noise and follow one another as in
  // next_tuple.
  NoiseSource steps(const Latents& like, const StepOrigin& origin = {}) const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

// Philox noise. Standard normals [B,shape...] f32 on the host, B = seeds.size(). space: which shape
// of a tuple, in the order of next_tuple.
at::Tensor image_noise(const std::vector<uint64_t>& seeds, const std::vector<int64_t>& shape_chw,
                       uint64_t space = 0);
// The same for a draw of a step: other numbers for every stage (below 2^15), step of the full plan
// (below 2^24), part (below 2^8) and space (below 2^16); kInternal error for greater ones.
at::Tensor image_step_noise(const std::vector<uint64_t>& seeds,
                            const std::vector<int64_t>& shape_chw, const NoiseDraw& draw,
                            const StepOrigin& origin = {}, uint64_t space = 0);
// ImageNoise(kPhilox, seeds).steps(like, origin).
NoiseSource step_noise(std::vector<uint64_t> seeds, const Latents& like,
                       const StepOrigin& origin = {});

}  // namespace pangu::diffusion
