// Merged LoRAs against low-rank branches that diffusers' and transformers' modules run beside
// themselves, f32: linear, 1x1, 3x3, strided, Tucker, two at once. The reference is made when the
// test runs, by tools/parity/dump_lora.py; without a Python that has diffusers the cases say so
// loudly and pass.
#include "nn/lora.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include "case.h"
#include "nn/text/clip_text.h"
#include "nn/unet/unet.h"
#include "tensors/safetensors.h"

namespace pangu::nn {
namespace {

constexpr double kBound = 1e-4;  // f32 sums in another order

const parity::Dump& dumped() {
  static const parity::Dump dump("diffusers", "dump_lora.py");
  return dump;
}

// "lora/SET/MODULE/{down,up,mid,alpha}"
std::vector<LoraWeights> changes_of(const TensorMap& tensors, const std::string& set) {
  const std::string prefix = "lora/" + set + "/";
  std::vector<LoraWeights> changes;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with(prefix) || !name.ends_with("/down")) continue;
    const std::string module = name.substr(0, name.size() - 5);
    LoraWeights change;
    change.module_path = module.substr(prefix.size());
    change.down = tensor;
    change.up = tensors.at(module + "/up");
    if (tensors.contains(module + "/mid")) change.mid = tensors.at(module + "/mid");
    change.alpha = tensors.at(module + "/alpha").item<double>();
    changes.push_back(change);
  }
  return changes;
}

TEST_CASE("a UNet with two merged LoRAs equals diffusers' with the branches beside it") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  const auto folder = dumped().folder() / "unet";
  UNet2DConditionModel unet(unet_config_from_json(parity::read_json(folder / "config.json")));
  // Mapped weights, which a merge must not write.
  load_by_assignment(unet,
                     tensors::load_safetensors((folder / "weights.safetensors").string(), false));
  const TensorMap t = tensors::load_safetensors((folder / "tensors.safetensors").string());
  const auto run = [&] {
    return unet.forward(t.at("in/sample"), t.at("in/t_index"), t.at("in/context"));
  };
  const at::Tensor before = run();
  parity::report("lora unet, none merged", parity::relative(before, t.at("out/base")), kBound);
  CHECK(changes_of(t, "first").size() == 9);
  CHECK(changes_of(t, "second").size() == 5);
  const BaseWeights first = merge_lora(unet, changes_of(t, "first"), 0.8);
  const BaseWeights second = merge_lora(unet, changes_of(t, "second"), -1.3);
  parity::report("lora unet, two merged", parity::relative(run(), t.at("out/changed")), kBound);
  CHECK(parity::relative(before, t.at("out/changed")) > 0.05);  // the LoRAs do something
  unmerge_lora(unet, second);
  unmerge_lora(unet, first);
  CHECK(at::equal(run(), before));
}

TEST_CASE("a CLIP text model with a merged LoRA equals transformers' with branches beside it") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  const auto folder = dumped().folder() / "text";
  ClipTextModel text(ClipTextConfig::from_json(parity::read_json(folder / "config.json")));
  load_into(text, tensors::load_safetensors((folder / "weights.safetensors").string()));
  const TensorMap t = tensors::load_safetensors((folder / "tensors.safetensors").string());
  parity::report("lora text, none merged",
                 parity::relative(text.forward(t.at("in/ids")).last_hidden, t.at("out/base")),
                 kBound);
  merge_lora(text, changes_of(t, "first"), 0.8);
  const ClipTextOutput out = text.forward(t.at("in/ids"));
  parity::report("lora text, states", parity::relative(out.last_hidden, t.at("out/changed")),
                 kBound);
  parity::report("lora text, embeds", parity::relative(out.text_embeds, t.at("out/embeds")),
                 kBound);
  CHECK(parity::relative(t.at("out/base"), t.at("out/changed")) > 0.05);
}

}  // namespace
}  // namespace pangu::nn
