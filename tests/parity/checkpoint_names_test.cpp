// Compares tiny checkpoints of every family as people have them (LDM single files, MindSpore .ckpt,
// LoRA in every naming, textual inversions) with the same models in folders of diffusers: families,
// names, shapes and values. The files are made when the test runs, by
// tools/parity/dump_checkpoints.py; without a Python that has diffusers the cases say so loudly and
// pass.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <map>

#include "case.h"
#include "core/error.h"
#include "io/families/families.h"
#include "io/ldm/ldm_names.h"
#include "io/lora/lora_names.h"
#include "io/lora/textual_inversion.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

namespace fs = std::filesystem;
using parity::read_json;

// The bytes must be the same, in the file's own precision, since nothing is computed.
constexpr double kBound = 0;

const parity::Dump& dumped() {
  static const parity::Dump dump("diffusers", "dump_checkpoints.py");
  return dump;
}

fs::path path_of(const std::string& name, const char* what) {
  const auto paths = read_json(dumped().folder() / name / "paths.json");
  return dumped().folder() / paths.at(what).get<std::string>();
}

at::Tensor tensor_of(const TensorView& view) {
  const std::map<DType, at::ScalarType> types = {
      {DType::F32, at::kFloat}, {DType::F16, at::kHalf}, {DType::BF16, at::kBFloat16}};
  at::Tensor tensor = at::empty(view.shape, types.at(view.dtype));
  REQUIRE(static_cast<size_t>(tensor.nbytes()) == view.size_bytes);
  std::memcpy(tensor.data_ptr(), view.data, view.size_bytes);
  return tensor.to(at::kFloat);
}

// Compares every tensor of a component with the folder's file; returns the number of tensors that
// only the single file has.
size_t compare(const NamedTensors& got, const TensorViews& want, const std::string& what) {
  double worst = 0;
  for (const auto& [name, view] : want) {
    const auto found = got.find(name);
    REQUIRE_MESSAGE(found != got.end(), what << ": " << name << " was not mapped");
    REQUIRE_MESSAGE(shape_of(found->second) == view.shape, what << ": " << name);
    at::Tensor tensor = tensor_of(found->second.view);
    if (found->second.transpose) tensor = tensor.t();
    worst = std::max(worst, parity::relative(tensor, tensor_of(view)));
  }
  parity::report(what + " (" + std::to_string(want.size()) + " tensors)", worst, kBound);
  return got.size() - want.size();
}

struct Case {
  const char* name;
  Family family;
  Part part;
  const char* human_name;
  std::map<std::string, size_t> more;  // numbers of tensors that a folder leaves out, by component
  std::map<std::string, size_t> skipped = {};
};

const std::vector<Case>& cases() {
  // The 16 tensors of Stable Diffusion 2's last layer, and its projection.
  const std::map<std::string, size_t> last_layer = {{"text_encoder", 17}};
  const std::map<std::string, size_t> scale = {{"buffer", 1}};
  static const std::vector<Case> all = {
      {"sd1",
       Family::kStableDiffusion1,
       Part::kCheckpoint,
       "Stable Diffusion 1.x",
       {},
       {{"buffer", 2}, {"EMA copy", 1}}},
      {"sd1_inpaint",
       Family::kStableDiffusion1,
       Part::kCheckpoint,
       "Stable Diffusion 1.x, inpainting (9 input channels)",
       {},
       {{"buffer", 2}, {"EMA copy", 1}}},
      {"image_variations",
       Family::kImageVariations,
       Part::kCheckpoint,
       "Stable Diffusion image variations",
       {}},
      {"sd2", Family::kStableDiffusion2, Part::kCheckpoint, "Stable Diffusion 2.x", last_layer,
       scale},
      {"sd2_v", Family::kStableDiffusion2, Part::kCheckpoint, "Stable Diffusion 2.x", last_layer,
       scale},
      {"sd2_inpaint", Family::kStableDiffusion2, Part::kCheckpoint,
       "Stable Diffusion 2.x, inpainting (9 input channels)", last_layer, scale},
      {"sdxl", Family::kSdxl, Part::kCheckpoint, "SDXL base", {}, scale},
      {"sdxl_inpaint",
       Family::kSdxl,
       Part::kCheckpoint,
       "SDXL base, inpainting (9 input channels)",
       {},
       scale},
      {"sdxl_refiner", Family::kSdxlRefiner, Part::kCheckpoint, "SDXL refiner", {}, scale},
      {"ssd_1b", Family::kSsd1b, Part::kCheckpoint, "SSD-1B", {}, scale},
      {"controlnet_sd1", Family::kStableDiffusion1, Part::kControlNet, "Stable Diffusion 1.x", {}},
      {"controlnet_sdxl", Family::kSdxl, Part::kControlNet, "SDXL base", {}}};
  return all;
}

void check_recognised(const Recognised& what, const Case& one, const char* file) {
  INFO(one.name << " as " << file << ": " << what.human_name);
  CHECK(std::string(name_of(what.family)) == name_of(one.family));
  CHECK(std::string(name_of(what.part)) == name_of(one.part));
  CHECK(what.human_name == one.human_name);
}

std::map<std::string, WeightsFile> components_in(const fs::path& folder) {
  std::map<std::string, WeightsFile> files;
  if (fs::exists(folder / "config.json")) {
    files.emplace("", WeightsFile::open(folder.string()));
    return files;
  }
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (fs::exists(entry.path() / "config.json")) {
      files.emplace(entry.path().filename().string(), WeightsFile::open(entry.path().string()));
    }
  }
  return files;
}

void check_single(const fs::path& single, const Case& one, const char* file) {
  const WeightsFile whole = WeightsFile::open(single.string());
  const Recognised what = recognise(whole.tensors(), whole.metadata());
  check_recognised(what, one, file);
  const Components found = components_of(whole.tensors(), what);
  CHECK_MESSAGE(found.unexpected.empty(), one.name << ": " << found.unexpected.front());
  CHECK_MESSAGE(found.missing.empty(), one.name << ": " << found.missing.front());
  CHECK(found.skipped == one.skipped);
  const auto folder = components_in(path_of(one.name, "folder"));
  CHECK(found.parts.size() == folder.size());
  for (const auto& [name, component] : folder) {
    const std::string part = name.empty() ? "controlnet" : name;
    REQUIRE(found.parts.count(part) == 1);
    const size_t more = compare(found.parts.at(part), component.tensors(),
                                std::string("names ") + file + " " + one.name + " " + part);
    CHECK(more == (one.more.count(part) ? one.more.at(part) : 0));
  }
}

TEST_CASE("the tensors of every family's single file are those of the same model in a folder") {
  if (!dumped().made()) return;
  for (const Case& one : cases()) {
    CAPTURE(one.name);
    check_single(path_of(one.name, "single"), one, "single");
    if (one.part == Part::kControlNet) check_single(path_of(one.name, "bare"), one, "bare");
  }
}

TEST_CASE("a folder of diffusers is recognised as what its single file is, and lacks nothing") {
  if (!dumped().made()) return;
  for (const Case& one : cases()) {
    CAPTURE(one.name);
    const auto files = components_in(path_of(one.name, "folder"));
    std::map<std::string, TensorViews> components;
    for (const auto& [name, file] : files) {
      components[name] = file.tensors();
      const Components found = components_of(file.tensors(), recognise(file.tensors()));
      CHECK_MESSAGE(found.missing.empty(), one.name << ": " << found.missing.front());
      CHECK_MESSAGE(found.unexpected.empty(), one.name << ": " << found.unexpected.front());
      REQUIRE(found.parts.size() == 1);
      CHECK(found.parts.begin()->second.size() == file.tensors().size());
    }
    check_recognised(
        components.count("") ? recognise(components.at("")) : recognise_components(components), one,
        "folder");
  }
}

TEST_CASE(
    "what a network of Stable Diffusion 2 predicts is told by its weights, others' by family") {
  if (!dumped().made()) return;
  for (const auto& [name, prediction] : {std::pair{"sd1", Prediction::kEps},
                                         {"sd2", Prediction::kEps},
                                         {"sd2_v", Prediction::kV},
                                         {"sd2_inpaint", Prediction::kEps},
                                         {"sdxl", Prediction::kEps}}) {
    CAPTURE(name);
    const WeightsFile single = WeightsFile::open(path_of(name, "single").string());
    const WeightsFile unet = WeightsFile::open((path_of(name, "folder") / "unet").string());
    for (const TensorViews* tensors : {&single.tensors(), &unet.tensors()}) {
      const Training training = training_of(*tensors, {}, recognise(*tensors));
      CHECK(std::string(name_of(training.prediction)) == name_of(prediction));
    }
  }
}

TEST_CASE("PanGu-Draw 3's two MindSpore files are the networks of the folder") {
  if (!dumped().made()) return;
  const auto folder = components_in(path_of("pangu_draw_3", "folder"));
  for (const char* which : {"single", "single_high"}) {
    const bool high = std::string(which) == "single_high";
    const WeightsFile file = WeightsFile::open(path_of("pangu_draw_3", which).string());
    CHECK(file.kind() == WeightsKind::kMindSpore);
    const Recognised what = recognise(file.tensors());
    CHECK(what.human_name == "PanGu-Draw 3");
    CHECK(what.addition_numbers == 1);
    CHECK(what.pooled_dim == 128);
    const Components found = components_of(file.tensors(), what);
    CHECK(found.missing.empty());
    CHECK(found.unexpected.empty());
    CHECK(found.skipped == std::map<std::string, size_t>{{"buffer", 1}});
    CHECK(found.parts.size() == 4);
    for (const auto& [part, tensors] : found.parts) {
      const std::string theirs = part == "unet" && !high ? "unet_texture" : part;
      CHECK(compare(tensors, folder.at(theirs).tensors(),
                    std::string("names MindSpore pangu_draw_3 ") + theirs) == 0);
    }
  }
}

TEST_CASE("both halves of TAESD are one AutoencoderTiny") {
  if (!dumped().made()) return;
  const WeightsFile folder = WeightsFile::open(path_of("taesd", "folder").string());
  CHECK(recognise(folder.tensors()).part == Part::kTinyVae);
  size_t tensors = 0;
  for (const char* half : {"single", "encoder"}) {
    const WeightsFile file = WeightsFile::open(path_of("taesd", half).string());
    const Recognised what = recognise(file.tensors());
    CHECK(what.part == Part::kTinyVae);
    const Components found = components_of(file.tensors(), what);
    CHECK(found.unexpected.empty());
    const NamedTensors& got = found.parts.at("vae");
    TensorViews want;
    for (const auto& [name, tensor] : got) {
      REQUIRE(folder.tensors().count(name) == 1);
      want[name] = folder.tensors().at(name);
    }
    CHECK(compare(got, want, std::string("names TAESD ") + half) == 0);
    tensors += got.size();
  }
  CHECK(tensors == folder.tensors().size());
}

BaseModules base_of(const std::string& family) {
  BaseModules base;
  for (const auto& [name, file] : components_in(path_of(family, "folder"))) {
    if (name != "vae") base[name] = module_shapes(file.tensors());
  }
  return base;
}

void check_lora(const std::string& name, const BaseModules& base, Layout layout, int64_t rank) {
  CAPTURE(name);
  const WeightsFile file = WeightsFile::open(path_of(name, "single").string());
  const Recognised what = recognise(file.tensors(), file.metadata());
  CHECK(what.part == Part::kLora);
  CHECK(std::string(name_of(what.layout)) == name_of(layout));
  const Lora lora = parse_lora(file.tensors(), file.metadata(), base, name);
  CHECK(lora.ignored.empty());
  const SafetensorsFile expected = SafetensorsFile::open(path_of(name, "expected").string());
  NamedTensors got;
  for (const LoraDelta& delta : lora.deltas) {
    const std::string prefix = delta.component + "/" + delta.module + "/";
    for (const auto& [part, tensor] : delta.parts) {
      constexpr std::string_view kNamed = "lora_";  // "lora_down"
      got[prefix + (name_of(part) + kNamed.size())] = {tensor.view, false};
    }
    CHECK(delta.rank == static_cast<double>(rank));
    CHECK(delta.alpha == scalar_of(expected.tensors().at(prefix + "alpha"), "alpha"));
  }
  TensorViews want;
  for (const auto& [key, view] : expected.tensors()) {
    if (!key.ends_with("/alpha")) want[key] = view;
  }
  CHECK(compare(got, want, "names " + name) == 0);
  const LoraSummary summary = summarise_lora(file.tensors(), file.metadata());
  CHECK(summary.ranks == std::map<int64_t, size_t>{{rank, lora.deltas.size()}});
}

TEST_CASE("LoRAs of every naming are the same changes of the same modules") {
  if (!dumped().made()) return;
  const BaseModules sd1 = base_of("sd1"), sdxl = base_of("sdxl");
  check_lora("lora_kohya_sd1", sd1, Layout::kKohya, 4);
  check_lora("lora_kohya_sd1_tucker", sd1, Layout::kKohya, 4);
  check_lora("lora_diffusers_first_sd1", sd1, Layout::kDiffusers, 4);
  check_lora("lora_peft_sd1", sd1, Layout::kPeft, 16);
  check_lora("lora_kohya_sdxl", sdxl, Layout::kKohya, 4);
  check_lora("lora_kohya_sdxl_ldm", sdxl, Layout::kKohya, 4);
  check_lora("lora_diffusers_sdxl", sdxl, Layout::kDiffusers, 8);
  check_lora("lora_diffusers_old_sdxl", sdxl, Layout::kDiffusers, 8);
}

TEST_CASE("a LoRA resolves against a single file as against the folder") {
  if (!dumped().made()) return;
  const WeightsFile single = WeightsFile::open(path_of("sdxl", "single").string());
  BaseModules base;
  for (const auto& [name, tensors] :
       components_of(single.tensors(), recognise(single.tensors())).parts) {
    if (name != "vae") base[name] = module_shapes(tensors);
  }
  check_lora("lora_kohya_sdxl_ldm", base, Layout::kKohya, 4);
  // The file has 1x1 convolutions instead of matrices, and other depths: its family is not that of
  // the base.
  const WeightsFile other = WeightsFile::open(path_of("lora_kohya_sd1", "single").string());
  CHECK_THROWS_AS(parse_lora(other.tensors(), other.metadata(), base, "other"), Error);
}

TEST_CASE("textual inversions of every naming are the same vectors") {
  if (!dumped().made()) return;
  const TextWidths one = {{"text_encoder", 64}};
  const TextWidths two = {{"text_encoder", 64}, {"text_encoder_2", 128}};
  for (const auto& [name, widths, token] :
       {std::tuple{"embedding_a1111", one, ""}, std::tuple{"embedding_sdxl", two, ""},
        std::tuple{"embedding_diffusers", one, "<cat-toy>"}}) {
    CAPTURE(name);
    const WeightsFile file = WeightsFile::open(path_of(name, "single").string());
    CHECK(recognise(file.tensors()).part == Part::kTextualInversion);
    const TextualInversion found = parse_textual_inversion(file.tensors(), widths, name);
    CHECK(found.token == token);
    const SafetensorsFile expected = SafetensorsFile::open(path_of(name, "expected").string());
    NamedTensors got;
    for (const auto& [encoder, view] : found.vectors) got[encoder] = {view, false};
    CHECK(compare(got, expected.tensors(), std::string("names ") + name) == 0);
  }
}

}  // namespace
}  // namespace pangu::io
