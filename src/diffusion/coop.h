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
// constant beyond the first and last, 0 outside of sigma_low <= sigma < sigma_high. Of two ranges
// that share an end, that end thus belongs to one of them only, as with experts.
struct WeightCurve {
  // Pairs (sigma, weight) in order of rising sigma.
  std::vector<std::pair<double, double>> points = std::vector(1, std::pair(1.0, 1.0));
  double sigma_low = 0.0, sigma_high = std::numeric_limits<double>::infinity();

  static WeightCurve constant(double weight);
  double at(double sigma) const;
  // Whether the weight is positive at any level up to and including sigma.
  bool is_positive_up_to(double sigma) const;
  // Throws kBadInput unless there is a point, sigmas are positive and rise, weights are finite and
  // not negative, and the range is not empty. `whose` begins the message.
  void validate(const std::string& whose) const;
};

struct CoopMember {
  std::string name;  // for errors and plans
  Denoiser denoise;  // takes a tuple of one, which is this member's part
  WeightCurve weight;
  at::Tensor mask;  // [1,1,h,w] f32 in [0,1], a factor of the weight by region; undefined: 1
};

// Turns member `from`'s guess of x0 [B,C,h,w] into the same picture in member `to`'s space.
using Bridge = std::function<at::Tensor(size_t from, size_t to, const at::Tensor& x0)>;

// Which guess the members other than the hub step with.
enum class CoopForm {
  // "paper": the reverse map of the algorithm. The hub's fused guess is bridged back, and every
  // member steps with it. That takes 2 (n - 1) bridges a call.
  kPaper,
  // "symmetric": every member mixes in its own space: its own guess as it is, and the others'
  // guesses bridged. That takes n (n - 1) bridges a call, for two members as many as "paper", and
  // no guess is bridged twice.
  kSymmetric,
  // "one_way": the other members step with their own guesses, and the hub's fused guess is not
  // bridged back. That takes n - 1 bridges a call.
  kOneWay,
};
CoopForm coop_form_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(CoopForm form);

struct CoopOptions {
  CoopForm form = CoopForm::kPaper;
  // Guesses are bridged anew only at every bridge_every-th call with bridge_sigma_low <= sigma <
  // bridge_sigma_high. At the other calls the last bridged guesses are used again, and a member
  // whose guess nobody needs is not called. The first call of a drawing always bridges.
  int bridge_every = 1;
  double bridge_sigma_low = 0.0, bridge_sigma_high = std::numeric_limits<double>::infinity();
  // The lowest level at which the denoiser will be called, if known: at that level the other
  // members keep their latents, since only the hub's part is the result. 0: not known.
  double lowest_sigma = 0.0;
  void validate() const;  // kBadInput
};

// Returns the denoiser of the tuple. members.front() is the hub, in whose space the result is; part
// k of the tuple is member k's. With weights w_k(sigma) M_k, the hub's fused guess is sum_k w_k M_k
// bridge(x0_k) divided by the sum of the weights; a member without weight is not called. If one
// member alone has weight, the fused guess in that member's space is its own guess, which crosses
// no bridge. A member that will have no weight at or below sigma stays where it is (its guess is x
// itself). Masks are the hub's; `symmetric` scales them to the other parts. Throws kBadInput for
// fewer than two members or a curve that is not valid. With bridge_every > 1 or a range, the result
// remembers the bridged guesses of one drawing. It takes a rise of sigma for the beginning of the
// next drawing, so it must not serve two drawings at once, nor a second drawing that begins at the
// level where the last one ended.
Denoiser fuse(std::vector<CoopMember> members, Bridge bridge, const CoopOptions& options = {});

// Throws kBadInput naming the sigma if no member has weight, or none in a region, at a level of
// `sigmas`. The last level is not checked, because no denoiser is called there.
void check_weights(const std::vector<CoopMember>& members, const SigmaList& sigmas);

}  // namespace pangu::diffusion
