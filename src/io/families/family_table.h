// The families as a table: their names, and what tells each from the others. This is no public
// contract of the room (io/families/families.h is).
#pragma once
#include <string_view>
#include <vector>

#include "io/families/family_signs.h"

namespace pangu::io {

struct FamilyRow {
  Family family;
  const char* name;
  // Released widths of the cross-attention's context and of a text encoder's table, by which an
  // adapter that names no base model is recognised. 0: an earlier row has the same width.
  int64_t context_width, text_width;
  // Whether an adapter is taken for this family that shows nothing but that its base has two text
  // encoders.
  bool has_second_text_encoder;
  // Whether LDM's label_emb.0 embeds a class, which diffusers calls class_embedding; otherwise it
  // embeds the pooled text and sizes.
  bool labels_are_classes;
  // Whether models that predict eps and models that predict v have equal names and shapes.
  bool predicts_eps_or_v;
  // The prefixes of a single file under which its text encoders are written (io/ldm/single_file.h);
  // none: models of the family are not written as one file.
  std::string_view text_section, second_text_section;
  // Whether a denoiser or ControlNet is of this family. addition_numbers of `found` is set before.
  bool (*fits)(const Recognised& found, const NetworkSigns& signs,
               const Surroundings& surroundings);
};

// The rows in the order in which they are tried.
const std::vector<FamilyRow>& family_table();
// The row of a family; null for kUnknown.
const FamilyRow* row_of(Family family);

}  // namespace pangu::io
