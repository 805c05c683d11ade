// Whatever a file's tensors are called and shaped like: recognising, splitting, renaming and naming
// back either end with an Error or account for every tensor, and hand out views that lie inside the
// file's.
#include <cstdint>

#include "core/error.h"
#include "io/ldm/ldm_names.h"
#include "io/ldm/single_file.h"
#include "io/lora/textual_inversion.h"
#include "tensor_lines.h"

using namespace pangu::io;
using pangu::fuzz::require;

namespace {

void name_back(Family family, const Components& found) {
  try {
    size_t named = 0, given = 0;
    for (const auto& tensor : single_file_tensors(family, found.parts))
      named += tensor.parts.size();
    for (const auto& [component, part] : found.parts) given += part.size();
    require(named == given);
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const TensorViews tensors = pangu::fuzz::tensors_of({reinterpret_cast<const char*>(data), size});
  const Recognised what = recognise(tensors);
  require(!what.human_name.empty());
  recognise_components({{"unet", tensors}, {"text_encoder", tensors}, {"vae", tensors}});
  try {
    training_of(tensors, {{"modelspec.prediction_type", "v"}}, what);
    training_of(tensors, {}, what);
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  try {
    const Components found = components_of(tensors, what);
    size_t named = found.unexpected.size();
    for (const auto& [kind, count] : found.skipped) named += count;
    for (const auto& [component, part] : found.parts) {
      named += part.size();
      std::vector<std::string> modules;
      for (const auto& [name, tensor] : part) {
        pangu::fuzz::require_inside(tensor.view);
        modules.push_back(name);
      }
      ldm_modules_of(modules);
    }
    require(named >= tensors.size());  // a fused projection becomes three
    name_back(what.family, found);
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  try {
    const auto words =
        parse_textual_inversion(tensors, {{"text_encoder", 8}, {"text_encoder_2", 16}}, "input");
    for (const auto& [encoder, view] : words.vectors) require(view.shape.size() == 2);
  } catch (const pangu::Error& error) {
    require(error.code() == pangu::ErrorCode::kBadInput);
  }
  return 0;
}
