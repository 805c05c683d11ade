// Reads archives that NumPy 2.4 wrote (tools/make_python_fixtures.py), and its own ones again.
#include "io/python/npz.h"

#include <doctest/doctest.h>

#include <cstring>

#include "core/testing.h"
#include "io/python/zip_archive.h"

namespace pangu::io {
namespace {

std::string npz_fixture(const std::string& name) {
  return std::string(kSourceDir) + "/tests/fuzz/corpus/npz/" + name;
}

template <typename T>
std::vector<T> values_of(const NumpyArray& array) {
  std::vector<T> values(array.data.size() / sizeof(T));
  std::memcpy(values.data(), array.data.data(), array.data.size());
  return values;
}

TEST_CASE("NumPy's archives are read, deflated ones and Fortran's order included") {
  const NumpyArrays plain = read_npz(npz_fixture("plain.npz"));
  REQUIRE(plain.size() == 2);
  CHECK(plain.at("mu").shape == std::vector<int64_t>{2});
  CHECK(values_of<double>(plain.at("mu")) == std::vector<double>{0.5, 2});
  CHECK(plain.at("sigma").shape == std::vector<int64_t>{2, 2});
  CHECK(values_of<double>(plain.at("sigma")) == std::vector<double>{1, 2, 3, 4});
  const NumpyArrays compressed = read_npz(npz_fixture("compressed.npz"));
  CHECK(compressed.at("sigma").dtype == DType::F32);
  CHECK(values_of<float>(compressed.at("sigma")) == std::vector<float>{1, 2, 3, 4});
}

TEST_CASE("what is written is read back, and NumPy's own header is aligned as it writes it") {
  const TestFolder folder;
  const std::vector<double> numbers = {1.5, -2, 3, 4, 5, 6};
  TensorViews views;
  views["sigma"] = {DType::F64, {2, 3}, reinterpret_cast<const std::byte*>(numbers.data()), 48};
  views["one"] = {DType::F64, {}, reinterpret_cast<const std::byte*>(numbers.data()), 8};
  write_npz(folder.file("a.npz"), views);
  const NumpyArrays found = read_npz(folder.file("a.npz"));
  CHECK(found.at("sigma").shape == std::vector<int64_t>{2, 3});
  CHECK(values_of<double>(found.at("sigma")) == numbers);
  CHECK(found.at("one").shape.empty());
  const MappedFile file(folder.file("a.npz"));
  const std::vector<ZipEntry> entries = read_zip(file.bytes(), "a.npz");
  REQUIRE(entries.size() == 2);
  CHECK((entries[1].size_bytes - 48) % 64 == 0);
}

TEST_CASE("an archive that is cut anywhere is refused") {
  for (const char* name : {"plain.npz", "compressed.npz"}) {
    const MappedFile whole(npz_fixture(name));
    const auto bytes = whole.bytes();
    for (size_t size = 0; size < bytes.size(); ++size) {
      CAPTURE(size);
      const std::vector<std::byte> cut(bytes.begin(),
                                       bytes.begin() + static_cast<std::ptrdiff_t>(size));
      CHECK(refusal_of([&] { parse_npz(cut, "cut"); }) != "accepted");
    }
  }
  CHECK(contains(refusal_of([] { read_npz(npz_fixture("../pytorch_file/zip.pth")); }), "NumPy"));
}

}  // namespace
}  // namespace pangu::io
