#include "io/safetensors_writer.h"

#include <doctest/doctest.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "core/error.h"

using namespace pangu;
using namespace pangu::io;

namespace {

struct Folder {
  std::filesystem::path path =
      std::filesystem::temp_directory_path() / ("pangu_writer_" + std::to_string(::getpid()));
  Folder() { std::filesystem::create_directories(path); }
  ~Folder() { std::filesystem::remove_all(path); }
  std::string file(const char* name) const { return (path / name).string(); }
};

std::span<const std::byte> bytes_of(const auto& values) { return std::as_bytes(std::span(values)); }

const std::vector<TensorPlan> kPlan = {{"b", DType::BF16, {2, 1}},
                                       {"a", DType::F32, {2}},
                                       {"empty", DType::F32, {0, 3}},
                                       {"scalar", DType::I64, {}}};
const std::array<uint16_t, 2> kB = {0x3F80, 0x4000};
const std::array<float, 2> kA = {1.5F, -2};
const std::array<int64_t, 1> kScalar = {77};

void add_all(SafetensorsWriter& writer) {
  for (const std::string& name : writer.order()) {
    if (name == "a") writer.add(name, bytes_of(kA));
    if (name == "b") writer.add(name, bytes_of(kB));
    if (name == "empty") writer.add(name, {});
    if (name == "scalar") writer.add(name, bytes_of(kScalar));
  }
}

}  // namespace

TEST_CASE("tensors written one by one make the file that they make together") {
  const Folder folder;
  SafetensorsWriter writer(folder.file("one.safetensors"), kPlan, {{"format", "pt"}});
  add_all(writer);
  writer.commit();
  const TensorViews views = {{"b", {DType::BF16, {2, 1}, bytes_of(kB).data(), 4}},
                             {"a", {DType::F32, {2}, bytes_of(kA).data(), 8}},
                             {"empty", {DType::F32, {0, 3}, nullptr, 0}},
                             {"scalar", {DType::I64, {}, bytes_of(kScalar).data(), 8}}};
  const std::string file = read_text_file(folder.file("one.safetensors"));
  CHECK(file == safetensors_bytes(views, {{"format", "pt"}}));
  CHECK(writer.size_bytes() == file.size());
}

TEST_CASE("a file of which a tensor is missing, doubled or too long never appears") {
  const Folder folder;
  const std::string path = folder.file("x.safetensors");
  {
    SafetensorsWriter writer(path, kPlan);
    CHECK_THROWS_AS(writer.add("a", bytes_of(kA)), Error);  // the eight-byte one is first
    CHECK_THROWS_AS(writer.add("scalar", bytes_of(kB)), Error);
    writer.add("scalar", bytes_of(kScalar));
    CHECK_THROWS_AS(writer.add("scalar", bytes_of(kScalar)), Error);
    CHECK_THROWS_AS(writer.commit(), Error);
  }
  CHECK_THROWS_AS(SafetensorsWriter(path, {kPlan[0], kPlan[0]}), Error);
  CHECK_THROWS_AS(
      SafetensorsWriter(path, {{"a", DType::F32, {int64_t{1} << 40, int64_t{1} << 40}}}), Error);
  CHECK_THROWS_AS(SafetensorsWriter(path, {{"a", DType::F32, {-1}}}), Error);
  CHECK(std::filesystem::is_empty(folder.path));
}

TEST_CASE("forgotten pages of a mapped file come back with the same bytes") {
  const Folder folder;
  const std::string text(100'000, 'x');
  write_file_atomic(folder.file("x"), text);
  const MappedFile file(folder.file("x"));
  for (const size_t begin : {0, 1, 4096, 99'999}) forget_pages(file.bytes().subspan(begin));
  forget_pages({});
  CHECK(std::string(reinterpret_cast<const char*>(file.bytes().data()), text.size()) == text);
}
