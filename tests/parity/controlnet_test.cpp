// Compares ControlNet with diffusers' ControlNetModel, layer by layer in f32. The reference is made
// when the test runs, by tools/parity/dump_controlnet.py; without a Python that has diffusers the
// case says so loudly and passes.
#include "nn/unet/controlnet.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;  // f32 sums in another order, through up to 150 layers

TEST_CASE("every layer and residual of a ControlNet equals diffusers'") {
  const parity::Dump dump("diffusers", "dump_controlnet.py");
  if (!dump.made()) return;
  const at::NoGradGuard no_grad;
  size_t cases = 0;
  for (const auto& entry : std::filesystem::directory_iterator(dump.folder())) {
    const std::string name = entry.path().filename().string();
    CAPTURE(name);
    const auto json = parity::read_json(entry.path() / "config.json");
    const auto config = ControlNetConfig::from_json(json);
    ControlNetModel model(config);
    load_into(model, tensors::load_safetensors((entry.path() / "weights.safetensors").string()));
    const TensorMap t = tensors::load_safetensors((entry.path() / "tensors.safetensors").string());

    TensorMap outputs;
    UNetExtras extras;
    extras.trace = [&](const std::string& layer, const at::Tensor& output) {
      outputs[layer] = output.clone();
    };
    if (t.contains("in/text_embeds")) {
      extras.text_embeds = t.at("in/text_embeds");
      extras.time_ids = t.at("in/time_ids");
    }
    ControlNetModel::Options options;
    options.scale = t.at("in/scale").item<double>();
    options.guess_mode = t.at("in/guess").item<double>() > 0;
    const ControlResiduals out =
        model.forward(t.at("in/sample"), t.at("in/t_index"), t.at("in/context"), t.at("in/picture"),
                      extras, options);

    parity::Worst worst;
    parity::compare_layers(t, outputs, worst);
    for (size_t i = 0; i < out.down.size(); ++i) {
      const std::string key = "out/down/" + std::string(i < 10 ? "0" : "") + std::to_string(i);
      REQUIRE_MESSAGE(t.contains(key), key << " is not in the reference");
      worst.add(key, out.down[i], t.at(key));
    }
    worst.add("mid", out.mid, t.at("out/mid"));
    worst.report("controlnet " + name, kBound);
    ++cases;

    CHECK(ControlNetConfig::from_json(config.to_json()) == config);
    // Shapes tell everything but the heads of a narrow network, the channel order, pooling and
    // upcasting.
    ControlNetConfig read = controlnet_config_from_shapes(shapes_of(model));
    CHECK(shapes_of(ControlNetModel(read)) == shapes_of(model));
    read.bgr = config.bgr;
    read.global_pool_conditions = config.global_pool_conditions;
    read.unet.upcast_attention = config.unet.upcast_attention;
    read.unet.attention_head_dim = config.unet.attention_head_dim;
    CHECK(read == config);
  }
  CHECK(cases == 7);
}

}  // namespace
}  // namespace pangu::nn
