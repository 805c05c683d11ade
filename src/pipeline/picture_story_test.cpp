// What pictures say of their drawing: our own, the web UI's, ComfyUI's.
#include "pipeline/picture_story.h"

#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "diffusion/image_noise.h"
#include "pipeline/coop/toy_models.h"
#include "pipeline/picture_text.h"
#include "text/infotext.h"

namespace pangu::pipeline {
namespace {

using nlohmann::json;

Request a_request(const Model& model) {
  Request request;
  request.prompt = "a cat, <lora:ink:0.5>";
  request.negative = "blurry";
  request.clip_skip = 2;
  return resolved(request, model.rules, 5);
}

PictureKeeps keeps() {
  PictureKeeps keeps;
  keeps.model.model = "some/model.safetensors";
  keeps.model.load.loras = {{"a/ink.safetensors", 0.5, 0.5}, {"b/hat.safetensors", 0.8, {}}};
  keeps.model.load.vae = "a/vae.safetensors";
  keeps.model.load.controlnets = {"a/net"};
  keeps.model.load.refiner = "a/refiner";
  keeps.model.load.refiner_start = 0.7;
  keeps.model.load.vae_tile = 128;
  keeps.folder = "pictures";
  keeps.mark = [](const std::string& path) {
    if (path == "a/refiner") throw bad_input("refiner", "a file", "none");
    return io::ContentMark{"sha256", "of " + path};
  };
  keeps.lora_hash = [](const std::string&) { return std::string(64, '7'); };
  return keeps;
}

PictureStory web(const std::string& text) {
  return story_of_text({{kParametersText, text}}, "a.png");
}

PictureStory comfy(const json& graph) { return story_of_text({{"prompt", graph.dump()}}, "a.png"); }

// The graph that ComfyUI begins with, and a LoRA.
json comfy_graph() {
  const auto node = [](const char* kind, json inputs) {
    return json{{"class_type", kind}, {"inputs", std::move(inputs)}};
  };
  const auto link = [](const char* id, int output) { return json::array({id, output}); };
  return {{"3", node("KSampler", {{"seed", 156680208700286},
                                  {"steps", 20},
                                  {"cfg", 8.0},
                                  {"sampler_name", "dpmpp_2m"},
                                  {"scheduler", "karras"},
                                  {"denoise", 1.0},
                                  {"model", link("10", 0)},
                                  {"positive", link("6", 0)},
                                  {"negative", link("7", 0)},
                                  {"latent_image", link("5", 0)}})},
          {"4", node("CheckpointLoaderSimple", {{"ckpt_name", "sd/v1-5.safetensors"}})},
          {"5", node("EmptyLatentImage", {{"width", 512}, {"height", 768}, {"batch_size", 1}})},
          {"6", node("CLIPTextEncode", {{"text", "a glass bottle"}, {"clip", link("10", 1)}})},
          {"7", node("CLIPTextEncode", {{"text", "watermark"}, {"clip", link("10", 1)}})},
          {"8", node("VAEDecode", {{"samples", link("3", 0)}, {"vae", link("4", 2)}})},
          {"9", node("SaveImage", {{"images", link("8", 0)}})},
          {"10", node("LoraLoader", {{"lora_name", "ink.safetensors"},
                                     {"strength_model", 0.7},
                                     {"strength_clip", 0.7},
                                     {"model", link("4", 0)},
                                     {"clip", link("4", 1)}})}};
}

}  // namespace

TEST_CASE("a picture says with which model it was drawn, and with what was loaded") {
  const Model model = toys::toy("mini", 64);
  const Request request = a_request(model);
  const auto text = png_text(model, request, 0, keeps());
  std::vector<std::string> asked;
  const PictureStory story = story_of_text(text, "a.png", [&](const KeptInput& input) {
    asked.push_back(input.path);
    if (input.path == "a/vae.safetensors") {
      CHECK(input.mark == io::ContentMark{"sha256", "of a/vae.safetensors"});
      CHECK(input.relative == "../a/vae.safetensors");
    }
    if (input.path == "a/refiner") CHECK_FALSE(input.mark);
    return "found/" + input.path;
  });
  CHECK(story.origin == kOwnOrigin);
  CHECK(story.request == request);
  CHECK(story.mark.path == "some/model.safetensors");
  CHECK(story.mark.name == "mini");
  CHECK(story.load.dtype == "f32");
  CHECK(story.load.vae_tile == 128);
  CHECK(asked.size() == 5);
  LoadOptions expected = keeps().model.load;
  expected.vae_tile = 0;  // of all models
  expected.vae_dtype = "f32";
  for (LoraUse& use : expected.loras) use.path = "found/" + use.path;
  expected.vae = "found/" + expected.vae;
  expected.controlnets[0] = "found/" + expected.controlnets[0];
  expected.refiner = "found/" + expected.refiner;
  CHECK(story.model.load == expected);
}

TEST_CASE("our settings have the web UI's names, and are read back with them") {
  const Model model = toys::toy("my model, CFG scale: 99, x", 64);
  Request request = a_request(model);
  request.sampler = "dpmpp_2m";
  request.schedule = "karras";
  request.init_image = "a.png";
  request.strength = 0.4;
  const std::string text = png_text(model, request, 0, keeps()).at(kParametersText);
  const text::Infotext info = text::parse_infotext(text);
  CHECK(info.prompt == "a cat, <lora:ink:0.5><lora:hat:0.8>");
  CHECK(info.negative == "blurry");
  CHECK(info.find("Sampler") == "DPM++ 2M Karras");
  CHECK(info.find("Schedule type") == "Karras");
  CHECK(info.find("Denoising strength") == "0.4");
  CHECK(info.find("Clip skip") == "2");
  CHECK(info.find("Model") == "my model, CFG scale: 99, x");
  CHECK(info.find("CFG scale") == "2");
  CHECK(info.find("Lora hashes") == "ink: 777777777777, hat: 777777777777");
  const PictureStory story = web(text);
  CHECK(story.request.sampler == "dpmpp_2m");
  CHECK(story.request.schedule == "karras");
  CHECK(story.request.seed == 5);
  CHECK(story.request.width == 64);
  CHECK(story.mark.name == "my model, CFG scale: 99, x");
}

TEST_CASE("a picture of the web UI becomes a request, and what has no counterpart is listed") {
  const PictureStory story = web(
      "a (red:1.2) fox\nNegative prompt: blurry\nSteps: 20, Sampler: DPM++ 2M Karras, CFG scale: "
      "7.5, Seed: 4294967297, Size: 512x768, Model hash: 6ce0161689, Model: v1-5-pruned, Clip "
      "skip: 2, Denoising strength: 0.7, RNG: CPU, Hires upscale: 2, Hires upscaler: Latent, "
      "Version: v1.10.1");
  CHECK(story.origin == "A1111's web UI");
  CHECK(story.request.prompt == "a (red:1.2) fox");
  CHECK(story.request.negative == "blurry");
  CHECK(story.request.steps == 20);
  CHECK(story.request.sampler == "dpmpp_2m");
  CHECK(story.request.schedule == "karras");
  CHECK(story.request.guidance == 7.5);
  CHECK(story.request.seed == 4294967297);
  CHECK(story.request.width == 512);
  CHECK(story.request.height == 768);
  CHECK(story.request.clip_skip == 2);
  CHECK(story.request.noise == "torch-cpu");
  CHECK_FALSE(story.request.strength);  // it is that of the second pass
  CHECK(story.request.hires_scale == 2.0);
  CHECK(story.request.hires_strength == 0.7);
  CHECK(story.mark.name == "v1-5-pruned");
  REQUIRE(story.unmatched.size() == 1);
  CHECK(story.unmatched[0].starts_with("Hires upscaler: Latent"));
  const PictureStory from_picture =
      web("a cat\nSteps: 20, Seed: 1, Size: 64x64, Denoising strength: 0.4, Eta: 0.5");
  CHECK(from_picture.request.strength == 0.4);
  REQUIRE(from_picture.unmatched.size() == 1);
  CHECK(contains(from_picture.unmatched[0], "Denoising strength: 0.4"));
  const PictureStory odd = web("a cat\nSteps: 20, Sampler: Restart, Seed: 1, Size: 64x64");
  CHECK_FALSE(odd.request.sampler);
  CHECK(odd.unmatched == std::vector<std::string>{"Sampler: Restart"});
  CHECK(contains(refusal_of([] { web("a\nSteps: x, Seed: 1, Size: 8x8"); }), "Steps: x"));
}

TEST_CASE("the web UI's second pass and its enlarging are ours, in both directions") {
  const Model model = toys::toy("mini", 64);
  Request request = a_request(model);
  request.hires_scale = 1.5;
  request.hires_strength = 0.55;
  request.upscale = 2.0;
  PictureKeeps kept = keeps();
  kept.model.load.upscaler = "up/4x.safetensors";
  for (const bool has_network : {true, false}) {
    if (!has_network) kept.model.load.upscaler.clear();
    const std::string text = png_text(model, request, 0, kept).at(kParametersText);
    const text::Infotext info = text::parse_infotext(text);
    CHECK(info.find("Hires upscale") == "1.5");
    CHECK(info.find("Hires upscaler") == (has_network ? "4x" : "Lanczos"));
    CHECK(info.find("Hires steps") == info.find("Steps"));
    CHECK(info.find("Denoising strength") == "0.55");
    CHECK(info.find("Postprocess upscale by") == "2");
    const PictureStory story = web(text);
    CHECK(story.request.hires_scale == 1.5);
    CHECK(story.request.hires_strength == 0.55);
    CHECK(story.request.upscale == 2.0);
    std::string unmatched;
    for (const std::string& one : story.unmatched) unmatched += one + "\n";
    CHECK(contains(unmatched, "Hires upscaler: 4x (--upscaler") == has_network);
    CHECK_FALSE(contains(unmatched, "Hires steps"));
  }
  const PictureStory sized =
      web("a cat\nSteps: 20, Seed: 1, Size: 512x768, Hires resize: 1024x1536, Hires steps: 9");
  CHECK(sized.request.hires_scale == 2.0);
  CHECK(sized.unmatched == std::vector<std::string>{"Hires steps: 9"});
  const PictureStory reshaped =
      web("a cat\nSteps: 20, Seed: 1, Size: 512x768, Hires resize: 1024x1024");
  CHECK(reshaped.request.hires_scale == 1.0);
  CHECK(reshaped.unmatched == std::vector<std::string>{"Hires resize: 1024x1024"});
}

TEST_CASE("a picture of a grid keeps the grid and what its cells share") {
  const Model model = toys::toy("mini", 64);
  PictureKeeps kept = keeps();
  kept.grid = grid_from("sampler=euler_a,\"DPM++ 2M\" guidance=1,2.5");
  kept.of_grid.prompt = "a cat";
  kept.of_grid.seed = 5;
  const auto text = png_text(model, a_request(model), 0, kept);
  const PictureStory own = story_of_text(text, "a.png");
  CHECK(own.grid == kept.grid);
  CHECK(own.request == kept.of_grid);
  const text::Infotext info = text::parse_infotext(text.at(kParametersText));
  CHECK(info.find("Script") == "X/Y/Z plot");
  CHECK(info.find("Y Type") == "CFG Scale");
  const PictureStory read = web(text.at(kParametersText));
  CHECK(read.grid == kept.grid);
}

TEST_CASE("a plot of the web UI is a grid, or is listed") {
  const std::string begin = "a cat\nSteps: 20, Seed: 1, Size: 64x64, Script: X/Y/Z plot, ";
  const PictureStory both = web(begin +
                                "X Type: Seed, X Values: \"-1,-1\", Fixed X Values: \"7, 8\", "
                                "Y Type: Checkpoint name, Y Values: \"a.ckpt, b\"");
  REQUIRE(both.grid);
  CHECK(*both.grid == grid_from("seed=7,8 model=a.ckpt,b"));
  CHECK(both.unmatched.empty());
  for (const char* other :
       {"X Type: Prompt S/R, X Values: \"cat, dog\"", "X Type: Steps, X Values: 10-30 (+10)",
        "X Type: Steps, X Values: \"1,2\", Z Type: Seed, Z Values: \"3,4\""}) {
    const PictureStory story = web(begin + other);
    CHECK_FALSE(story.grid);
    CHECK(story.unmatched.size() >= 3);
  }
  CHECK(web("a\nSteps: 2, Seed: 1, Size: 8x8, Script: Prompt matrix").unmatched ==
        std::vector<std::string>{"Script: Prompt matrix"});
}

TEST_CASE("a picture of ComfyUI becomes a request, and nodes without counterpart are listed") {
  json graph = comfy_graph();
  const PictureStory story = comfy(graph);
  CHECK(story.origin == "ComfyUI");
  CHECK(story.request.prompt == "a glass bottle<lora:ink:0.7>");
  CHECK(story.request.negative == "watermark");
  CHECK(story.request.seed == 156680208700286);
  CHECK(story.request.steps == 20);
  CHECK(story.request.guidance == 8.0);
  CHECK(story.request.sampler == "dpmpp_2m");
  CHECK(story.request.schedule == "karras");
  CHECK(story.request.width == 512);
  CHECK(story.request.height == 768);
  CHECK(story.mark.name == "v1-5");
  CHECK(story.unmatched.empty());
  graph["11"] = {{"class_type", "UpscaleModelLoader"}, {"inputs", json::object()}};
  graph["3"]["inputs"]["seed"] = json::array({"12", 0});
  graph["12"] = {{"class_type", "PrimitiveNode"}, {"inputs", {{"value", 9}}}};
  graph["3"]["inputs"]["positive"] = json::array({"13", 0});
  graph["13"] = {{"class_type", "ControlNetApply"},
                 {"inputs", {{"conditioning", json::array({"6", 0})}, {"strength", 1.0}}}};
  const PictureStory more = comfy(graph);
  CHECK(more.request.seed == 9);
  CHECK(more.request.prompt == "a glass bottle<lora:ink:0.7>");
  CHECK(more.unmatched ==
        std::vector<std::string>{"node ControlNetApply", "node UpscaleModelLoader"});
}

TEST_CASE("graphs that no ComfyUI wrote are refused or read, never followed for ever") {
  CHECK(contains(refusal_of([] { comfy(json::array()); }), "nodes"));
  CHECK(contains(refusal_of([] { comfy({{"3", {{"class_type", "KSampler2"}}}}); }), "KSampler"));
  json graph = comfy_graph();
  graph["10"]["inputs"]["model"] = json::array({"10", 0});  // a circle
  graph["6"]["inputs"] = 3;
  graph["3"]["inputs"]["steps"] = "many";
  graph["3"]["inputs"]["latent_image"] = json::array({"99", 0});
  graph["14"] = 7;
  const PictureStory story = comfy(graph);
  CHECK_FALSE(story.request.steps);
  CHECK_FALSE(story.request.width);
}

TEST_CASE("a picture that says nothing, or damaged things, is refused by its name") {
  CHECK(contains(refusal_of([] { story_of_text({}, "a.png"); }), "a.png"));
  for (const char* text :
       {"{", "[]", "{}", "{\"request\": 3}", "{\"request\": {}, \"load\": 3}",
        "{\"request\": {}, \"load\": {\"lora\": 3}}", "{\"request\": {}, \"model\": 3}",
        "{\"recipe\": {}}", "{\"request\": {}, \"model\": {\"name\": 3}}"}) {
    CHECK(refusal_of([&] { story_of_text({{kJsonText, text}}, "a.png"); }) != "accepted");
  }
  const PictureStory old =
      story_of_text({{kJsonText, "{\"request\": {}, \"files\": []}"}}, "a.png");
  CHECK(old.mark.name.empty());
}

}  // namespace pangu::pipeline
