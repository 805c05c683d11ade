// Compares merged LoRAs with low-rank branches that run in parallel to the modules of diffusers and
// transformers, in f32: linear, 1x1, 3x3, strided, Tucker, two at once. The reference is made when
// the test runs, by tools/parity/dump_lora.py; without a Python that has diffusers the cases say so
// loudly and pass.
#include "nn/lora.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/nn.h>

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

const std::map<std::string, LoraPart>& part_names() {
  static const std::map<std::string, LoraPart> names = {{"down", LoraPart::kDown},
                                                        {"up", LoraPart::kUp},
                                                        {"mid", LoraPart::kMid},
                                                        {"w1", LoraPart::kW1},
                                                        {"w1_a", LoraPart::kW1A},
                                                        {"w1_b", LoraPart::kW1B},
                                                        {"w2", LoraPart::kW2},
                                                        {"w2_a", LoraPart::kW2A},
                                                        {"w2_b", LoraPart::kW2B},
                                                        {"t1", LoraPart::kT1},
                                                        {"t2", LoraPart::kT2},
                                                        {"diff", LoraPart::kDifference},
                                                        {"diff_b", LoraPart::kBias},
                                                        {"rows", LoraPart::kOutputNorms},
                                                        {"columns", LoraPart::kInputNorms}};
  return names;
}

// Reads the tensors "lora/SET/MODULE/{down,up,mid,alpha,...}"; the rank follows from their shapes.
std::vector<LoraWeights> changes_of(const TensorMap& tensors, const std::string& set,
                                    LoraForm form = LoraForm::kLowRank) {
  const std::string prefix = "lora/" + set + "/";
  std::map<std::string, LoraWeights> changes;
  for (const auto& [name, tensor] : tensors) {
    if (!name.starts_with(prefix)) continue;
    const size_t slash = name.rfind('/');
    const std::string module = name.substr(prefix.size(), slash - prefix.size());
    LoraWeights& change = changes[module];
    change.module_path = module;
    change.form = form;
    const std::string part = name.substr(slash + 1);
    if (part == "alpha") {
      change.alpha = tensor.item<double>();
    } else {
      change.parts[part_names().at(part)] = tensor;
    }
  }
  std::vector<LoraWeights> all;
  for (auto& [module, change] : changes) {
    io::LoraShapes shapes;
    for (const auto& [part, tensor] : change.parts) shapes[part] = tensor.sizes().vec();
    const auto rank = io::lora_rank(form, shapes);
    if (!rank) change.alpha = 1;
    change.rank = rank ? static_cast<double>(*rank) : 1.0;
    all.push_back(std::move(change));
  }
  return all;
}

TEST_CASE("a UNet with two merged LoRAs equals diffusers' with the branches beside it") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  const auto folder = dumped().folder() / "unet";
  UNet2DConditionModel unet(unet_config_from_json(parity::read_json(folder / "config.json")));
  // The weights are mapped, so a merge must not write them.
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
  CHECK(parity::relative(before, t.at("out/changed")) > 0.05);  // the LoRAs have an effect
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

TEST_CASE("merged weights of every form equal those of its formula") {
  if (!dumped().made()) return;
  const at::NoGradGuard no_grad;
  const TensorMap t = tensors::load_safetensors((dumped().folder() / "forms.safetensors").string());
  struct Network : torch::nn::Module {
    explicit Network(const TensorMap& t) {
      for (const char* name : {"linear", "conv"}) {
        auto module = std::make_shared<torch::nn::Module>(name);
        module->register_parameter("weight", t.at(std::string(name) + "/weight").clone());
        module->register_parameter("bias", t.at(std::string(name) + "/bias").clone());
        register_module(name, module);
      }
    }
  };
  const std::pair<const char*, LoraForm> sets[] = {
      {"dora", LoraForm::kLowRank},          {"dora_columns", LoraForm::kLowRank},
      {"loha", LoraForm::kHadamard},         {"loha_tucker", LoraForm::kHadamard},
      {"lokr", LoraForm::kKronecker},        {"lokr_whole", LoraForm::kKronecker},
      {"lokr_tucker", LoraForm::kKronecker}, {"lokr_dora", LoraForm::kKronecker},
      {"differences", LoraForm::kDifference}};
  for (const auto& [set, form] : sets) {
    CAPTURE(std::string(set));
    Network network(t);
    std::vector<LoraWeights> changes = changes_of(t, set, form);
    REQUIRE(!changes.empty());
    for (LoraWeights& change : changes) change.weight = 0.7;
    merge_lora(network, changes, 1.0);
    double worst = 0, moved = 0;
    for (const auto& item : network.named_parameters()) {
      std::string name = item.key();
      name[name.find('.')] = '/';
      const auto wanted = t.find("out/" + std::string(set) + "/" + name);
      if (wanted == t.end()) continue;
      worst = std::max(worst, parity::relative(item.value(), wanted->second));
      moved = std::max(moved, parity::relative(t.at(name), wanted->second));
    }
    parity::report("lora form " + std::string(set), worst, 1e-6);  // f32, rounded once
    CHECK(moved > 0.05);
  }
}

}  // namespace
}  // namespace pangu::nn
