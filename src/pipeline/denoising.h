// From a model, a request and its pictures to a denoiser: prompts read by every text side,
// guidance, ControlNets, experts by sigma. What drawing with one model (draw.h) and with several
// (coop.h) share; not a contract of the room.
#pragma once
#include <chrono>
#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "core/watch.h"
#include "diffusion/denoiser.h"
#include "diffusion/experts.h"
#include "diffusion/image_noise.h"
#include "pipeline/canvas.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {

// Adds the time of a call to its phase, and asks the drawing's watch before it.
class Stopwatch {
 public:
  // Both outlive it.
  Stopwatch(Timings& timings, const Watch& watch) : timings_(timings), watch_(watch) {}
  const Watch& watch() const { return watch_; }
  template <class Call>
  auto operator()(const std::string& phase, Call&& call) {
    watch_.check();
    const auto start = std::chrono::steady_clock::now();
    struct Stop {
      Timings& timings;
      const std::string& phase;
      std::chrono::steady_clock::time_point start;
      ~Stop() {
        const double s =
            std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
        for (auto& [name, seconds] : timings) {
          if (name == phase) {
            seconds += s;
            return;
          }
        }
        timings.emplace_back(phase, s);
      }
    } stop{timings_, phase, start};
    return call();
  }

 private:
  Timings& timings_;
  const Watch& watch_;
};

// The experts that one drawing keeps in memory: of each of its models at most one, that of the
// stage it is in (Expert::hold).
class HeldExperts {
 public:
  // Lets the model's other expert go first. Where it has to wait for other drawings it lets go of
  // those of all models, so that two drawings that wait for each other cannot be.
  void hold(const Model& model, size_t expert, Stopwatch& timed);
  void let_go() { held_.clear(); }

 private:
  struct Held {
    size_t expert = 0;
    std::shared_ptr<const void> hold;
  };
  std::map<const Model*, Held> held_;
};

// What `work` draws, or has drawn by the time that the watch stopped it.
template <class Work>
Drawing drawn(Work&& work) {
  Drawing drawing;
  try {
    work(drawing);
  } catch (const Stopped&) {
    drawing.stopped = true;
  }
  return drawing;
}

// What one member of one drawing works with. Denoisers made from it refer to it and to its parts.
struct Job {
  const Model& model;
  const Request& request;  // resolved
  const diffusion::Plan& plan;
  const Canvas& canvas;
  Stopwatch& timed;
  HeldExperts& held;
};

// What the request's sampler is told beside the noise levels. request: resolved.
diffusion::SamplerOptions sampler_options(const Model& model, const Request& request);

// Row order of diffusion/guidance.h: negative, prompt, styles.
std::vector<std::string> prompts_of(const Model& model, const Request& request);

// Prompts as they were read by every text side: row r of prompt p is row r * prompt_count + p.
struct ReadPrompts {
  // Prompts may change while a picture is drawn: each set is what every side read of one state.
  std::vector<std::vector<Conditions>> sets;
  // From most noise to least: the set that holds down to this noise level, itself included.
  struct Phase {
    double sigma_low = 0.0;
    size_t set = 0;
  };
  std::vector<Phase> phases;
  int64_t prompt_count = 1;  // 1: all images of a batch share it; else one prompt an image
  // Weights of the parts of a prompt that AND joins, or empty. The first part is the prompt's row,
  // the others have rows behind those of the styles.
  std::vector<double> joined_weights;

  size_t set_at(double sigma) const {
    for (const Phase& phase : phases) {
      if (sigma >= phase.sigma_low) return phase.set;
    }
    return phases.back().set;
  }

  Conditions rows(size_t set, size_t side, const std::vector<int>& chosen, int64_t batch) const {
    std::vector<int64_t> numbers;
    for (const int row : chosen) {
      for (int64_t i = 0; i < batch; ++i) {
        numbers.push_back(row * prompt_count + (prompt_count == 1 ? 0 : i));
      }
    }
    return sets[set][side].rows(numbers);
  }
};

// of_each: the prompts of every picture, in the row order of prompts_of. Prompts that change at a
// step change at the noise level at which the plan has that step. A prompt alone is parted at the
// word AND; among several it is a word.
ReadPrompts read_prompts(const Job& job, const std::vector<std::vector<std::string>>& of_each,
                         const at::Tensor& picture_prompt);

// Guided, and routed to the expert of each sigma; a consistency model's if the sampler is for
// these. extra_channels: [batch,E,h,w] of inpainting networks, or undefined. With
// Request::reuse_features the result remembers features, so that it serves one drawing only.
diffusion::Denoiser denoiser_of(const Job& job, const ReadPrompts& prompts, int64_t batch,
                                const at::Tensor& extra_channels);

// Loads who reads the prompts, and who takes the plan's steps; each network's time by its name.
// They are apart so that a last drawing lets go of the first before it loads the second.
void load_text_sides(const Model& model, Stopwatch& timed);
void load_denoisers(const Model& model, const diffusion::Plan& plan, Stopwatch& timed);

// Of an encoder's posterior, one a picture: its mean, or, if `draws`, a sample by the next noise.
at::Tensor sample_of(const Posterior& posterior, int64_t batch, bool draws,
                     diffusion::ImageNoise& noise);

// Takes the pictures of one drawing in their order.
using TakePicture = std::function<void(image::Image picture)>;
// The hooks' taker, or one that adds to the drawing's pictures. Both outlive it.
TakePicture taker_of(const DrawHooks& hooks, Drawing& drawing);

// Gives the pictures of latents [N,C,h,w] at the end of the plan, one at a time, so that a
// picture's last bits do not depend on its neighbours.
void decode_all(const Job& job, const at::Tensor& latents, const TakePicture& take);

}  // namespace pangu::pipeline
