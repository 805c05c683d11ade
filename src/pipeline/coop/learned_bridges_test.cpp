// Tests learned bridges from folders, and which of several is picked.
#include "pipeline/coop/learned_bridges.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "nn/autoencoder/latent_converter.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

nn::LatentConverterConfig small_config() {
  nn::LatentConverterConfig c;
  c.from_channels = 2;
  c.to_channels = 3;
  c.from_space = "one";
  c.to_space = "two";
  c.grid_scale = 2.0;
  c.hidden_channels = 8;
  c.from_mean = {0, 0};
  c.from_std = {1, 1};
  c.to_mean = {0, 0, 0};
  c.to_std = {1, 1, 1};
  nn::choose_folds(c);
  return c;
}

void write_bridge(const TestFolder& folder, const std::string& name, uint64_t seed) {
  torch::manual_seed(seed);
  nn::LatentConverter converter(small_config());
  folder.write(name + "/config.json", small_config().to_json().dump());
  tensors::save_safetensors(folder.file(name + "/diffusion_pytorch_model.safetensors"),
                            nn::state_of(converter));
}

LatentSpace space(const std::string& encoder) { return {encoder, 1.0, 0.0}; }

TEST_CASE("a learned bridge is read from its folder and converts") {
  const at::NoGradGuard no_grad;
  const TestFolder folder;
  write_bridge(folder, "A-to-B", 1);
  const LearnedBridge bridge = open_learned_bridge(folder.file("A-to-B"));
  CHECK(bridge.from == space("one"));
  CHECK(bridge.to == space("two"));
  CHECK(bridge.grid_scale == 2.0);
  torch::manual_seed(1);
  nn::LatentConverter same(small_config());
  const at::Tensor z = at::randn({1, 2, 4, 4});
  CHECK(at::allclose(bridge.convert(z, 8, 8), same.forward(z, 8, 8), 1e-5, 1e-6));
}

TEST_CASE("a folder that is no learned bridge is refused with what it lacks") {
  const TestFolder folder;
  const auto refusal = [&](const std::string& name) {
    return refusal_of([&] { open_learned_bridge(folder.file(name)); });
  };
  CHECK(contains(refusal("nothing"), "no folder"));
  folder.write("empty/readme", "");
  CHECK(contains(refusal("empty"), "config.json"));
  folder.write("vae/config.json", R"({"_class_name": "AutoencoderKL"})");
  CHECK(contains(refusal("vae"), "LatentConverter"));
  folder.write("odd/config.json", "[1, 2]");
  CHECK(contains(refusal("odd"), "config.json"));
  folder.write("half/config.json", small_config().to_json().dump());
  CHECK(contains(refusal("half"), "diffusion_pytorch_model.safetensors"));
  auto json = small_config().to_json();
  json["from_std"] = {1, 0};
  write_bridge(folder, "bad", 1);
  folder.write("bad/config.json", json.dump());
  CHECK(contains(refusal("bad"), "from_std"));
  // Weights that do not fit are refused when they are read.
  json = small_config().to_json();
  json["hidden_channels"] = 9;
  folder.write("bad/config.json", json.dump());
  const LearnedBridge bridge = open_learned_bridge(folder.file("bad"));
  CHECK(contains(refusal_of([&] { bridge.convert(at::zeros({1, 2, 4, 4}), 8, 8); }), "conv_in"));
}

TEST_CASE("bridges are found in the folder of a training, and one level deep") {
  const TestFolder folder;
  write_bridge(folder, "A-to-B", 1);
  write_bridge(folder, "B-to-A", 2);
  folder.write("training/metrics.jsonl", "");
  CHECK(learned_bridges_in(folder.path.string()) ==
        std::vector<std::string>{folder.file("A-to-B"), folder.file("B-to-A")});
  CHECK(learned_bridges_in(folder.file("B-to-A")) ==
        std::vector<std::string>{folder.file("B-to-A")});
  CHECK(learned_bridges_in(folder.file("none")).empty());
}

TEST_CASE("of several learned bridges the one of the nearest ratio is picked") {
  const auto bridge = [](const char* from, const char* path, double grid_scale) {
    LearnedBridge b;
    b.from = space(from);
    b.to = space("two");
    b.path = path;
    b.grid_scale = grid_scale;
    b.convert = [](const at::Tensor& x, int64_t, int64_t) { return x; };
    return b;
  };
  const std::vector<LearnedBridge> learned = {bridge("one", "half", 0.5), bridge("one", "same", 1),
                                              bridge("other", "other", 0.7)};
  const auto through = [](const at::Tensor& x) { return x; };
  const auto picked = [&](const std::string& requested, int width, int height) {
    const BridgeEnd from{"m", space("one"), 4, 8, 64, 64, through, {}, {}, {}};
    const BridgeEnd to{"n", space("two"), 4, 8, width, height, {}, {}, through, {}};
    return pick_bridge(requested, from, to, learned).why;
  };
  CHECK(picked("learned", 64, 64) == "same");
  CHECK(picked("learned", 56, 56) == "same");
  CHECK(picked("learned", 24, 24) == "half");
  CHECK(picked("auto", 64, 64) == "same");
  CHECK(picked("auto", 32, 32) == "half");
  // No bridge was trained for these ratios, so "auto" takes the exact one.
  CHECK(picked("auto", 56, 56) == "decoder of m, encoder of n");
  CHECK(picked("auto", 64, 32) == "decoder of m, encoder of n");
}

TEST_CASE("of equally near bridges the named one is picked, then the better documented one") {
  const auto bridge = [](const char* path, std::optional<double> psnr_db, bool named) {
    LearnedBridge b;
    b.from = space("one"), b.to = space("two"), b.path = path;
    b.psnr_db = psnr_db;
    b.exact_psnr_db = 30.04;
    b.named = named;
    return b;
  };
  const auto picked = [](const std::vector<LearnedBridge>& learned) {
    const BridgeEnd from{"m", space("one"), 4, 8, 64, 64, {}, {}, {}, {}};
    const BridgeEnd to{"n", space("two"), 4, 8, 64, 64, {}, {}, {}, {}};
    return pick_bridge("auto", from, to, learned).why;
  };
  const auto silent = bridge("silent", {}, false), poor = bridge("poor", 21.0, false);
  const auto good = bridge("good", 27.06, false), named = bridge("named", 20.0, true);
  CHECK(picked({silent, poor, good}) == "good, 27.1 dB on held-out pictures (exact: 30.0)");
  CHECK(picked({good, named, poor}) == "named, 20.0 dB on held-out pictures (exact: 30.0)");
  CHECK(picked({silent}) == "silent");
}

TEST_CASE("what a training measured is read from the configuration, if it is there") {
  const TestFolder folder;
  write_bridge(folder, "b", 1);
  const auto bridge_of = [&](const nlohmann::json& training) {
    nlohmann::json json = small_config().to_json();
    json["training"] = training;
    folder.write("b/config.json", json.dump());
    return open_learned_bridge(folder.file("b"));
  };
  nlohmann::json training = {{"linear", {{"psnr_db", 22.0}}},
                             {"trained", {{"psnr_db", 21.0}}},
                             {"exact", {{"psnr_db", 30.0}}},
                             {"kept", "linear"}};
  CHECK(bridge_of(training).psnr_db == 22.0);
  CHECK(bridge_of(training).exact_psnr_db == 30.0);
  training["kept"] = "trained";
  CHECK(bridge_of(training).psnr_db == 21.0);
  for (const nlohmann::json& odd : {nlohmann::json(), nlohmann::json(3), nlohmann::json::array({1}),
                                    nlohmann::json{{"kept", 7}, {"trained", {{"psnr_db", "?"}}}}}) {
    CHECK_FALSE(bridge_of(odd).psnr_db.has_value());
  }
}

}  // namespace
}  // namespace pangu::pipeline
