// Each component goes to its section of the file, whose rule names its tensors. What comes of it is
// then renamed as a reader would: structures that the names of a single file cannot tell are found
// out here and not by whoever reads the file.
#include "io/ldm/single_file.h"

#include <algorithm>

#include "core/error.h"
#include "io/families/family_table.h"
#include "io/ldm/ldm_names.h"
#include "io/ldm/ldm_parts.h"
#include "io/tensor_names.h"

namespace pangu::io {
namespace {

constexpr const char* kExpected = "tensors that a single file in LDM's names has";

// Null if single files of the family have no place for the component.
const Section* section_of(const FamilyRow& row, const std::string& component) {
  const bool is_text = component == "text_encoder" || component == "text_encoder_2";
  const std::string_view wanted =
      component == "text_encoder" ? row.text_section : row.second_text_section;
  const auto sections = checkpoint_sections();
  const auto found = std::find_if(sections.begin(), sections.end(), [&](const Section& section) {
    return section.restore && section.component == component &&
           (!is_text || section.prefix == wanted);
  });
  return found == sections.end() ? nullptr : &*found;
}

void refuse_nameless(const std::string& component, const std::vector<std::string>& nameless) {
  if (nameless.empty()) return;
  throw bad_input(
      "component " + component, kExpected,
      short_quoted(nameless.front()) +
          (nameless.size() > 1 ? " and " + std::to_string(nameless.size() - 1) + " others" : ""));
}

// Only names, types and shapes count; the data are somewhere in the component.
TensorViews views_of(const std::map<std::string, NamedTensors>& components,
                     const std::vector<SingleFileTensor>& tensors) {
  TensorViews views;
  for (const SingleFileTensor& tensor : tensors) {
    const NamedTensors& given = components.at(tensor.component);
    TensorView view{tensor.dtype, tensor.shape, given.at(tensor.parts.front()).view.data, 0};
    for (const std::string& part : tensor.parts) view.size_bytes += given.at(part).view.size_bytes;
    views.emplace(tensor.name, std::move(view));
  }
  return views;
}

void check_reads_back(Family family, const std::map<std::string, NamedTensors>& components,
                      const std::vector<SingleFileTensor>& tensors) {
  const TensorViews views = views_of(components, tensors);
  const Recognised what = recognise(views);
  if (what.family != family) {
    throw bad_input("model", std::string("a single file of ") + name_of(family),
                    "one that would be taken for " + what.human_name);
  }
  const Components read = components_of(views, what);
  for (const auto& [component, given] : components) {
    const auto part = read.parts.find(component);
    std::vector<std::string> others;
    for (const auto& [name, tensor] : given) {
      const bool comes_back = part != read.parts.end() && part->second.count(name) &&
                              shape_of(part->second.at(name)) == shape_of(tensor);
      if (!comes_back) others.push_back(name);
    }
    refuse_nameless(component, others);
  }
}

}  // namespace

bool is_written_as_single_file(Family family) {
  const FamilyRow* row = row_of(family);
  return row && !(row->text_section.empty() && row->second_text_section.empty());
}

std::vector<SingleFileTensor> single_file_tensors(
    Family family, const std::map<std::string, NamedTensors>& components) {
  if (!is_written_as_single_file(family)) {
    throw bad_input("model",
                    "Stable Diffusion 1.x or 2.x, SDXL, its refiner or SSD-1B, which are one file",
                    name_of(family), "a folder holds any model");
  }
  std::vector<SingleFileTensor> tensors;
  for (const auto& [component, given] : components) {
    const Section* section = section_of(*row_of(family), component);
    if (!section) {
      throw bad_input("model", std::string("the parts of a single file of ") + name_of(family),
                      "the component " + component);
    }
    std::vector<std::string> nameless;
    Restored restored{*section, tensors, nameless};
    section->restore(given, restored);
    refuse_nameless(component, nameless);
  }
  check_reads_back(family, components, tensors);
  return tensors;
}

void Restored::put(std::string name, const std::string& given, const NamedTensor& tensor) {
  put(std::move(name), given, tensor, shape_of(tensor), false);
}

void Restored::put(std::string name, const std::string& given, const NamedTensor& tensor,
                   std::vector<int64_t> shape, bool is_transposed) {
  tensors.push_back({std::string(section.prefix) + std::move(name),
                     std::string(section.component),
                     {given},
                     is_transposed,
                     tensor.view.dtype,
                     std::move(shape)});
}

}  // namespace pangu::io
