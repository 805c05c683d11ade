// Samplers and schedules by the names that other tools call them: A1111's web UI ("DPM++ 2M
// Karras"), ComfyUI ("dpmpp_2m_sde_gpu"), k-diffusion ("k_euler_a"), diffusers
// ("EulerDiscreteScheduler"). The names are fields of the entries (Sampler, SigmaRule); case,
// blanks, "_", "-" and the "++" that some write "pp" count for nothing.
#pragma once
#include <optional>
#include <string>

namespace pangu::diffusion {

// By our own names.
struct NamedSampler {
  std::string sampler;
  std::optional<std::string> schedule;  // if the name says one too
};

// Error kBadInput lists our names, and hints at the nearest.
NamedSampler named_sampler(const std::string& text);
// Empty for "automatic", which leaves the choice to the model. Errors as above.
std::optional<std::string> named_schedule(const std::string& text);

}  // namespace pangu::diffusion
