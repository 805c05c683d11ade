// Compares AutoencoderKL with diffusers' class of that name, with random weights in f32; and the
// files of the embedded model, which diffusers must load and for which it must compute the same
// numbers.
#include <doctest/doctest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>

#include "case.h"
#include "core/testing.h"
#include "nn/autoencoder/autoencoder_kl.h"
#include "nn/unet/unet.h"
#include "nn/weights.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

namespace fs = std::filesystem;

constexpr double kBound = 1e-4;  // f32 sums in another order

void report(const std::string& what, double difference) {
  parity::report(what, difference, kBound);
}

nlohmann::json read_json(const fs::path& path) {
  std::ifstream file(path);
  return nlohmann::json::parse(file);
}

// The folder of a dump, removed at the end.
struct Dump {
  fs::path folder;
  explicit Dump(const char* name) : folder(fs::temp_directory_path() / name) {
    fs::remove_all(folder);
    fs::create_directories(folder);
  }
  ~Dump() { fs::remove_all(folder); }
};

bool skipped(const char* what) {
  if (parity::python_has("diffusers")) return false;
  std::printf("SKIPPED: %s, because %s cannot import diffusers\n", what, parity::python().c_str());
  MESSAGE("SKIPPED: needs a Python with diffusers (set PANGU_PYTHON)");
  return true;
}

TEST_CASE("the autoencoder equals diffusers' for every topology") {
  if (skipped("autoencoder parity")) return;
  const at::NoGradGuard no_grad;
  const Dump dump("pangu_autoencoder_parity");
  REQUIRE(parity::run_tool("dump_autoencoder.py", dump.folder.string()));
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(dump.folder)) {
    AutoencoderKL vae(AutoencoderKLConfig::from_json(read_json(entry.path() / "config.json")));
    load_into(vae, tensors::load_safetensors((entry.path() / "weights.safetensors").string()));
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());
    const auto [mean, logvar] = vae.encode(t.at("image"));
    const std::string name = "autoencoder " + entry.path().filename().string();
    report(name + " mean", parity::relative(mean, t.at("mean")));
    report(name + " logvar", parity::relative(logvar, t.at("logvar")));
    report(name + " decoded", parity::relative(vae.decode(t.at("latent")), t.at("decoded")));
    ++cases;
  }
  CHECK(cases == 3);
}

TEST_CASE("diffusers loads the embedded model and computes the same") {
  if (skipped("the embedded model in diffusers")) return;
  const at::NoGradGuard no_grad;
  const fs::path model = fs::path(kSourceDir) / "models/mini";
  const Dump dump("pangu_mini_parity");
  const std::string file = (dump.folder / "tensors.safetensors").string();
  REQUIRE(parity::run_tool("dump_mini.py", model.string() + " " + file));
  const TensorMap t = tensors::load_safetensors(file);
  for (const char* part : {"unet", "unet_texture"}) {
    UNet2DConditionModel unet(unet_config_from_json(read_json(model / part / "config.json")));
    load_into(unet, tensors::load_safetensors(
                        (model / part / "diffusion_pytorch_model.safetensors").string()));
    UNetExtras extras;
    extras.context_mask = t.at("mask").to(at::kBool);
    extras.class_labels = mean_context(t.at("context"), extras.context_mask);
    report(std::string("models/mini ") + part,
           parity::relative(unet.forward(t.at("sample"), t.at("t_index"), t.at("context"), extras),
                            t.at(part)));
  }
  AutoencoderKL vae(AutoencoderKLConfig::from_json(read_json(model / "vae/config.json")));
  load_into(
      vae, tensors::load_safetensors((model / "vae/diffusion_pytorch_model.safetensors").string()));
  report("models/mini vae encoder",
         parity::relative(vae.encode(t.at("image")).first, t.at("mean")));
  report("models/mini vae decoder", parity::relative(vae.decode(t.at("mean")), t.at("decoded")));
}

}  // namespace
}  // namespace pangu::nn
