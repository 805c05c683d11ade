#include "nn/weights.h"

#include <doctest/doctest.h>
#include <torch/nn.h>

#include "core/error.h"
#include "core/testing.h"
#include "tensors/safetensors.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

std::string refusal(torch::nn::Module& module, const TensorMap& tensors,
                    const std::string& prefix = "") {
  return refusal_of([&] { load_into(module, tensors, prefix); });
}

}  // namespace

TEST_CASE("a module's state is loaded under a prefix with its dtype converted") {
  torch::nn::Linear first(3, 2), second(3, 2);
  TensorMap named;
  for (const auto& [name, tensor] : state_of(*first))
    named["unet." + name] = tensor.to(at::kDouble);
  named["vae.other"] = at::zeros({1});  // tensors of another prefix are not its concern
  load_into(*second, named, "unet.");
  CHECK(at::equal(first->weight, second->weight));
  CHECK(at::equal(first->bias, second->bias));
  CHECK((second->weight.scalar_type() == at::kFloat));
}

TEST_CASE("missing, unexpected and misshapen tensors are named and nothing is written") {
  torch::nn::Linear module(3, 2);
  const at::Tensor before = module->weight.detach().clone();
  const TensorMap good = {{"weight", at::zeros({2, 3})}, {"bias", at::zeros({2})}};
  TensorMap missing = good, extra = good, misshapen = good;
  missing.erase("bias");
  extra["gamma"] = at::zeros({1});
  misshapen["bias"] = at::zeros({3});
  CHECK(refusal(*module, missing).find("'bias' [2]") != std::string::npos);
  CHECK(refusal(*module, extra).find("'gamma'") != std::string::npos);
  CHECK(refusal(*module, misshapen).find("found [3]") != std::string::npos);
  CHECK(at::equal(module->weight, before));
  CHECK(refusal(*module, good) == "accepted");
  CHECK(module->weight.abs().max().item<float>() == 0.f);
}

TEST_CASE("a module made without initialisation and loaded by assignment equals a copied one") {
  const TestFolder folder;
  const std::string path = (folder.path / "x.safetensors").string();
  torch::nn::Sequential source(
      torch::nn::Conv2d(3, 4, 3), torch::nn::GroupNorm(2, 4), torch::nn::Linear(4, 5),
      torch::nn::LayerNorm(torch::nn::LayerNormOptions({5})), torch::nn::Embedding(7, 5));
  tensors::save_safetensors(path, state_of(*source));
  const auto blank = [] {
    const SkipInitialisation skip;
    return torch::nn::Sequential(
        torch::nn::Conv2d(3, 4, 3), torch::nn::GroupNorm(2, 4), torch::nn::Linear(4, 5),
        torch::nn::LayerNorm(torch::nn::LayerNormOptions({5})), torch::nn::Embedding(7, 5));
  };
  torch::nn::Sequential mapped = blank();
  for (const auto& [name, tensor] : state_of(*mapped)) CHECK(tensor.is_cpu());
  TensorMap views = tensors::load_safetensors(path, /*copy=*/false);
  std::map<std::string, const void*> addresses;
  for (const auto& [name, view] : views) addresses[name] = view.const_data_ptr();
  size_t copied = 0;
  load_by_assignment(*mapped, std::move(views), {.copied = [&](const at::Tensor&) { ++copied; }});
  CHECK(copied == 0);
  for (const auto& [name, tensor] : state_of(*source)) {
    CAPTURE(name);
    CHECK(at::equal(state_of(*mapped).at(name), tensor));
    CHECK(state_of(*mapped).at(name).const_data_ptr() == addresses.at(name));  // not copied
  }
  CHECK(at::equal(mapped[0]->as<torch::nn::Conv2d>()->weight,
                  source[0]->as<torch::nn::Conv2d>()->weight));

  torch::nn::Sequential converted = blank();
  load_by_assignment(
      *converted, tensors::load_safetensors(path),
      {.dtype = at::kBFloat16, .channels_last = true, .copied = [&](const at::Tensor& given) {
         CHECK((given.scalar_type() == at::kFloat));  // as the file has it
         ++copied;
       }});
  CHECK(copied == state_of(*source).size());
  for (const auto& [name, tensor] : state_of(*source)) {
    CAPTURE(name);
    CHECK(at::equal(state_of(*converted).at(name), tensor.to(at::kBFloat16)));
  }
  CHECK(
      converted[0]->as<torch::nn::Conv2d>()->weight.is_contiguous(at::MemoryFormat::ChannelsLast));
}

TEST_CASE("initialisation comes back when the guard is gone") {
  {
    const SkipInitialisation skip;
  }
  CHECK(at::equal(torch::nn::LayerNorm(torch::nn::LayerNormOptions({5}))->weight, at::ones({5})));
}

TEST_CASE("assignment refuses what does not fit and leaves the module as it was") {
  torch::nn::Linear layer(2, 3);
  const at::Tensor before = layer->weight.detach().clone();
  const auto refused = [&](const TensorMap& tensors, const AssignOptions& options = {}) {
    try {
      load_by_assignment(*layer, tensors, options);
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string("accepted");
  };
  const at::Tensor weight = at::zeros({3, 2}), bias = at::zeros({3});
  CHECK(refused({{"weight", weight}}).find("'bias'") != std::string::npos);
  CHECK(refused({{"weight", bias}, {"bias", bias}}).find("[3,2]") != std::string::npos);
  CHECK(refused({{"weight", weight}, {"bias", bias}, {"more", bias}}).find("'more'") !=
        std::string::npos);
  CHECK(refused({{"weight", weight.to(at::kChar)}, {"bias", bias}}).find("floating") !=
        std::string::npos);
  CHECK(at::equal(layer->weight, before));
  CHECK(refused({{"a.weight", weight}, {"a.bias", bias}, {"b", bias}}, {.prefix = "a."}) ==
        "accepted");
  CHECK(at::equal(layer->weight, weight));
}
