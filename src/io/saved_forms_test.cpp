#include "io/saved_forms.h"

#include <doctest/doctest.h>

#include <vector>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::io;

namespace {

const std::vector<float> kScaleNumbers = {0.5F, 2.0F};
const std::vector<uint8_t> kEights = {0x38, 0x40, 0x38, 0x40};  // 1, 2, 1, 2 in E4M3

TensorView eights(std::vector<int64_t> shape) {
  return {DType::F8_E4M3, std::move(shape), reinterpret_cast<const std::byte*>(kEights.data()), 4};
}

TensorView scale_numbers(std::vector<int64_t> shape) {
  const size_t size = shape == std::vector<int64_t>{2} ? 8 : 4;
  return {DType::F32, std::move(shape), reinterpret_cast<const std::byte*>(kScaleNumbers.data()),
          size};
}

std::vector<std::string> names_of(const TensorViews& tensors) {
  std::vector<std::string> names;
  for (const auto& [name, view] : tensors) names.push_back(name);
  return names;
}

std::string refused_scales(const TensorViews& tensors) {
  try {
    with_scales(tensors, "file");
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

TEST_CASE("the prefixes of wrappers are taken off, wherever torch.compile has put them") {
  const TensorView any = scale_numbers({1});
  const std::vector<std::string> plain = {"conv_in.weight", "mid.weight"};
  for (const auto& [a, b] : {std::pair<const char*, const char*>{"conv_in.weight", "mid.weight"},
                             {"_orig_mod.conv_in.weight", "_orig_mod.mid.weight"},
                             {"module.conv_in.weight", "module.mid.weight"},
                             {"module._orig_mod.conv_in.weight", "module._orig_mod.mid.weight"},
                             {"_orig_mod.module.conv_in.weight", "_orig_mod.module.mid.weight"},
                             {"conv_in._orig_mod.weight", "mid._fsdp_wrapped_module.weight"}}) {
    CHECK(names_of(without_wrappers({{a, any}, {b, any}}, "file")) == plain);
  }
}

TEST_CASE("a prefix that not every name has is a name") {
  const TensorView any = scale_numbers({1});
  const TensorViews given = {{"module.a", any}, {"b", any}};
  CHECK(names_of(without_wrappers(given, "file")) == names_of(given));
}

TEST_CASE("two names that become one are refused") {
  const TensorView any = scale_numbers({1});
  CHECK_THROWS_WITH_AS(without_wrappers({{"a.w", any}, {"a._orig_mod.w", any}}, "file"),
                       doctest::Contains("'a.w'"), Error);
}

TEST_CASE("weights in fp8 get the scale that lies beside them, under both names") {
  for (const char* end : {"scale_weight", "weight_scale"}) {
    const TensorViews found = with_scales({{"a.weight", eights({2, 2})},
                                           {std::string("a.") + end, scale_numbers({1})},
                                           {"a.scale_input", scale_numbers({1})},
                                           {"a.bias", scale_numbers({2})},
                                           {"scaled_fp8", eights({0})}},
                                          "file");
    CHECK(names_of(found) == std::vector<std::string>{"a.bias", "a.weight"});
    CHECK(found.at("a.weight").scales == std::vector<float>{0.5F});
    CHECK(found.at("a.bias").scales.empty());
  }
}

TEST_CASE("a scale may be one number, or one a row") {
  const auto scales = [](const std::vector<int64_t>& shape) {
    return with_scales({{"a.weight", eights({2, 2})}, {"a.scale_weight", scale_numbers(shape)}},
                       "file")
        .at("a.weight")
        .scales;
  };
  CHECK(scales({}) == std::vector<float>{0.5F});
  CHECK(scales({2}) == kScaleNumbers);
  CHECK(contains(
      refused_scales({{"a.weight", eights({1, 4})}, {"a.scale_weight", scale_numbers({2})}}),
      "'a.scale_weight'"));
}

TEST_CASE("other quantised weights are refused by their kind") {
  const TensorView any = scale_numbers({1});
  CHECK(contains(refused_scales({{"a.weight.quant_map", any}}), "bitsandbytes"));
  CHECK(contains(refused_scales({{"a.qweight", any}}), "GPTQ"));
  CHECK(
      contains(refused_scales({{"a.weight", scale_numbers({2})}, {"a.weight_scale", any}}), "F32"));
  const std::string nvfp4 = R"({"format": "nvfp4"})", fp8 = R"({"format": "float8_e4m3fn"})";
  const auto marked = [](const std::string& text) {
    return TensorViews{{"a.weight", eights({2, 2})},
                       {"a.comfy_quant",
                        {DType::U8,
                         {int64_t(text.size())},
                         reinterpret_cast<const std::byte*>(text.data()),
                         text.size()}}};
  };
  CHECK(contains(refused_scales(marked(nvfp4)), "nvfp4"));
  CHECK(refused_scales(marked(fp8)) == "accepted");
}

}  // namespace
