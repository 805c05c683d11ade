// A family is added as one row here, and one name of the enumeration in families.h.
#include "io/families/family_table.h"

#include <algorithm>

namespace pangu::io {
namespace {

// Stable Diffusion's kind: attention at every level but the coarsest, and no pooled text.
bool is_sd(const NetworkSigns& signs) { return signs.context_dim > 0 && signs.first_level_attends; }

// SDXL's kind: no attention at the finest level; a pooled text and size numbers.
bool is_xl(const NetworkSigns& signs) {
  return signs.addition_dim > 0 && !signs.first_level_attends;
}

bool is_image_variations(const Recognised&, const NetworkSigns& s,
                         const Surroundings& surroundings) {
  return is_sd(s) && !s.linear_projection && surroundings.image_encoder &&
         surroundings.text_encoder == TextTower::kNone;
}
bool is_sd1(const Recognised&, const NetworkSigns& s, const Surroundings&) {
  return is_sd(s) && !s.linear_projection;
}
bool is_sd2(const Recognised&, const NetworkSigns& s, const Surroundings&) {
  return is_sd(s) && s.linear_projection;
}
bool is_pangu_draw_3(const Recognised& found, const NetworkSigns& s, const Surroundings&) {
  return is_xl(s) && found.addition_numbers == kPanguNumbers;
}
bool is_sdxl_refiner(const Recognised& found, const NetworkSigns& s, const Surroundings&) {
  return is_xl(s) && found.addition_numbers == kRefinerNumbers;
}
bool is_ssd_1b(const Recognised&, const NetworkSigns& s, const Surroundings&) {
  return is_xl(s) && !s.middle_attends;
}
bool is_sdxl(const Recognised&, const NetworkSigns& s, const Surroundings&) { return is_xl(s); }

}  // namespace

const std::vector<FamilyRow>& family_table() {
  constexpr std::string_view kNone;
  constexpr std::string_view kSgmFirst = "conditioner.embedders.0.transformer.",
                             kSgmSecond = "conditioner.embedders.1.model.";
  static const std::vector<FamilyRow> table = {
      {Family::kImageVariations, "Stable Diffusion image variations", 0, 0, false, false, false,
       kNone, kNone, is_image_variations},
      {Family::kStableDiffusion1, "Stable Diffusion 1.x", 768, 768, false, false, false,
       "cond_stage_model.transformer.", kNone, is_sd1},
      // Stable Diffusion 2 unCLIP: its classes are noised image embeddings.
      {Family::kStableDiffusion2, "Stable Diffusion 2.x", 1024, 1024, false, true, true,
       "cond_stage_model.model.", kNone, is_sd2},
      {Family::kPanguDraw3, "PanGu-Draw 3", 0, 0, false, false, false, kNone, kNone,
       is_pangu_draw_3},
      {Family::kSdxlRefiner, "SDXL refiner", 1280, 0, false, false, false, kNone,
       "conditioner.embedders.0.model.", is_sdxl_refiner},
      {Family::kSsd1b, "SSD-1B", 0, 0, false, false, false, kSgmFirst, kSgmSecond, is_ssd_1b},
      {Family::kSdxl, "SDXL base", 2048, 0, true, false, false, kSgmFirst, kSgmSecond, is_sdxl},
  };
  return table;
}

const FamilyRow* row_of(Family family) {
  const auto& table = family_table();
  const auto found = std::find_if(table.begin(), table.end(),
                                  [&](const FamilyRow& row) { return row.family == family; });
  return found == table.end() ? nullptr : &*found;
}

const char* name_of(Family family) {
  const FamilyRow* row = row_of(family);
  return row ? row->name : "no known family";
}

Family family_of_context(int64_t width) {
  for (const FamilyRow& row : family_table()) {
    if (width > 0 && row.context_width == width) return row.family;
  }
  return Family::kUnknown;
}

Family family_of_second_text_encoder() {
  for (const FamilyRow& row : family_table()) {
    if (row.has_second_text_encoder) return row.family;
  }
  return Family::kUnknown;
}

Family family_of_text_width(int64_t width) {
  for (const FamilyRow& row : family_table()) {
    if (width > 0 && row.text_width == width) return row.family;
  }
  return Family::kUnknown;
}

}  // namespace pangu::io
