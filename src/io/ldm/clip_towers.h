// A whole CLIP out of one file, as its two towers in the names of transformers: OpenAI's,
// OpenCLIP's, transformers' own CLIPModel, and Chinese CLIP (CN-CLIP), whose text tower is a BERT.
// Only views are made. The networks are nn's.
#pragma once
#include <string>

#include "io/weights_file.h"

namespace pangu::io {

enum class ClipLayout { kUnknown, kOpenClip, kTransformers, kChinese };

struct ClipTowers {
  ClipLayout layout = ClipLayout::kUnknown;
  // OpenAI's own files say their sizes in tensors of one number (input_resolution, ...).
  bool says_its_sizes = false;
  NamedTensors vision;  // "vision_model....", "visual_projection.weight"
  // "text_model....", "text_projection.weight"; of Chinese CLIP BertModel's names and
  // "text_projection.weight".
  NamedTensors text;
};

// kUnknown, without tensors, if it is no CLIP with both towers. Error kBadInput for a tower that is
// no transformer (CLIP's ResNets), and naming a tensor whose shape contradicts its name.
ClipTowers clip_towers_of(const TensorViews& tensors);

}  // namespace pangu::io
