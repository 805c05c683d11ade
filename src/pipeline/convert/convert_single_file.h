// A model as one .safetensors in the names that CompVis and Stability AI released checkpoints in
// (io/ldm/single_file.h), with the metadata of Stability AI's model specification that kohya's
// trainers write, so that A1111, ComfyUI and those trainers open it.
#pragma once
#include <string>

#include "pipeline/convert/convert.h"
#include "pipeline/families/source.h"

namespace pangu::pipeline {

// Error kBadInput if the model cannot be one file: it has two experts or is trained on a part of
// the timesteps, its family is not released so, or its configurations say what readers of a single
// file do not see and would take for the family's own: betas, a prediction type other than epsilon
// and v, the factor of latents, heads, groups of norms, activations of text encoders.
void check_single_file(const Source& source);

// Writes the file `out`; `path` is the source's own. Beside the tensors of the components it has
//   position_ids       of OpenAI's CLIP, as released files have them
//   v_pred, ztsnr      empty tensors, if the network predicts v, and of zero terminal SNR
//   the spare layer    that single files of Stable Diffusion 2 have behind the last one that is
//                      read, which a folder has dropped: a copy of the layer before it
// Errors as check_single_file and convert_model.
Converted convert_to_single_file(const Source& source, const std::string& path,
                                 const std::string& out, const ConvertOptions& options,
                                 const OnProgress& on_progress);

}  // namespace pangu::pipeline
