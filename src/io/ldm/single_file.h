// What the tensors of a model are called in one file, as CompVis and Stability AI released their
// checkpoints and as A1111, ComfyUI and kohya's trainers read and write them: the rules of
// ldm_names.h, backwards. No weight is read or copied.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "io/families/families.h"
#include "io/weights_file.h"

namespace pangu::io {

// A tensor of a single file, made of one or several tensors of one component.
struct SingleFileTensor {
  std::string name;       // "cond_stage_model.model.transformer.resblocks.0.attn.in_proj_bias"
  std::string component;  // "text_encoder"
  // Names in the component; rows of several follow each other (query, key and value).
  std::vector<std::string> parts;
  bool is_transposed = false;  // the one part is [O,I], this tensor [I,O]
  DType dtype = DType::F32;    // of the parts
  std::vector<int64_t> shape;  // of this tensor
};

// Whether models of the family are written as one file: Stable Diffusion 1.x and 2.x, SDXL, its
// refiner and SSD-1B.
bool is_written_as_single_file(Family family);

// components: by the names of Components::parts, with tensors as components_of returns them.
// Reading the file with components_of gives the same tensors again. Throws kBadInput for a family
// that is not written so, for a component that has no place in the file, and for tensors that have
// no name there or that would be read back as others; the message has the first of them.
std::vector<SingleFileTensor> single_file_tensors(
    Family family, const std::map<std::string, NamedTensors>& components);

}  // namespace pangu::io
