// Coop-Diffusion, the latent-space gap (PanGu-Draw, arXiv 2312.16486, section 4, algorithm 1,
// sub-module 1): several trained models, each with a latent space of its own, denoise one picture
// together. Fusing is a function from denoisers to a denoiser of a tuple of latents, one part a
// member, so every sampler moves it unmodified. It knows no network: how a guess gets from one
// space into another is a callable (a bridge).
//
// The paper mixes noise predictions, e_fuse = d e~ + (1 - d) e with e~ = (z_t - sqrt(ab) z~_0) /
// sqrt(1 - ab). At one x and sigma a guess of eps is affine in the guess of x0, so that is
// x0_fuse = d bridge(x0_B) + (1 - d) x0_A: guesses are mixed here, and members with other
// parameterisations, schedules and latent scales meet at equal sigma.
#pragma once
#include <limits>
#include <string>
#include <utility>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {

// How much a member counts at a noise level: piecewise linear in log(sigma) between points,
// constant beyond the first and last, 0 outside of sigma_low <= sigma < sigma_high. Two ranges that
// share an end so part the noise levels between them, as experts do.
struct WeightCurve {
  // (sigma, weight), sigma rising.
  std::vector<std::pair<double, double>> points = std::vector(1, std::pair(1.0, 1.0));
  double sigma_low = 0.0, sigma_high = std::numeric_limits<double>::infinity();

  static WeightCurve constant(double weight);
  double at(double sigma) const;
  // Whether it is positive at any level up to and including sigma.
  bool is_positive_up_to(double sigma) const;
  // kBadInput unless there is a point, sigmas are positive and rise, weights are finite and not
  // negative, and the range is not empty. `whose` begins the message.
  void validate(const std::string& whose) const;
};

struct CoopMember {
  std::string name;  // for errors and plans
  Denoiser denoise;  // of the tuple of one that is this member's part
  WeightCurve weight;
  at::Tensor mask;  // [1,1,h,w] f32 in [0,1], factor of the weight by region; undefined: 1
};

// From member `from`'s guess of x0 [B,C,h,w] to the same picture in member `to`'s space.
using Bridge = std::function<at::Tensor(size_t from, size_t to, const at::Tensor& x0)>;

// How the members that are not the hub move.
enum class CoopForm {
  // "paper": the reverse map of the algorithm. The hub's fused guess is bridged back, and every
  // member steps with it. 2 (n - 1) bridges a call.
  kPaper,
  // "symmetric": every member mixes in its own space, its own guess as it is, the others' bridged.
  // n (n - 1) bridges a call, as many as "paper" for two members; no guess crosses twice.
  kSymmetric,
  // "one_way": members step with their own guesses and are not told of the hub's. n - 1 bridges.
  kOneWay,
};
CoopForm coop_form_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(CoopForm form);

struct CoopOptions {
  CoopForm form = CoopForm::kPaper;
  // Bridged guesses are made anew at every k-th call only, and inside of bridge_sigma_low <= sigma
  // < bridge_sigma_high only; elsewhere the last ones serve again, and a member whose guess nobody
  // needs is not asked. The first call of a drawing always bridges.
  int bridge_every = 1;
  double bridge_sigma_low = 0.0, bridge_sigma_high = std::numeric_limits<double>::infinity();
  // The lowest level at which the denoiser will be called, if known: from there on the other
  // members are not moved any more, since only the hub's part is the result. 0: not known.
  double lowest_sigma = 0.0;
  void validate() const;  // kBadInput
};

// The denoiser of the tuple. members.front() is the hub, in whose space the result is; part k is
// member k's. With w_k(sigma) M_k the weights, the hub's fused guess is sum_k w_k M_k bridge(x0_k)
// over their sum; a member without weight is not asked. If one member alone has weight, the fused
// guess in its own space is its own, which crosses no bridge. A member that will have no weight at
// or below sigma stays where it is (its guess is x itself). Masks are the hub's; `symmetric` scales
// them to the other parts. kBadInput: fewer than two members, a curve that is not valid.
// With bridge_every > 1 or a range the result remembers the bridged guesses of one drawing, told
// from the next by sigma, which falls within a drawing: not for two drawings at once, and not for
// a second one that begins at the level where the last ended (drawings of one call).
Denoiser fuse(std::vector<CoopMember> members, Bridge bridge, const CoopOptions& options = {});

// kBadInput naming the sigma if at a level of `sigmas` (the last one, where no denoiser is called,
// aside) no member has weight, or none in a region.
void check_weights(const std::vector<CoopMember>& members, const SigmaList& sigmas);

}  // namespace pangu::diffusion
