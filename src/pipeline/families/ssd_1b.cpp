// SSD-1B (Gupta et al. 2024, arXiv 2401.02677): SDXL with transformer blocks taken out one by one,
// and with one residual block alone in the middle. All around the network is SDXL's.
#include "pipeline/families/spec.h"

namespace pangu::pipeline {

FamilySpec sdxl();

FamilySpec ssd_1b() {
  FamilySpec s = sdxl();
  s.family = io::Family::kSsd1b;
  s.recognises = family_is(s.family);
  // What was taken out does not change the states that a ControlNet adds to.
  s.adapters = {io::Family::kSsd1b, io::Family::kSdxl};
  return s;
}

}  // namespace pangu::pipeline
