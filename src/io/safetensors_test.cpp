#include "io/safetensors.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>
#include <sys/resource.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <numeric>

#include "core/error.h"
#include "core/testing.h"
#include "io/atomic_file.h"

using namespace pangu;
using namespace pangu::io;
namespace fs = std::filesystem;

namespace {

size_t entries_of(const fs::path& folder) {
  return static_cast<size_t>(
      std::distance(fs::directory_iterator(folder), fs::directory_iterator()));
}

// A file from a header's JSON and `data_bytes` bytes of data.
std::string made(const std::string& json, size_t data_bytes) {
  const uint64_t length = json.size();
  std::string bytes(reinterpret_cast<const char*>(&length), 8);
  return bytes + json + std::string(data_bytes, '\1');
}

SafetensorsContent parse(const std::string& bytes) {
  return parse_safetensors(std::as_bytes(std::span(bytes)), "test");
}

std::string message_of(const std::string& bytes) {
  return refusal_of([&] { parse(bytes); });
}

template <class T>
TensorView view(DType dtype, const std::vector<T>& values, std::vector<int64_t> shape) {
  return {dtype, std::move(shape), reinterpret_cast<const std::byte*>(values.data()),
          values.size() * sizeof(T)};
}

}  // namespace

TEST_CASE("what is written is read back: names, shapes, dtypes, bytes, metadata") {
  TestFolder folder;
  const std::vector<float> weights{1, 2, 3, 4, 5, 6};
  const std::vector<uint8_t> bytes{7, 8, 9};
  const std::vector<int64_t> scalar{-5};
  const std::vector<float> nothing;
  const TensorViews tensors = {{"a.weight", view(DType::F32, weights, {2, 3})},
                               {"名字", view(DType::U8, bytes, {3})},
                               {"step", view(DType::I64, scalar, {})},
                               {"empty", view(DType::F32, nothing, {0, 4})}};
  write_safetensors(folder.file("x.safetensors"), tensors, {{"format", "pt"}, {"键", "值"}});
  const auto file = SafetensorsFile::open(folder.file("x.safetensors"));
  CHECK(file.metadata() == Metadata{{"format", "pt"}, {"键", "值"}});
  REQUIRE(file.tensors().size() == 4);
  for (const auto& [name, wrote] : tensors) {
    CAPTURE(name);
    const TensorView& read = file.tensors().at(name);
    CHECK(read.dtype == wrote.dtype);
    CHECK(read.shape == wrote.shape);
    REQUIRE(read.size_bytes == wrote.size_bytes);
    CHECK(std::equal(read.data, read.data + read.size_bytes, wrote.data));
    CHECK(reinterpret_cast<uintptr_t>(read.data) % size_of(read.dtype) == 0);
  }
  CHECK(entries_of(folder.path) == 1);  // no temporary is left
}

TEST_CASE("views outlive a move of their file") {
  TestFolder folder;
  const std::vector<float> values{42};
  write_safetensors(folder.file("x"), {{"v", view(DType::F32, values, {1})}});
  auto first = SafetensorsFile::open(folder.file("x"));
  const TensorView before = first.tensors().at("v");
  const SafetensorsFile second = std::move(first);
  float read = 0;
  std::memcpy(&read, before.data, 4);
  CHECK(read == 42);
  CHECK(second.tensors().at("v").data == before.data);
}

TEST_CASE("any set of tensors survives writing and reading") {
  CHECK(rc::check([](const std::map<std::string, std::vector<uint8_t>>& content) {
    TensorViews tensors;
    for (const auto& [name, values] : content) {
      std::string hex = "n";  // names must be UTF-8
      for (const unsigned char c : name) hex += std::to_string(c) + ".";
      tensors[hex] = view(DType::U8, values, {static_cast<int64_t>(values.size())});
    }
    const std::string bytes = safetensors_bytes(tensors);
    const auto read = parse(bytes);
    RC_ASSERT(read.tensors.size() == tensors.size());
    for (const auto& [name, wrote] : tensors) {
      const TensorView& got = read.tensors.at(name);
      RC_ASSERT(got.size_bytes == wrote.size_bytes);
      RC_ASSERT(std::equal(got.data, got.data + got.size_bytes, wrote.data));
    }
  }));
}

TEST_CASE("hostile headers are refused with a message that names the fault") {
  const std::string good = R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}})";
  CHECK(parse(made(good, 8)).tensors.at("a").shape == std::vector<int64_t>{2});
  CHECK(parse(made(good + "   ", 8)).tensors.size() == 1);

  CHECK(contains(message_of("abc"), "3 bytes"));
  CHECK(contains(message_of(made(good, 8).substr(0, 20)), "header length"));
  CHECK(contains(message_of(std::string(8, '\xff') + "{}"), "header length"));
  CHECK(contains(message_of(made("[1]", 0)), "begins with '{'"));
  CHECK(contains(message_of(made(" {}", 0)), "begins with '{'"));
  CHECK(contains(message_of(made("{\"a\":", 0)), "JSON"));
  CHECK(contains(message_of(made("{} x", 0)), "JSON"));
  CHECK(contains(message_of(made("{\"a\xff\":1}", 0)), "JSON"));
  CHECK(contains(message_of(made(good, 7)), "cut short"));
  CHECK(contains(message_of(made(good, 9)), "after the last tensor"));

  const auto entry = [](const std::string& name, const std::string& dtype, const std::string& shape,
                        const std::string& offsets) {
    return "\"" + name + "\":{\"dtype\":\"" + dtype + "\",\"shape\":" + shape +
           ",\"data_offsets\":" + offsets + "}";
  };
  const auto one = [&](const std::string& dtype, const std::string& shape,
                       const std::string& offsets, size_t size) {
    return message_of(made("{" + entry("a", dtype, shape, offsets) + "}", size));
  };
  CHECK(contains(one("Q4", "[2]", "[0,8]", 8), "unknown dtype 'Q4'"));
  CHECK(contains(one("F32", "[3]", "[0,8]", 8), "expected 12 bytes"));
  CHECK(contains(one("F32", "[-2]", "[0,8]", 8), "negative"));
  CHECK(contains(one("F32", "[2.0]", "[0,8]", 8), "fraction"));
  CHECK(contains(one("F32", "[[2]]", "[0,8]", 8), "unexpected a list"));
  CHECK(contains(one("F32", "[4611686018427387904,4]", "[0,0]", 0), "a possible shape"));
  CHECK(contains(one("F32", "[18446744073709551615]", "[0,8]", 8), "below 2^63"));
  CHECK(contains(one("F32", "[2]", "[8,0]", 8), "offsets within"));
  CHECK(contains(one("F32", "[2]", "[0,18446744073709551615]", 8), "offsets within"));
  CHECK(contains(one("F32", "[2]", "[0]", 8), "two data_offsets"));
  CHECK(contains(one("F32", "[2]", "[4,12]", 12), "belong to no tensor"));
  CHECK(contains(one("F32", "[2]", "\"x\"", 8), "unexpected text"));
  std::string ones = "[1";
  for (int i = 0; i < 40; ++i) ones += ",1";
  CHECK(contains(one("F32", ones + "]", "[0,4]", 4), "more than 32"));

  const std::string a = entry("a", "F32", "[2]", "[0,8]");
  CHECK(contains(message_of(made("{" + a + "," + a + "}", 8)), "twice"));
  CHECK(contains(message_of(made("{" + a + "," + entry("b", "F32", "[2]", "[4,12]") + "}", 12)),
                 "overlap"));
  CHECK(contains(message_of(made("{" + a + "," + entry("b", "F32", "[2]", "[0,8]") + "}", 8)),
                 "overlap"));
  CHECK(contains(message_of(made(R"({"a":{"dtype":"F32","shape":[2]}})", 8)), "missing"));
  CHECK(contains(message_of(made(R"({"a":{"extra":[1]}})", 8)), "unknown field 'extra'"));
  CHECK(contains(message_of(made(R"({"a":{"extra":{}}})", 8)), "an object"));
  CHECK(contains(message_of(made(R"({"a":5})", 8)), "a number"));
  CHECK(contains(message_of(made(R"({"a":[]})", 8)), "a list"));
  CHECK(contains(message_of(made(R"({"a":{"shape":[],"shape":[]}})", 8)), "shape twice"));
  CHECK(contains(message_of(made(R"({"__metadata__":{"k":1}})", 0)), "a number"));
  CHECK(contains(message_of(made(R"({"__metadata__":{"k":"a","k":"b"}})", 0)), "twice"));
  CHECK(contains(message_of(made(R"({"__metadata__":"x"})", 0)), "text"));
  CHECK(contains(message_of(made("{\"a\":" + std::string(200000, '['), 0)), "a list"));
}

TEST_CASE("a missing file and a folder are errors of input or output") {
  TestFolder folder;
  for (const std::string& path : {folder.file("none"), folder.path.string()}) {
    try {
      SafetensorsFile::open(path);
      FAIL("opened " << path);
    } catch (const Error& error) {
      CHECK(error.code() == ErrorCode::kIo);
      CHECK(contains(error.what(), path));
    }
  }
}

TEST_CASE("a tensor whose size contradicts its shape is not written") {
  TestFolder folder;
  const std::vector<float> values{1, 2};
  CHECK_THROWS_AS(write_safetensors(folder.file("x"), {{"v", view(DType::F32, values, {3})}}),
                  Error);
  CHECK(entries_of(folder.path) == 0);
}

TEST_CASE("a disk that refuses more bytes leaves the old file and no temporary") {
  TestFolder folder;
  const std::string path = folder.file("weights");
  write_file_atomic(path, std::string_view("the old one"));
  const std::vector<uint8_t> large(1 << 20, 3);

  // A size limit of the process stands in for a full disk: write(2) fails in the same place.
  rlimit before{};
  REQUIRE(getrlimit(RLIMIT_FSIZE, &before) == 0);
  const auto old_handler = std::signal(SIGXFSZ, SIG_IGN);
  const rlimit small{4096, before.rlim_max};
  REQUIRE(setrlimit(RLIMIT_FSIZE, &small) == 0);
  ErrorCode code = ErrorCode::kInternal;
  try {
    write_safetensors(path, {{"v", view(DType::U8, large, {1 << 20})}});
  } catch (const Error& error) {
    code = error.code();
  }
  setrlimit(RLIMIT_FSIZE, &before);
  std::signal(SIGXFSZ, old_handler);

  CHECK(code == ErrorCode::kIo);
  CHECK(entries_of(folder.path) == 1);
  CHECK(read_text_file(path) == "the old one");
}

TEST_CASE("a writer that is dropped before commit leaves nothing behind") {
  TestFolder folder;
  {
    AtomicWriter writer(folder.file("x"));
    writer.write(std::string_view("half"));
    CHECK(writer.size_bytes() == 4);
  }
  CHECK(entries_of(folder.path) == 0);
  CHECK_THROWS_AS(AtomicWriter(folder.file("no/such/x")), Error);
}
