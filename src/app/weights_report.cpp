#include "app/weights_report.h"

#include <algorithm>

#include "app/table.h"
#include "core/error.h"
#include "io/families/families.h"
#include "io/ldm/ldm_names.h"
#include "io/lora/lora_names.h"
#include "io/lora/lora_settings.h"

namespace pangu::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

constexpr size_t kListed = 8;  // names of a list that the text shows

struct Sum {
  int64_t tensors = 0, parameters = 0, size_bytes = 0;
  OrderedJson parameters_by_dtype = OrderedJson::object();

  void add(const io::TensorView& view) {
    const int64_t count = io::element_count(view.shape);
    const char* dtype = io::name_of(view.dtype);
    ++tensors;
    parameters += count;
    size_bytes += static_cast<int64_t>(view.size_bytes);
    parameters_by_dtype[dtype] = parameters_by_dtype.value(dtype, int64_t{0}) + count;
  }
};

bool has_components(io::Part part) {
  switch (part) {
    case io::Part::kUnknown:
    case io::Part::kLora:
    case io::Part::kTextualInversion:
    case io::Part::kUpscaler:
      return false;
    default:
      return true;
  }
}

void add_components(OrderedJson& report, const io::TensorViews& tensors,
                    const io::Recognised& what) {
  try {
    const io::Components found = io::components_of(tensors, what);
    OrderedJson components = OrderedJson::array();
    for (const auto& [name, part] : found.parts) {
      Sum sum;
      for (const auto& [key, tensor] : part) sum.add(tensor.view);
      components.push_back({{"name", name},
                            {"tensors", sum.tensors},
                            {"parameters", sum.parameters},
                            {"parameters_by_dtype", sum.parameters_by_dtype}});
    }
    report["components"] = components;
    report["missing"] = found.missing;
    report["unexpected"] = found.unexpected;
    report["skipped"] = found.skipped;
  } catch (const Error& problem) {
    report["problem"] = problem.what();
  }
}

void add_prediction(OrderedJson& report, const io::WeightsFile& file, const io::Recognised& what) {
  try {
    const io::Training training = io::training_of_file(file, file.paths().front(), what);
    if (!training.unsupported.empty()) report["problem"] = "marker tensor " + training.unsupported;
    if (training.prediction == io::Prediction::kUnknown) return;
    report["recognised"]["prediction"] = io::name_of(training.prediction);
    report["recognised"]["prediction_told_by"] = training.because;
  } catch (const Error& problem) {
    report["problem"] = problem.what();
  }
}

template <typename Key>
OrderedJson counts_of(const std::map<Key, size_t>& counts) {
  OrderedJson found = OrderedJson::array();
  for (const auto& [value, modules] : counts) {
    found.push_back({{"value", value}, {"modules", modules}});
  }
  return found;
}

OrderedJson lora_report(const io::LoraSummary& lora) {
  return {{"made_for", lora.made_for},      {"forms", lora.forms},
          {"ranks", counts_of(lora.ranks)}, {"alphas", counts_of(lora.alphas)},
          {"targets", lora.targets},        {"convolutions", lora.convolutions},
          {"embeddings", lora.embeddings},  {"ignored", lora.ignored},
          {"unsupported", lora.unsupported}};
}

// "rank 4 (12 modules), 8 (2 modules)"
std::string counts_text(const OrderedJson& counts) {
  std::string text;
  for (const OrderedJson& item : counts) {
    text += (text.empty() ? "" : ", ") + item["value"].dump() + " (" + item["modules"].dump() +
            (item["modules"] == 1 ? " module)" : " modules)");
  }
  return text.empty() ? "not said" : text;
}

std::string list_text(const OrderedJson& names) {
  if (names.empty()) return "none";
  std::string text = std::to_string(names.size()) + ": ";
  for (size_t i = 0; i < std::min(kListed, names.size()); ++i) {
    text += (i ? ", " : "") + names[i].get<std::string>();
  }
  return text + (names.size() > kListed ? ", ... (--json lists all)" : "");
}

std::string pairs_text(const OrderedJson& counts) {
  std::string text;
  for (const auto& [name, count] : counts.items()) {
    text += (text.empty() ? "" : ", ") + name + " (" + count.dump() + ")";
  }
  return text.empty() ? "none" : text;
}

void add_recognised_rows(std::vector<Row>& rows, const OrderedJson& report) {
  const OrderedJson& what = report["recognised"];
  rows.push_back({"is", what["name"].get<std::string>()});
  const std::string kind = report["kind"], layout = what["layout"];
  const bool known = layout != io::name_of(io::Layout::kUnknown);
  rows.push_back({"layout", what["part"].get<std::string>() + (known ? ", " + layout : "") +
                                (kind == "model" ? " folder" : " (" + kind + ")")});
  if (what.contains("prediction")) {
    rows.push_back({"predicts", what["prediction"].get<std::string>() + " (told by: " +
                                    what["prediction_told_by"].get<std::string>() + ")"});
  }
}

void add_lora_rows(std::vector<Row>& rows, const OrderedJson& lora) {
  rows.push_back({"form", pairs_text(lora["forms"])});
  rows.push_back({"rank", counts_text(lora["ranks"])});
  rows.push_back({"alpha", counts_text(lora["alphas"])});
  const bool convolutions = lora["convolutions"] != 0;
  rows.push_back(
      {"changes",
       pairs_text(lora["targets"]) +
           (convolutions ? "; " + lora["convolutions"].dump() + " of convolutions" : "")});
  if (!lora["embeddings"].empty()) {
    rows.push_back({"embeddings", list_text(lora["embeddings"])});
  }
  if (!lora["ignored"].empty()) rows.push_back({"left out", list_text(lora["ignored"])});
  const std::string unsupported = lora["unsupported"];
  if (!unsupported.empty()) rows.push_back({"problem", "not supported: " + unsupported});
}

}  // namespace

OrderedJson recognised_report(const io::Recognised& what) {
  OrderedJson found = {{"name", what.human_name},
                       {"family", io::name_of(what.family)},
                       {"layout", io::name_of(what.layout)},
                       {"part", io::name_of(what.part)}};
  if (!what.unsupported.empty()) found["unsupported"] = what.unsupported;
  const std::pair<const char*, int64_t> numbers[] = {{"in_channels", what.in_channels},
                                                     {"latent_channels", what.latent_channels},
                                                     {"context_dim", what.context_dim},
                                                     {"pooled_dim", what.pooled_dim}};
  for (const auto& [key, value] : numbers) {
    if (value > 0) found[key] = value;
  }
  return found;
}

OrderedJson weights_report(const io::WeightsFile& file, const std::string& path,
                           bool every_tensor) {
  Sum sum;
  OrderedJson metadata = OrderedJson::object(), list = OrderedJson::array();
  for (const auto& [name, view] : file.tensors()) {
    sum.add(view);
    if (every_tensor) {
      list.push_back({{"name", name}, {"dtype", io::name_of(view.dtype)}, {"shape", view.shape}});
    }
  }
  for (const auto& [key, text] : file.metadata()) metadata[key] = text;
  OrderedJson report = {{"kind", io::name_of(file.kind())},
                        {"path", path},
                        {"tensors", sum.tensors},
                        {"parameters", sum.parameters},
                        {"size_bytes", sum.size_bytes},
                        {"parameters_by_dtype", sum.parameters_by_dtype},
                        {"metadata", metadata}};
  const io::Recognised what = io::recognise(file.tensors(), file.metadata());
  report["recognised"] = recognised_report(what);
  if (what.part == io::Part::kCheckpoint || what.part == io::Part::kUnet) {
    add_prediction(report, file, what);
  }
  if (has_components(what.part)) add_components(report, file.tensors(), what);
  if (what.part == io::Part::kLora) {
    report["lora"] = lora_report(io::summarise_lora(file.tensors(), io::lora_metadata(file, path)));
  }
  if (what.part == io::Part::kTextualInversion) {
    OrderedJson& embeddings = report["embeddings"] = OrderedJson::object();
    for (const auto& [name, view] : file.tensors()) embeddings[name] = view.shape;
  }
  if (every_tensor) report["tensor_list"] = list;
  return report;
}

std::string precision_text(const OrderedJson& parameters_by_dtype) {
  double total = 0;
  for (const OrderedJson& count : parameters_by_dtype) total += count.get<double>();
  std::vector<std::pair<double, std::string>> parts;
  for (const auto& [dtype, count] : parameters_by_dtype.items()) {
    parts.emplace_back(count.get<double>(), dtype);
  }
  std::stable_sort(parts.begin(), parts.end(),
                   [](const auto& a, const auto& b) { return a.first > b.first; });
  std::string text;
  for (const auto& [count, dtype] : parts) {
    constexpr double kWhole = 100;
    const double share = total > 0 ? kWhole * count / total : 0;
    const std::string percent =
        share < 1 ? "<1" : std::to_string(static_cast<int>(share + 0.5));  // rounded
    text += (text.empty() ? "" : ", ") + dtype + (parts.size() > 1 ? " " + percent + "%" : "");
  }
  return text;
}

std::string report_text(const OrderedJson& report) {
  std::vector<Row> rows;
  if (report.contains("recognised")) add_recognised_rows(rows, report);
  if (report.contains("lora")) add_lora_rows(rows, report["lora"]);
  if (report.contains("embeddings")) {
    for (const auto& [name, shape] : report["embeddings"].items()) {
      rows.push_back({"embedding", name + " " + shape.dump()});
    }
  }
  if (report.contains("enlarges")) {
    rows.push_back({"enlarges", report["enlarges"].dump() + " times (draw --upscaler)"});
  }
  for (const char* key : {"missing", "unexpected"}) {
    if (report.contains(key)) rows.push_back({key, list_text(report[key])});
  }
  if (report.contains("skipped")) rows.push_back({"skipped", pairs_text(report["skipped"])});
  if (report.contains("problem")) {
    rows.push_back({"problem", report["problem"].get<std::string>()});
  }
  std::string text = table(rows);
  if (!report.contains("components")) return text;
  std::vector<Row> parts = {{"component", "tensors", "parameters", "types"}};
  for (const OrderedJson& part : report["components"]) {
    parts.push_back({part["name"].get<std::string>(), part["tensors"].dump(),
                     human_count(part["parameters"].get<int64_t>()),
                     precision_text(part["parameters_by_dtype"])});
  }
  return text + (parts.size() > 1 ? table(parts) : "");
}

}  // namespace pangu::app
