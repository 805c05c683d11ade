// Reads files that PyTorch 2.13 wrote (tools/make_python_fixtures.py), and refuses damaged ones.
#include "io/python/pytorch_file.h"

#include <doctest/doctest.h>

#include <cstring>

#include "core/testing.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

std::string pytorch_fixture(const std::string& name) {
  return std::string(kSourceDir) + "/tests/fuzz/corpus/pytorch_file/" + name;
}

std::vector<float> floats_of(const TensorView& view) {
  REQUIRE(view.dtype == DType::F32);
  std::vector<float> numbers(view.size_bytes / sizeof(float));
  std::memcpy(numbers.data(), view.data, view.size_bytes);
  return numbers;
}

void check_state(const TensorViews& tensors) {
  REQUIRE(tensors.size() == 7);
  const auto& weight = tensors.at("a.weight");
  CHECK(weight.shape == std::vector<int64_t>{3, 4});
  CHECK(floats_of(weight) == std::vector<float>{0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11});
  const auto& turned = tensors.at("a.turned");
  CHECK(turned.shape == std::vector<int64_t>{4, 3});
  CHECK(floats_of(turned) == std::vector<float>{0, 4, 8, 1, 5, 9, 2, 6, 10, 3, 7, 11});
  CHECK(floats_of(tensors.at("a.part")) == std::vector<float>{2, 3, 4});
  const auto& steps = tensors.at("b.steps");
  CHECK(steps.shape.empty());
  CHECK(scalar_of(steps, "steps") == 7);
  CHECK(tensors.at("b.half").dtype == DType::BF16);
  CHECK(tensors.at("b.empty").shape == std::vector<int64_t>{0, 3});
  CHECK(tensors.at("b.empty").size_bytes == 0);
  CHECK(floats_of(tensors.at("c")) == std::vector<float>{1, 0});
}

TEST_CASE("a state dict of torch.save is read in both of its forms, turned tensors included") {
  check_state(PytorchFile::open(pytorch_fixture("zip.pth")).tensors());
  check_state(PytorchFile::open(pytorch_fixture("legacy.pth")).tensors());
}

TEST_CASE(
    "of a checkpoint the state dict is read, without its wrapper's prefix, and the rest left") {
  const PytorchFile file = PytorchFile::open(pytorch_fixture("checkpoint.pt"));
  check_state(file.tensors());
  CHECK_FALSE(file.is_script());
}

TEST_CASE("the weights of a program of TorchScript are read by the names of its modules") {
  const PytorchFile file = PytorchFile::open(pytorch_fixture("script.pt"));
  CHECK(file.is_script());
  REQUIRE(file.tensors().size() == 3);
  CHECK(file.tensors().at("weight").dtype == DType::F16);
  CHECK(file.tensors().at("weight").shape == std::vector<int64_t>{2, 3});
  CHECK(floats_of(file.tensors().at("inner.weight")) == std::vector<float>{0.5, -1});
  CHECK(floats_of(file.tensors().at("inner.bias")) == std::vector<float>{2});
}

TEST_CASE("a file that is cut anywhere is refused, never read beyond its end") {
  for (const char* name : {"zip.pth", "legacy.pth", "script.pt"}) {
    const MappedFile whole(pytorch_fixture(name));
    const auto bytes = whole.bytes();
    for (size_t size = 0; size < bytes.size(); size += 7) {
      CAPTURE(name);
      CAPTURE(size);
      // A copy, so that a sanitiser sees reads beyond the cut.
      const std::vector<std::byte> cut(bytes.begin(),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(size));
      std::deque<std::vector<std::byte>> copies;
      CHECK(refusal_of([&] { parse_pytorch(cut, "cut", copies); }) != "accepted");
    }
  }
}

TEST_CASE("other files are refused by what they are") {
  const TestFolder folder;
  const std::string page = folder.write("a.pth", "<!doctype html><html>");
  CHECK(contains(refusal_of([&] { PytorchFile::open(page); }), "web page"));
  CHECK_FALSE(looks_like_pytorch(MappedFile(page).bytes()));
  const std::string arrays = std::string(kSourceDir) + "/tests/fuzz/corpus/npz/plain.npz";
  CHECK(contains(refusal_of([&] { PytorchFile::open(arrays); }), "data.pkl"));
}

}  // namespace
}  // namespace pangu::io
