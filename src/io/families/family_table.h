// The families as a table: what they are called, and what tells each from the others. Not a public
// contract of the room (io/families/families.h is).
#pragma once
#include <vector>

#include "io/families/family_signs.h"

namespace pangu::io {

struct FamilyRow {
  Family family;
  const char* name;
  // Released widths of the cross-attention's context and of a text encoder's table, by which an
  // adapter without a base is told; 0: another family has the width first.
  int64_t context_width, text_width;
  // An adapter that says no more than that there are two text encoders is one for this family.
  bool has_second_text_encoder;
  // LDM's label_emb.0 is an embedding of a class, which diffusers calls class_embedding; else it is
  // of pooled text and sizes.
  bool labels_are_classes;
  // Models of eps and of v have equal names and shapes.
  bool predicts_eps_or_v;
  // Whether a denoiser or ControlNet is one of it. The size numbers of `found` are known.
  bool (*fits)(const Recognised& found, const NetworkSigns& signs, const Surroundings& beside);
};

// In the order in which they are asked.
const std::vector<FamilyRow>& family_table();
// Nothing for kUnknown.
const FamilyRow* row_of(Family family);

}  // namespace pangu::io
