#include "io/weights_file.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <fstream>

#include "core/error.h"
#include "core/testing.h"
#include "io/atomic_file.h"

using namespace pangu;
using namespace pangu::io;
namespace fs = std::filesystem;

namespace {

std::string message_of(const std::string& path) {
  try {
    WeightsFile::open(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "accepted";
}

const std::vector<float> kNumbers = {1, 2, 3, 4};

TensorView numbers(std::vector<int64_t> shape) {
  const auto count = static_cast<size_t>(element_count(shape));
  return {DType::F32, std::move(shape), reinterpret_cast<const std::byte*>(kNumbers.data()),
          count * sizeof(float)};
}

// A header's length and JSON, then nothing.
std::string made(const std::string& json) {
  const uint64_t length = json.size();
  return std::string(reinterpret_cast<const char*>(&length), 8) + json;
}

}  // namespace

TEST_CASE("formats that people confuse with weights are refused by name, with what to do") {
  const TestFolder folder;
  std::string zip = std::string("PK\x03\x04") + std::string(26, '\0') + "archive/data.pkl";
  zip[26] = 16;
  CHECK(contains(message_of(folder.write("a.ckpt", zip)), "pickled PyTorch"));
  CHECK(contains(message_of(folder.write("b.safetensors", zip)), "safetensors.torch"));
  CHECK(contains(message_of(folder.write("c.pt", "\x80\x02}q\x01(X")), "pickled"));
  CHECK(contains(message_of(folder.write("d.bin", "\x80\x02\x8a\x0al\xfc\x9c")), "pickled"));
  zip.replace(30, 16, "weights/abcd.npy");
  CHECK(contains(message_of(folder.write("e.npz", zip)), "NumPy archive"));
  CHECK(contains(message_of(folder.write("f", "\x93NUMPY\x01")), ".npy"));
  CHECK(contains(message_of(folder.write("g.gguf", "GGUF\x03")), "GGUF"));
  CHECK(contains(message_of(folder.write("h.onnx", "\x08\x07\x12\x07pytorch")), "ONNX"));
  CHECK(contains(message_of(folder.write("i", "\n <!DOCTYPE html><html>")), "web page"));
  CHECK(contains(message_of(folder.write("j", "version https://git-lfs.github.com/spec/v1\n")),
                 "git lfs pull"));
  CHECK(contains(message_of(folder.write("k", "")), "empty"));
  CHECK(contains(message_of(folder.write("l", "some text that is no format")), "safetensors"));
}

TEST_CASE("the length of a safetensors header is never taken for another format") {
  const TestFolder folder;
  for (const std::string start : {"\x80\x02}", "PK\x03", "\x08\x07\x12", "\x0a\x07\x0a", "{\x01"}) {
    uint64_t length = 0;
    std::memcpy(&length, start.data(), start.size());
    if (length > 8 << 20) continue;
    std::string json = R"({"a":{"dtype":"F32","shape":[],"data_offsets":[0,4]}})";
    json.resize(length, ' ');
    const std::string path = folder.write("x", made(json) + "1234");
    CAPTURE(start);
    CHECK(WeightsFile::open(path).tensors().size() == 1);
  }
}

TEST_CASE("shards are put together by their index, and what contradicts it is refused") {
  const TestFolder folder;
  write_safetensors(folder.file("m-1.safetensors"), {{"a", numbers({2})}, {"b", numbers({1})}},
                    {{"format", "pt"}});
  write_safetensors(folder.file("m-2.safetensors"), {{"c", numbers({4})}});
  const std::string path = folder.write(
      "m.safetensors.index.json",
      R"({"metadata":{"total_size":28},"weight_map":{"a":"m-1.safetensors","b":"m-1.safetensors","c":"m-2.safetensors"}})");
  const WeightsFile file = WeightsFile::open(path);
  CHECK(file.kind() == WeightsKind::kShardedSafetensors);
  CHECK(file.paths().size() == 2);
  CHECK(file.tensors().size() == 3);
  CHECK(file.metadata().at("format") == "pt");
  CHECK(file.size_bytes() > 28);
  CHECK(std::memcmp(file.tensors().at("c").data, kNumbers.data(), 16) == 0);

  const auto index = [&](const std::string& map) {
    return message_of(folder.write("bad.json", R"({"weight_map":)" + map + "}"));
  };
  CHECK(contains(index(R"({"zz":"m-1.safetensors"})"), "tensor 'zz'"));
  CHECK(contains(index(R"({"a":"../m-1.safetensors"})"), "beside the index"));
  CHECK(contains(index(R"({"a":5})"), "key 'weight_map.a': expected a string"));
  CHECK(contains(index("{}"), "weight_map"));
  CHECK(contains(index(R"({"a":"absent.safetensors"})"), "absent.safetensors"));
  CHECK(contains(message_of(folder.write("bad.json", "{\"weight_map\":")), "expected JSON"));
}

TEST_CASE("a folder's weights are found under the names that libraries use") {
  const TestFolder folder;
  CHECK(contains(message_of(folder.path.string()), "none"));
  folder.write("pytorch_model.bin", "\x80\x02}q\x01(X");
  CHECK(contains(message_of(folder.path.string()), "safetensors.torch"));
  write_safetensors(folder.file("model.fp16.safetensors"), {{"a", numbers({1})}});
  CHECK(weights_path_in(folder.path.string()) == folder.file("model.fp16.safetensors"));
  write_safetensors(folder.file("model.safetensors"), {{"a", numbers({2})}});
  CHECK(weights_path_in(folder.path.string()) == folder.file("model.safetensors"));
  fs::remove(folder.file("model.safetensors"));
  fs::remove(folder.file("model.fp16.safetensors"));
  write_safetensors(folder.file("one.safetensors"), {{"a", numbers({1})}});
  CHECK(weights_path_in(folder.path.string()) == folder.file("one.safetensors"));
  write_safetensors(folder.file("two.safetensors"), {{"a", numbers({1})}});
  CHECK(contains(message_of(folder.path.string()), "2 files"));
}

TEST_CASE("a safetensors file cut at every 64th of its length is refused") {
  const TestFolder folder;
  TensorViews tensors;
  for (int i = 0; i < 40; ++i) tensors["tensor." + std::to_string(i)] = numbers({2, 2});
  const std::string whole = safetensors_bytes(tensors);
  for (size_t part = 0; part < 64; ++part) {
    CAPTURE(part);
    const std::string path = folder.write("cut", whole.substr(0, whole.size() * part / 64));
    CHECK(message_of(path) != "accepted");
  }
  CHECK(message_of(folder.write("cut", whole)) == "accepted");
}

TEST_CASE("sizes near 2^63, overlaps, gaps and a header of 100 MB are refused unread") {
  const TestFolder folder;
  const auto tensor = [&](const std::string& name, const std::string& inside, size_t data) {
    return message_of(folder.write(name, made(inside) + std::string(data, '\0')));
  };
  CHECK(contains(
      tensor("a", R"({"w":{"dtype":"F32","shape":[9223372036854775808],"data_offsets":[0,4]}})", 4),
      "2^63"));
  CHECK(contains(
      tensor("b", R"({"w":{"dtype":"F32","shape":[4611686018427387904,4],"data_offsets":[0,4]}})",
             4),
      "possible shape"));
  CHECK(contains(
      tensor(
          "c",
          R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"v":{"dtype":"U8","shape":[4],"data_offsets":[2,6]}})",
          6),
      "overlap"));
  CHECK(contains(
      tensor(
          "d",
          R"({"w":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"v":{"dtype":"U8","shape":[2],"data_offsets":[4,6]}})",
          6),
      "no tensor"));
  CHECK(contains(
      tensor(
          "e",
          R"({"w":{"dtype":"U8","shape":[4],"data_offsets":[9223372036854775806,9223372036854775810]}})",
          4),
      "cut short"));
  const std::string path = folder.write("f", made("{"));
  const uint64_t length = 100'000'001;
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.write(reinterpret_cast<const char*>(&length), 8);
  file.close();
  fs::resize_file(path, length + 8);
  CHECK(contains(message_of(path), "100000001"));
}

TEST_CASE("the headers of a 7 GB file are read in less than a second") {
  const TestFolder folder;
  constexpr uint64_t kTensors = 2500, kBytes = 2'800'000;
  std::string json = "{";
  for (uint64_t i = 0; i < kTensors; ++i) {
    json += (i ? ",\"" : "\"") + std::string("model.diffusion_model.some.block.") +
            std::to_string(i) + R"(.weight":{"dtype":"F16","shape":[1400000],"data_offsets":[)" +
            std::to_string(i * kBytes) + "," + std::to_string((i + 1) * kBytes) + "]}";
  }
  const std::string path = folder.write("large", made(json + "}"));
  fs::resize_file(path, fs::file_size(path) + kTensors * kBytes);  // sparse
  const auto start = std::chrono::steady_clock::now();
  const WeightsFile file = WeightsFile::open(path);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  CHECK(file.tensors().size() == kTensors);
  CHECK(file.size_bytes() > 7'000'000'000);
  CHECK(seconds.count() < 1.0);
}

TEST_CASE("one number is read from every type, and more than one are not") {
  const auto read = [](DType dtype, uint64_t bits) {
    return scalar_of({dtype, {1}, reinterpret_cast<const std::byte*>(&bits), size_of(dtype)}, "x");
  };
  CHECK(read(DType::F16, 0x3C00) == 1.0);
  CHECK(read(DType::F16, 0xC500) == -5.0);
  CHECK(read(DType::F16, 0x0001) == std::ldexp(1.0, -24));
  CHECK(std::isinf(read(DType::F16, 0x7C00)));
  CHECK(std::isnan(read(DType::F16, 0x7C01)));
  CHECK(read(DType::BF16, 0x4100) == 8.0);
  CHECK(read(DType::F32, 0x40490FDB) == doctest::Approx(3.14159274));
  CHECK(read(DType::I64, static_cast<uint64_t>(-3)) == -3.0);
  CHECK(read(DType::U8, 200) == 200.0);
  CHECK_THROWS_AS(scalar_of(numbers({2}), "x"), Error);
  CHECK(read(DType::F8_E4M3, 0x38) == 1.0);
  CHECK(read(DType::F8_E4M3, 0xC0) == -2.0);
  CHECK(read(DType::F8_E4M3, 0x7E) == 448.0);
  CHECK(read(DType::F8_E4M3, 0x01) == std::ldexp(1.0, -9));
  CHECK(std::isnan(read(DType::F8_E4M3, 0xFF)));  // it has no infinity
  CHECK(read(DType::F8_E5M2, 0x3C) == 1.0);
  CHECK(std::isinf(read(DType::F8_E5M2, 0x7C)));
}
