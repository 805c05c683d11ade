#include "diffusion/coop.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "core/error.h"
#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<CoopForm> kFormNames[] = {
    {CoopForm::kPaper, "paper"},
    {CoopForm::kSymmetric, "symmetric"},
    {CoopForm::kOneWay, "one_way"},
};

// One member's guess in another member's space, and its weight.
struct Share {
  at::Tensor x0;
  double weight;
  at::Tensor mask;
};

at::Tensor mask_like(const at::Tensor& mask, const at::Tensor& x) {
  if (mask.size(2) == x.size(2) && mask.size(3) == x.size(3)) return mask.to(x.options());
  return at::upsample_bilinear2d(mask.to(x.options()), {x.size(2), x.size(3)}, false);
}

at::Tensor combined(const std::vector<Share>& shares) {
  // A single guess is returned as it is, to the last bit.
  if (shares.size() == 1) return shares.front().x0;
  bool masked = false;
  double total = 0.0;
  for (const Share& share : shares) {
    masked = masked || share.mask.defined();
    total += share.weight;
  }
  at::Tensor sum, weights;
  for (const Share& share : shares) {
    if (!masked) {
      const at::Tensor part = share.x0 * (share.weight / total);
      sum = sum.defined() ? sum + part : part;
      continue;
    }
    const at::Tensor weight = share.mask.defined()
                                  ? mask_like(share.mask, share.x0) * share.weight
                                  : at::full({1, 1, 1, 1}, share.weight, share.x0.options());
    sum = sum.defined() ? sum + share.x0 * weight : share.x0 * weight;
    weights = weights.defined() ? weights + weight : weight;
  }
  return masked ? sum / weights : sum;
}

// Keeps the bridged guesses of the last calls of one drawing.
struct Memory {
  double last_sigma = -1.0;
  int calls_since = 0;
  std::vector<std::vector<at::Tensor>> bridged;  // [from][to]
};

class Fused {
 public:
  Fused(std::vector<CoopMember> members, Bridge bridge, const CoopOptions& options)
      : members_(std::move(members)),
        bridge_(std::move(bridge)),
        options_(options),
        remembers_(options.bridge_every > 1 || options.bridge_sigma_low > 0.0 ||
                   std::isfinite(options.bridge_sigma_high)) {}

  Latents operator()(const Latents& x, double sigma) const {
    const size_t count = members_.size();
    if (x.size() != count) {
      throw Error(ErrorCode::kInternal, "coop: " + std::to_string(count) +
                                            " members met a tuple of " + std::to_string(x.size()));
    }
    Call call{x, sigma, std::vector<at::Tensor>(count), due(sigma)};
    Latents fused;
    fused.parts.resize(count);
    const std::vector<size_t> active = active_at(sigma);
    fused.parts[0] = fused_in(call, 0, active);
    for (size_t k = 1; k < count; ++k) fused.parts[k] = moved(call, k, active, fused.parts[0]);
    return fused;
  }

 private:
  struct Call {
    const Latents& x;
    double sigma;
    std::vector<at::Tensor> own;  // each member's guess in its own space, once it has been called
    bool bridges;                 // whether guesses are bridged anew at this call
  };

  bool due(double sigma) const {
    Memory& m = *memory_;
    if (!remembers_) return true;
    // Samplers with a call in the middle of a step may call at its end with a sigma that is off by
    // rounding.
    const bool begins = m.last_sigma < 0.0 || sigma > just_above(m.last_sigma);
    if (begins) {
      m.bridged.assign(members_.size(), std::vector<at::Tensor>(members_.size()));
      m.calls_since = 0;
    }
    m.last_sigma = sigma;
    const bool in_range = sigma >= options_.bridge_sigma_low && sigma < options_.bridge_sigma_high;
    const bool now = begins || (in_range && ++m.calls_since >= options_.bridge_every);
    if (now) m.calls_since = 0;
    return now;
  }

  std::vector<size_t> active_at(double sigma) const {
    std::vector<size_t> active;
    for (size_t k = 0; k < members_.size(); ++k) {
      if (members_[k].weight.at(sigma) > 0.0) active.push_back(k);
    }
    if (active.empty()) {
      throw bad_input("coop", "a member with weight at every noise level",
                      "none at sigma " + std::to_string(sigma), "widen a member's range");
    }
    return active;
  }

  const at::Tensor& own(Call& call, size_t k) const {
    if (!call.own[k].defined()) {
      call.own[k] = members_[k].denoise(Latents(call.x[k]), call.sigma).one();
    }
    return call.own[k];
  }

  // Returns what `make` returns, or what it returned when guesses were last bridged this way.
  template <class Make>
  at::Tensor remembered(const Call& call, size_t from, size_t to, const Make& make) const {
    if (!remembers_) return make();
    at::Tensor& kept = memory_->bridged[from][to];
    if (call.bridges || !kept.defined()) kept = make();
    return kept;
  }

  // Member `from`'s own guess in member `to`'s space.
  at::Tensor guess(Call& call, size_t from, size_t to) const {
    if (from == to) return own(call, from);
    return remembered(call, from, to, [&] { return bridge_(from, to, own(call, from)); });
  }

  at::Tensor fused_in(Call& call, size_t space, const std::vector<size_t>& active) const {
    std::vector<Share> shares;
    for (const size_t k : active) {
      shares.push_back(
          {guess(call, k, space), members_[k].weight.at(call.sigma), members_[k].mask});
    }
    return combined(shares);
  }

  // The guess with which member k, which is not the hub, steps.
  at::Tensor moved(Call& call, size_t k, const std::vector<size_t>& active,
                   const at::Tensor& fused_in_hub) const {
    if (call.sigma <= options_.lowest_sigma || !members_[k].weight.is_positive_up_to(call.sigma)) {
      return call.x[k];
    }
    const bool alone = active.size() == 1 && active.front() == k;
    if (alone || options_.form == CoopForm::kOneWay) return own(call, k);
    if (options_.form == CoopForm::kSymmetric) return fused_in(call, k, active);
    return remembered(call, 0, k, [&] { return bridge_(0, k, fused_in_hub); });
  }

  std::vector<CoopMember> members_;
  Bridge bridge_;
  CoopOptions options_;
  bool remembers_;
  std::shared_ptr<Memory> memory_ = std::make_shared<Memory>();
};

}  // namespace

CoopForm coop_form_from(const std::string& name) { return enum_from(kFormNames, "form", name); }
std::string to_string(CoopForm form) { return enum_name(kFormNames, form); }

WeightCurve WeightCurve::constant(double weight) {
  WeightCurve curve;
  curve.points.front().second = weight;
  return curve;
}

double WeightCurve::at(double sigma) const {
  if (sigma < sigma_low || sigma >= sigma_high) return 0.0;
  if (sigma <= points.front().first) return points.front().second;
  for (size_t i = 1; i < points.size(); ++i) {
    const auto& [s0, w0] = points[i - 1];
    const auto& [s1, w1] = points[i];
    if (sigma > s1) continue;
    const double part = std::log(sigma / s0) / std::log(s1 / s0);
    return w0 * (1.0 - part) + w1 * part;
  }
  return points.back().second;
}

bool WeightCurve::is_positive_up_to(double sigma) const {
  if (sigma < sigma_low) return false;
  const double top = std::min(sigma, std::nextafter(sigma_high, 0.0));
  if (at(top) > 0.0) return true;
  if (sigma_low > 0.0 && at(sigma_low) > 0.0) return true;
  if (sigma_low <= points.front().first && points.front().second > 0.0) return true;
  return std::any_of(points.begin(), points.end(), [&](const auto& point) {
    return point.first >= sigma_low && point.first <= top && point.second > 0.0;
  });
}

void WeightCurve::validate(const std::string& whose) const {
  if (points.empty()) throw bad_input(whose, "a weight", "none");
  double before = 0.0;
  for (const auto& [sigma, weight] : points) {
    if (!(sigma > before) || !std::isfinite(sigma)) {
      throw bad_input(whose, "sigmas of its weights that are positive and rise",
                      std::to_string(sigma) + " after " + std::to_string(before));
    }
    if (!(weight >= 0.0) || !std::isfinite(weight)) {
      throw bad_input(whose, "a weight of 0 or more", std::to_string(weight));
    }
    before = sigma;
  }
  if (!(sigma_low >= 0.0) || !(sigma_high > sigma_low)) {
    throw bad_input(whose, "a range of sigma that is not empty",
                    std::to_string(sigma_low) + " to " + std::to_string(sigma_high));
  }
}

void CoopOptions::validate() const {
  if (bridge_every < 1) {
    throw bad_input("bridge_every", "1 or more calls", std::to_string(bridge_every));
  }
  if (!(bridge_sigma_low >= 0.0) || !(bridge_sigma_high > bridge_sigma_low)) {
    throw bad_input("bridge", "a range of sigma that is not empty",
                    std::to_string(bridge_sigma_low) + " to " + std::to_string(bridge_sigma_high));
  }
}

Denoiser fuse(std::vector<CoopMember> members, Bridge bridge, const CoopOptions& options) {
  if (members.size() < 2) {
    throw bad_input("coop", "two members or more", std::to_string(members.size()));
  }
  options.validate();
  for (const CoopMember& member : members) member.weight.validate("member '" + member.name + "'");
  return Fused(std::move(members), std::move(bridge), options);
}

void check_weights(const std::vector<CoopMember>& members, const SigmaList& sigmas) {
  for (size_t i = 0; i + 1 < sigmas.size(); ++i) {
    double everywhere = 0.0;
    at::Tensor by_region;
    for (const CoopMember& member : members) {
      const double weight = member.weight.at(sigmas[i]);
      if (weight == 0.0) continue;
      if (!member.mask.defined()) {
        everywhere += weight;
      } else {
        by_region = by_region.defined() ? by_region + member.mask * weight : member.mask * weight;
      }
    }
    if (everywhere > 0.0) continue;
    const std::string level = "at sigma " + std::to_string(sigmas[i]);
    if (!by_region.defined()) {
      throw bad_input("coop", "weights with a positive sum at every noise level", "none " + level,
                      "widen a member's range, or give one a positive weight");
    }
    if (by_region.min().item<double>() <= 0.0) {
      throw bad_input("coop", "masks that leave no region without a member",
                      "a region without one " + level,
                      "give one member no mask, or let the masks overlap");
    }
  }
}

}  // namespace pangu::diffusion
