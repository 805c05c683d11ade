// Compares CLIP's two encoders with transformers, layer by layer in f32, and the preparation of
// pictures with its processor. The reference is made when the test runs, by
// tools/parity/dump_clip.py; without a Python that has transformers the cases say so loudly and
// pass.
#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <nlohmann/json.hpp>

#include "case.h"
#include "nn/text/clip_text.h"
#include "nn/text/clip_vision.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

namespace fs = std::filesystem;

constexpr double kBound = 1e-4;  // f32 sums in another order, through up to 32 layers

const parity::Dump& dumped() {
  static const parity::Dump dump("transformers", "dump_clip.py");
  return dump;
}

// The outputs of layers by name, for one forward pass.
struct Trace {
  TensorMap outputs;
  TraceFn fn = [this](const std::string& name, const at::Tensor& output) {
    outputs[name] = output.clone();
  };
};

TEST_CASE("every layer of CLIP's text models equals transformers', and all that families take") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(dumped().folder() / "text")) {
    const std::string name = "clip text " + entry.path().filename().string();
    CAPTURE(name);
    const auto config = ClipTextConfig::from_json(parity::read_json(entry.path() / "config.json"));
    const TensorMap weights =
        tensors::load_safetensors((entry.path() / "weights.safetensors").string());
    ClipTextModel model(config);
    load_into(model, weights);
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());

    Trace trace;
    ClipTextRequest request;
    request.hidden_states = true;
    request.trace = trace.fn;
    if (t.contains("in/added")) request.added_embeddings = t.at("in/added");
    const ClipTextOutput out = model.forward(t.at("in/ids"), request);

    parity::Worst worst;
    parity::compare_layers(t, trace.outputs, worst);
    worst.add("last_hidden", out.last_hidden, t.at("out/last_hidden"));
    if (t.contains("out/pooled")) worst.add("pooled", out.pooled, t.at("out/pooled"));
    if (config.has_projection) worst.add("embeds", out.text_embeds, t.at("out/text_embeds"));
    CHECK(config.has_projection == t.contains("out/text_embeds"));
    REQUIRE(out.hidden_states.size() == static_cast<size_t>(config.num_hidden_layers) + 1);
    for (size_t i = 0; i < out.hidden_states.size(); ++i) {
      const std::string key = "out/hidden/" + std::string(i < 10 ? "0" : "") + std::to_string(i);
      worst.add(key, out.hidden_states[i], t.at(key));
    }
    worst.add("final norm of the last state", model.final_norm(out.hidden_states.back()),
              t.at("out/last_hidden"));
    worst.report(name, kBound);

    // The same configuration read off the shapes.
    const ClipTextConfig read = clip_text_config_from_shapes(shapes_of(model), config.hidden_act);
    ClipTextModel again(read);
    load_into(again, weights);
    ClipTextRequest plain;
    plain.added_embeddings = request.added_embeddings;
    CHECK(at::equal(again.forward(t.at("in/ids"), plain).last_hidden, out.last_hidden));
    ++cases;
  }
  CHECK(cases == 6);
}

TEST_CASE("every layer of CLIP's vision models equals transformers'") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  size_t cases = 0;
  for (const auto& entry : fs::directory_iterator(dumped().folder() / "vision")) {
    const auto config =
        ClipVisionConfig::from_json(parity::read_json(entry.path() / "config.json"));
    ClipVisionModel model(config);
    load_into(model, tensors::load_safetensors((entry.path() / "weights.safetensors").string()));
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());
    Trace trace;
    const ClipVisionOutput out = model.forward(t.at("in/pixels"), trace.fn);
    parity::Worst worst;
    parity::compare_layers(t, trace.outputs, worst);
    worst.add("last_hidden", out.last_hidden, t.at("out/last_hidden"));
    worst.add("image_embeds", out.image_embeds, t.at("out/image_embeds"));
    worst.report("clip vision " + entry.path().filename().string(), kBound);
    CHECK(clip_vision_config_from_shapes(shapes_of(model), config.hidden_act) == config);
    ++cases;
  }
  CHECK(cases == 2);
}

// The bytes must be the same; their normalisation is rounded once or twice in f32.
TEST_CASE("pictures come out of the preparation as out of transformers' processor") {
  if (!dumped().made()) return;
  const TensorMap t =
      tensors::load_safetensors((dumped().folder() / "pictures.safetensors").string());
  // One byte in the channel with the smallest deviation.
  const double step = 1.0 / 255.0 / 0.26130258;
  for (int i = 0; i < 5; ++i) {
    const std::string index = std::to_string(i);
    const at::Tensor picture = t.at("in/" + index).unsqueeze(0).to(at::kFloat) / 255.0;
    const at::Tensor want = t.at("out/" + index);
    const at::Tensor got = clip_pixels(picture);
    REQUIRE(got.sizes() == want.sizes());
    const at::Tensor off = (got - want).abs() / step;
    const auto text = c10::str(picture.size(2), "x", picture.size(3));
    parity::report("clip pixels " + text + ", steps of 1/255", off.max().item<double>(), 1e-4);
  }
}

}  // namespace
}  // namespace pangu::nn
