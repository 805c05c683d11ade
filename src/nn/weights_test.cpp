#include "nn/weights.h"

#include <doctest/doctest.h>
#include <torch/torch.h>
#include <unistd.h>

#include <cstdio>
#include <filesystem>

#include "core/error.h"

using namespace pangu;
using namespace pangu::nn;

namespace {

struct TemporaryFile {
  std::string path = (std::filesystem::temp_directory_path() /
                      ("pangu_weights_" + std::to_string(getpid()) + ".safetensors"))
                         .string();
  ~TemporaryFile() { std::remove(path.c_str()); }
};

std::string refusal(torch::nn::Module& module, const TensorMap& tensors,
                    const std::string& prefix = "") {
  try {
    load_into(module, tensors, prefix);
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kBadInput);
    return error.what();
  }
  return "accepted";
}

}  // namespace

TEST_CASE("tensors of every dtype come back equal, copied or mapped") {
  const TemporaryFile file;
  TensorMap wrote;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                           at::kShort, at::kChar, at::kByte, at::kBool}) {
    wrote[c10::toString(dtype)] = at::randint(0, 2, {3, 5}, at::kFloat).to(dtype);
  }
  wrote["scalar"] = at::scalar_tensor(2.5);
  wrote["empty"] = at::empty({0, 3});
  wrote["transposed"] = at::arange(6, at::kFloat).reshape({2, 3}).t();  // not contiguous
  save_safetensors(file.path, wrote, {{"format", "pt"}});
  for (const bool copy : {true, false}) {
    const TensorMap read = load_safetensors(file.path, copy);
    REQUIRE(read.size() == wrote.size());
    for (const auto& [name, tensor] : wrote) {
      CAPTURE(name);
      CHECK((read.at(name).scalar_type() == tensor.scalar_type()));
      CHECK(at::equal(read.at(name), tensor));
    }
  }
}

TEST_CASE("a mapped tensor outlives its map and the file's name") {
  at::Tensor kept;
  {
    const TemporaryFile file;
    save_safetensors(file.path, {{"a", at::full({4}, 3.f)}, {"b", at::zeros({4})}});
    kept = load_safetensors(file.path, false).at("a");
  }
  CHECK(kept.sum().item<float>() == 12.f);
}

TEST_CASE("a module's state is loaded under a prefix with its dtype converted") {
  torch::nn::Linear first(3, 2), second(3, 2);
  TensorMap named;
  for (const auto& [name, tensor] : state_of(*first))
    named["unet." + name] = tensor.to(at::kDouble);
  named["vae.other"] = at::zeros({1});  // another prefix is none of its business
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
