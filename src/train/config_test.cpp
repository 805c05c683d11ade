// Configurations as files: paths, what a model says itself, and the way back into a file.
#include "train/config.h"

#include <doctest/doctest.h>

#include "core/testing.h"

namespace pangu::train {
namespace {

constexpr const char* kLeast = R"(output_dir = "run"
train_data_dir = ["../pictures", "/data"]
network_config = "unet.json"
model_dir = "model"
)";

TEST_CASE("paths in a file are taken from its folder, those of assignments from the current one") {
  const TestFolder folder;
  const std::string file = folder.write("configs/a.toml", std::string(kLeast));
  const TrainConfig c = TrainConfig::open(file, {"model_dir=here", "cache_dir=there"});
  CHECK(c.output_dir == folder.file("configs/run"));
  CHECK(c.train_data_dir == std::vector<std::string>{folder.file("pictures"), "/data"});
  CHECK(c.network_config == folder.file("configs/unet.json"));
  CHECK(c.model_dir == "here");
  CHECK(c.cache_dir == "there");
  CHECK(TrainConfig::open(file, {}).cache_dir == folder.file("configs/run/cache"));
}

TEST_CASE("an input that is not there is told by its key, with where paths are taken from") {
  const TestFolder folder;
  const std::string file = folder.write("configs/a.toml", std::string(kLeast));
  const std::string refusal = refusal_of([&] { require_inputs(TrainConfig::open(file, {})); });
  CHECK(contains(refusal, "network_config"));
  CHECK(contains(refusal, folder.file("configs/unet.json")));
  CHECK(contains(refusal, "folder of that file"));
  folder.write("configs/unet.json", std::string("{}"));
  folder.write("configs/model/vae/config.json", std::string("{}"));
  CHECK(
      contains(refusal_of([&] { require_inputs(TrainConfig::open(file, {})); }), "train_data_dir"));
  CHECK(refusal_of([&] {
          require_inputs(TrainConfig::open(file, {"train_data_dir=[\"" + folder.file("") + "\"]"}));
        }) == "accepted");
}

TEST_CASE("a configuration that is written is read as the same, from any folder") {
  const TestFolder folder;
  TrainConfig c;
  c.pretrained_model = folder.file("models/base");
  folder.write("models/base/model_index.json", std::string("{}"));
  c.output_dir = "out/mine";  // relative to the current folder
  c.cache_dir = "out/mine/cache";
  c.train_data_dir = {folder.file("my \"best\" pictures")};
  c.learning_rate = 1.5e-4;
  c.enable_bucket = true;
  c.sample_prompts = {"a fox", "一只狐狸"};
  const std::string text = c.toml(folder.file("configs"));
  CHECK(!contains(text, "max_train_steps"));  // a default
  CHECK(!contains(text, "cache_dir"));
  const TrainConfig read = TrainConfig::open(folder.write("configs/mine.toml", text), {});
  CHECK(std::filesystem::absolute(read.output_dir) == std::filesystem::absolute(c.output_dir));
  CHECK(read.train_data_dir == c.train_data_dir);
  CHECK(read.pretrained_model == c.pretrained_model);
  CHECK(read.learning_rate == c.learning_rate);
  CHECK(read.enable_bucket);
  CHECK(read.sample_prompts == c.sample_prompts);
}

TEST_CASE("a fused backward pass is refused with what needs the whole gradient") {
  const TestFolder folder;
  const std::string file = folder.write("a.toml", std::string(kLeast));
  std::vector<std::string> set = {"fused_backward_pass=true", "replicas=1"};
  const auto refusal = [&] { return refusal_of([&] { TrainConfig::open(file, set); }); };
  CHECK(contains(refusal(), "max_grad_norm"));
  set.push_back("max_grad_norm=0");
  CHECK(refusal() == "accepted");
  set.push_back("gradient_accumulation_steps=2");
  CHECK(contains(refusal(), "gradient_accumulation_steps"));
  set.back() = "replicas=2";
  CHECK(contains(refusal(), "replicas"));
  CHECK(contains(refusal_of([&] { TrainConfig::open(file, {"offload_ema=true", "device=cuda"}); }),
                 "offload_ema"));
}

TEST_CASE(
    "a distillation is refused without weights that draw, and with phases of no whole steps") {
  const TestFolder folder;
  const std::string file = folder.write("a.toml", std::string(kLeast));
  const std::string weights = folder.write("w.safetensors", std::string("-"));
  std::vector<std::string> set = {"task=denoiser", "model_dir=" + weights, "distillation_phases=3"};
  const auto refusal = [&] { return refusal_of([&] { TrainConfig::open(file, set); }); };
  CHECK(contains(refusal(), "initial_weights"));
  set.push_back("initial_weights=" + weights);
  CHECK(refusal() == "accepted");
  set.push_back("num_ddim_timesteps=25");
  CHECK(contains(refusal(), "num_ddim_timesteps"));
  CHECK(contains(refusal(), "a multiple of it"));
  set.back() = "task=autoencoder";
  CHECK(contains(refusal(), "task"));
}

TEST_CASE("a model that is fine-tuned may be a name, and says its own network and schedule") {
  const TestFolder folder;
  const std::string file = folder.write("a.toml", std::string(R"(output_dir = "run"
train_data_dir = ["pictures"]
pretrained_model_name_or_path = "models/mini"
)"));
  CHECK(TrainConfig::open(file, {}).pretrained_model == "models/mini");
  const auto refusal = [&](const char* assignment) {
    return refusal_of([&] { TrainConfig::open(file, {assignment}); });
  };
  for (const char* key : {"network_config=x", "model_dir=x", "min_timestep=3", "control=edges"}) {
    CHECK(contains(refusal(key), key));
    CHECK(contains(refusal(key), "pretrained_model_name_or_path says it"));
  }
  CHECK(refusal("min_timestep=0") == "accepted");
  CHECK(contains(refusal("task=autoencoder"), "denoiser"));
  CHECK(contains(refusal("expert=colour"), "'structure'"));
}

TEST_CASE("an inpainting model is made of a whole model, and not beside a LoRA") {
  const TestFolder folder;
  const std::string data =
      "output_dir = \"run\"\ntrain_data_dir = [\"pictures\"]\ninpainting = true\n";
  const std::string model = "pretrained_model_name_or_path = \"models/mini\"\n";
  const auto refusal = [&](const std::string& text) {
    return refusal_of([&] { TrainConfig::open(folder.write("a.toml", text), {}); });
  };
  CHECK(refusal(data + model) == "accepted");
  CHECK(contains(refusal(std::string(kLeast) + "inpainting = true\n"),
                 "pretrained_model_name_or_path"));
  CHECK(contains(refusal(data + model + "network_module = \"lora\"\n"), "inpainting"));
  CHECK(
      contains(refusal(data + model + "whole_mask_probability = 1.5\n"), "whole_mask_probability"));
  const std::string masks = data + model + "mask_data_dir = [\"masks\"]\n";
  CHECK(TrainConfig::open(folder.write("b/b.toml", masks), {}).mask_data_dir ==
        std::vector<std::string>{folder.file("b/masks")});
}

TEST_CASE("a LoRA changes the denoiser unless it is told to change the text encoders") {
  TrainConfig start;
  start.output_dir = "out";
  start.train_data_dir = {"pictures"};
  start.pretrained_model = "model";
  const auto with = [&](std::vector<std::string> more) { return TrainConfig::with(start, more); };
  CHECK_FALSE(changes_denoiser(with({})));
  CHECK_FALSE(changes_text(with({})));
  start.network_module = "lora";
  CHECK(changes_denoiser(with({})));
  CHECK_FALSE(changes_text(with({})));
  CHECK(changes_denoiser(with({"network_train_unet_only=false", "text_encoder_lr=5e-5"})));
  CHECK(changes_text(with({"network_train_unet_only=false"})));
  const TrainConfig alone = with({"network_train_text_encoder_only=true"});
  CHECK_FALSE(changes_denoiser(alone));
  CHECK(changes_text(alone));
  const auto refusal = [&](std::vector<std::string> more) {
    return refusal_of([&] { with(more); });
  };
  CHECK(contains(refusal({"text_encoder_lr=1e-4"}), "network_train_unet_only = false"));
  CHECK(contains(refusal({"unet_lr=1e-4", "network_train_text_encoder_only=true"}), "unet_lr"));
  CHECK(contains(refusal({"unet_lr=1e-4", "learning_rate=0"}), "above 0"));
  start.network_module = "";
  CHECK(contains(refusal({"network_train_unet_only=false"}), "lora"));
}

TEST_CASE("a configuration without a file needs the same keys") {
  TrainConfig start;
  CHECK(contains(refusal_of([&] { TrainConfig::with(start, {}); }), "output_dir"));
  start.output_dir = "out";
  start.train_data_dir = {"pictures"};
  start.pretrained_model = "models/mini";
  const TrainConfig c = TrainConfig::with(start, {"learning_rate=2e-4"});
  CHECK(c.learning_rate == 2e-4);
  CHECK(c.cache_dir == "out/cache");
  CHECK(
      contains(refusal_of([&] { TrainConfig::with(start, {"learning_rat=1"}); }), "learning_rate"));
}

}  // namespace
}  // namespace pangu::train
