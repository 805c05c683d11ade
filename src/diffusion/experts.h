// Time-decoupled experts (PanGu-Draw, section 3: a structure generator for high noise, a texture
// generator for low noise, or k of them) and the plan that says which expert serves which step. The
// switch is on sigma, never on the fraction of steps.
#pragma once
#include <limits>
#include <string>
#include <vector>

#include "diffusion/denoiser.h"
#include "diffusion/sigmas.h"

namespace pangu::diffusion {

// The index of the expert that serves sigma. boundaries: one sigma fewer than there are experts,
// not increasing. Expert i serves boundaries[i] <= sigma < boundaries[i-1]: a sigma exactly at a
// boundary belongs to the noisier expert (PanGu-Draw: structure t in [500, 1000), boundary
// sigma_of_t(500)).
size_t expert_of_sigma(const std::vector<double>& boundaries, double sigma);

// experts: from most noise to least. Only the expert that serves sigma is called, so the others
// need not be in memory. Throws kBadInput if boundaries do not fit the experts.
Denoiser route_by_sigma(std::vector<Denoiser> experts, std::vector<double> boundaries);

struct PlanStep {
  double sigma = 0.0;
  double sigma_next = 0.0;
  double t_index = 0.0;  // the time of sigma, on the schedule's scale
  size_t expert = 0;
  // Whether the step uses again what deeper layers of the network gave in an earlier one, so that
  // it computes the others alone.
  bool reuses_features = false;
};

// Noise levels low <= sigma < high.
struct SigmaWindow {
  double low = 0.0;
  double high = std::numeric_limits<double>::infinity();
  bool contains(double sigma) const { return low <= sigma && sigma < high; }
};

// Which expert serves each step of one drawing. It is plain data: compared, printed, stored in the
// picture.
struct Plan {
  std::vector<PlanStep> steps;
  std::vector<double> boundaries;  // to be given to route_by_sigma; lag_switch is already in them
  // The number of steps.front() in the drawing's full plan, of which image-to-image takes the last
  // steps.
  size_t first_step = 0;
  SigmaList sigmas() const;
  size_t steps_of(size_t expert) const;
  // The noise levels of the steps that reuse no features, from most noise to least.
  SigmaList whole_sigmas() const;
  // The noise levels of the steps that lie wholly inside of the share from..to of all steps: step i
  // of n is one of them if i / n >= from and (i + 1) / n <= to, as diffusers decides it for
  // ControlNets. A call in the middle of a step belongs to that step. The level at which one step
  // ends and the next begins belongs to the next, whichever of the two calls there (Heun's second
  // call does). If there is no such step, the window holds no level at all.
  SigmaWindow window(double from, double to) const;
};

// lag_switch reproduces the released PanGu-Draw 3 sampler, which chooses the expert by the sigma of
// the step before: the first step below a boundary still runs on the noisier expert (21 and 19 of
// 40 steps, 11 and 9 of 20). The plan moves each boundary down to the sigma of that step.
Plan make_plan(const SigmaList& sigmas, const Schedule& schedule,
               std::vector<double> boundaries = {}, bool lag_switch = false);

// Marks the steps that reuse features. At most interval - 1 follow each other; the first step of an
// expert is none of them, nor is a step that is not inside of the share from..to of all steps
// (Plan::window). interval: 1 or more; 1 marks none.
void mark_reuse(Plan& plan, int interval, double from = 0.0, double to = 1.0);

// names: what the experts are called ("structure", "texture"); an expert without a name is shown by
// its number.
std::string to_table(const Plan& plan, const std::vector<std::string>& names = {});
// {"boundaries":[...],"steps":[{"step":0,"sigma":..,"sigma_next":..,"t_index":..,"expert":".."},...]}
// A step that reuses features has the key "reuses_features", true; the table then has a column.
std::string to_json(const Plan& plan, const std::vector<std::string>& names = {});

}  // namespace pangu::diffusion
