#include "tensors/safetensors.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include "core/error.h"
#include "core/testing.h"
#include "tensors/bytes.h"

namespace pangu::tensors {
namespace {

TEST_CASE("Tensors of every dtype come back equal, copied or mapped") {
  const TestFolder folder;
  const std::string path = (folder.path / "x.safetensors").string();
  TensorMap wrote;
  for (const auto dtype : {at::kDouble, at::kFloat, at::kHalf, at::kBFloat16, at::kLong, at::kInt,
                           at::kShort, at::kChar, at::kByte, at::kBool}) {
    wrote[c10::toString(dtype)] = at::randint(0, 2, {3, 5}, at::kFloat).to(dtype);
  }
  wrote["scalar"] = at::scalar_tensor(2.5);
  wrote["empty"] = at::empty({0, 3});
  wrote["transposed"] = at::arange(6, at::kFloat).reshape({2, 3}).t();  // not contiguous
  save_safetensors(path, wrote, {{"format", "pt"}});
  for (const bool copy : {true, false}) {
    const TensorMap read = load_safetensors(path, copy);
    REQUIRE(read.size() == wrote.size());
    for (const auto& [name, tensor] : wrote) {
      CAPTURE(name);
      CHECK((read.at(name).scalar_type() == tensor.scalar_type()));
      CHECK(at::equal(read.at(name), tensor));
    }
  }
}

TEST_CASE("A mapped tensor outlives its map and the file's name") {
  at::Tensor kept;
  {
    const TestFolder folder;
    const std::string path = (folder.path / "x.safetensors").string();
    save_safetensors(path, {{"a", at::full({4}, 3.f)}, {"b", at::zeros({4})}});
    kept = load_safetensors(path, false).at("a");
  }
  CHECK(kept.sum().item<float>() == 12.f);
}

TEST_CASE("Numbers with scales come as what they mean, in f32") {
  const auto owner = std::make_shared<std::vector<uint8_t>>(
      std::vector<uint8_t>{0x38, 0x40, 0x38, 0xC0});  // 1, 2, 1, -2 in E4M3
  io::TensorView view{
      io::DType::F8_E4M3, {2, 2}, reinterpret_cast<const std::byte*>(owner->data()), 4};
  view.scales = {0.5F};
  CHECK(at::equal(shared(view, owner, "x"), at::tensor({0.5F, 1.0F, 0.5F, -1.0F}).view({2, 2})));
  view.scales = {1.0F, 10.0F};
  CHECK(at::equal(copied(view, "x"), at::tensor({1.0F, 2.0F, 10.0F, -20.0F}).view({2, 2})));
}

TEST_CASE("Bytes that are not aligned for their type are copied, aligned ones are shared") {
  const auto owner = std::make_shared<std::vector<std::byte>>(64);
  const auto at = [&](size_t offset) {
    return shared({io::DType::F32, {2}, owner->data() + offset, 8}, owner, "x");
  };
  CHECK(at(4).const_data_ptr() == owner->data() + 4);
  CHECK(at(5).const_data_ptr() != owner->data() + 5);
  CHECK(owner.use_count() == 1);
  const at::Tensor kept = at(8);
  CHECK(owner.use_count() == 2);
}

TEST_CASE("A type that libtorch or safetensors lacks is refused with the tensor's name") {
  const std::byte bytes[8] = {};
  const auto foreign = refusal_of([&] { copied({io::DType::U32, {2}, bytes, 8}, "up.ids"); });
  CHECK(foreign == "tensor 'up.ids': expected a float or signed integer dtype, found U32");
  const TestFolder folder;
  const auto save = [&] {
    save_safetensors((folder.path / "x").string(), {{"z", at::zeros({2}, at::kComplexFloat)}});
  };
  CHECK_THROWS_WITH_AS(save(), doctest::Contains("tensor 'z' has a dtype that safetensors lacks"),
                       Error);
}

}  // namespace
}  // namespace pangu::tensors
