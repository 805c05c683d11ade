// Compares the UNet with diffusers' UNet2DConditionModel, layer by layer in the order of
// computation, in f32. The reference is made when the test runs, by tools/parity/dump_unet.py
// (random weights, tiny widths, the topology of the real models); without a Python that has
// diffusers the case says so loudly and passes.
//   PANGU_PYTHON        the interpreter (else the one CMake found)
//   PANGU_UNET_PARITY   a folder with cases dumped before (else a temporary one)
#include "nn/unet/unet.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>

#include "case.h"
#include "nn/weights.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

namespace fs = std::filesystem;

// f32 sums in another order, through up to 300 layers.
constexpr double kBound = 1e-4;

at::Tensor input(const TensorMap& tensors, const std::string& name) {
  const auto it = tensors.find("in/" + name);
  return it == tensors.end() ? at::Tensor() : it->second;
}

UNetExtras extras_of(const TensorMap& tensors) {
  UNetExtras extras;
  extras.context_mask = input(tensors, "context_mask");
  extras.text_embeds = input(tensors, "text_embeds");
  extras.time_ids = input(tensors, "time_ids");
  extras.class_labels = input(tensors, "class_labels");
  extras.mid_residual = input(tensors, "mid_residual");
  for (const auto& [name, tensor] : tensors) {
    if (name.starts_with("in/down_residual/")) extras.down_residuals.push_back(tensor);
  }
  return extras;
}

// Compares one dumped case; prints one line and the first layer that is off.
void compare(const fs::path& folder) {
  const at::NoGradGuard no_grad;
  std::ifstream file(folder / "config.json");
  UNet2DConditionModel unet(unet_config_from_json(nlohmann::json::parse(file)));
  TensorMap weights;
  for (const auto& part : fs::directory_iterator(folder)) {
    if (!part.path().filename().string().starts_with("weights")) continue;
    weights.merge(tensors::load_safetensors(part.path().string(), false));
  }
  load_into(unet, weights);
  weights.clear();
  const TensorMap tensors = tensors::load_safetensors((folder / "tensors.safetensors").string());

  TensorMap outputs;
  UNetExtras extras = extras_of(tensors);
  extras.trace = [&](const std::string& name, const at::Tensor& output) {
    outputs[name] = output.clone();
  };
  unet.forward(input(tensors, "sample"), input(tensors, "t_index"), input(tensors, "context"),
               extras);

  double worst = 0;
  size_t layers = 0;
  std::string first_off;
  for (const auto& [key, want] : tensors) {  // "out/0007/LAYER" sorts by depth
    if (!key.starts_with("out/")) continue;
    const std::string layer = key.substr(9);
    ++layers;
    REQUIRE_MESSAGE(outputs.count(layer) == 1, layer, " is not reported by the model");
    REQUIRE_MESSAGE(outputs[layer].sizes() == want.sizes(), layer, " has another shape");
    const double difference = parity::relative(outputs[layer], want);
    if (!(difference <= worst)) worst = difference;
    if (first_off.empty() && !(difference <= kBound)) first_off = layer;
  }
  CHECK(layers == outputs.size());
  INFO("first layer off: " << first_off);
  parity::report("unet " + folder.filename().string() + " (" + std::to_string(layers) + " layers)",
                 worst, kBound);
}

TEST_CASE("every layer of the UNet equals diffusers' to 1e-4, for the topology of every model") {
  const char* given = std::getenv("PANGU_UNET_PARITY");
  const fs::path folder = given ? fs::path(given) : fs::temp_directory_path() / "pangu_unet_parity";
  if (!given) {
    if (!parity::python_has("diffusers")) {
      std::printf("SKIPPED: UNet parity, because %s cannot import diffusers\n",
                  parity::python().c_str());
      MESSAGE("SKIPPED: UNet parity needs a Python with diffusers (set PANGU_PYTHON)");
      return;
    }
    REQUIRE(parity::run_tool("dump_unet.py", folder.string()));
  }
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (!fs::exists(entry.path() / "tensors.safetensors")) continue;
    CAPTURE(entry.path().string());
    compare(entry.path());
    ++cases;
  }
  CHECK(cases > 0);
  if (!given) fs::remove_all(folder);
}

}  // namespace
}  // namespace pangu::nn
