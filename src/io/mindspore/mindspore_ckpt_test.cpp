#include "io/mindspore/mindspore_ckpt.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "core/error.h"
#include "core/testing.h"
#include "io/ldm/ldm_names.h"
#include "io/weights_file.h"

using namespace pangu;
using namespace pangu::io;
namespace fs = std::filesystem;

namespace {

const std::byte nowhere{};  // only shapes are read

std::span<const std::byte> bytes_of(const std::string& text) {
  return std::as_bytes(std::span(text));
}

TensorViews parse(const std::string& text) { return parse_mindspore(bytes_of(text), "test"); }

std::string message_of(const std::string& text) {
  return refusal_of([&] { parse(text); });
}

std::string varint(uint64_t value) {
  std::string out;
  for (; value >= 0x80; value >>= 7) out += static_cast<char>(value | 0x80);
  return out + static_cast<char>(value);
}

// Encodes a field with a length.
std::string field(char number, const std::string& payload) {
  return static_cast<char>(number << 3 | 2) + varint(payload.size()) + payload;
}

std::string dim(uint64_t value) { return "\x08" + varint(value); }

std::string value(const std::string& tag, const std::string& tensor) {
  return field(1, field(1, tag) + field(2, tensor));
}

const std::string kFourBytes = "\x01\x02\x03\x04";

// Encodes one valid tensor [2] of Float16.
std::string good(const std::string& tag = "a.weight") {
  return value(tag, dim(2) + field(2, "Float16") + field(3, kFourBytes));
}

}  // namespace

TEST_CASE("unpacked and packed dims, several types and unknown fields are read") {
  CHECK(parse(good()).at("a.weight").shape == std::vector<int64_t>{2});
  const std::string packed = field(1, varint(2) + varint(1));
  const std::string text = value("p", packed + field(2, "BFloat16") + field(3, kFourBytes)) +
                           value("i", dim(1) + field(2, "Int32") + field(3, kFourBytes) +
                                          std::string("\x78\x05"));  // field 15, a number
  const TensorViews tensors = parse(text);
  CHECK(tensors.at("p").shape == std::vector<int64_t>{2, 1});
  CHECK(tensors.at("p").dtype == DType::BF16);
  CHECK(tensors.at("i").dtype == DType::I32);
  CHECK(std::memcmp(tensors.at("i").data, kFourBytes.data(), 4) == 0);
}

TEST_CASE(
    "scalars are read as written by old and by new versions, and an empty tensor stays empty") {
  const std::string text = value("old", dim(0) + field(2, "Float32") + field(3, kFourBytes)) +
                           value("new", field(2, "Float32") + field(3, kFourBytes)) +
                           value("none", dim(0) + field(2, "Float32") + field(3, ""));
  const TensorViews tensors = parse(text);
  CHECK(tensors.at("old").shape.empty());
  CHECK(tensors.at("new").shape.empty());
  CHECK(tensors.at("none").shape == std::vector<int64_t>{0});
}

TEST_CASE("MindSpore's names become torch's") {
  CHECK(torch_name_of("x.norm1.gamma") == "x.norm1.weight");
  CHECK(torch_name_of("x.norm1.beta") == "x.norm1.bias");
  CHECK(torch_name_of("x.token_embedding.embedding_table") == "x.token_embedding.weight");
  CHECK(torch_name_of("x.gamma_net.weight") == "x.gamma_net.weight");
}

TEST_CASE("lying lengths, impossible shapes and doubled names are refused, each by its name") {
  CHECK(contains(message_of("\x0a\xff\x01" + good().substr(2)), "bytes announced"));
  CHECK(contains(message_of(std::string("\x0a") + std::string(9, '\xff') + "\x01x"), "announced"));
  CHECK(contains(message_of(std::string("\x0a") + std::string(11, '\xff')), "above 64 bits"));
  CHECK(
      contains(message_of(std::string("\x0a") + std::string(9, '\xff') + "\x02"), "above 64 bits"));
  CHECK(contains(message_of("\x0b" + good().substr(1)), "wire type 3"));
  CHECK(contains(message_of("\x08\x01"), "field 1 between"));
  CHECK(contains(message_of(good() + good()), "a second one"));
  CHECK(contains(message_of(good() + good()), "512 MiB"));
  CHECK(contains(message_of(value("w", dim(3) + field(2, "Float16") + field(3, kFourBytes))),
                 "expected 6 bytes"));
  CHECK(contains(message_of(value("w", dim(2) + field(2, "Complex64") + field(3, kFourBytes))),
                 "'Complex64'"));
  CHECK(contains(message_of(value("w", dim(2) + field(3, kFourBytes))), "one missing"));
  CHECK(contains(message_of(value("w", dim(uint64_t{1} << 63) + field(2, "Float16"))),
                 "9223372036854775808"));
  const std::string huge = dim(uint64_t{1} << 62) + dim(8);
  CHECK(contains(message_of(value("w", huge + field(2, "Float16") + field(3, kFourBytes))),
                 "above 64 bits"));
  std::string many;
  for (int i = 0; i < 33; ++i) many += dim(1);
  CHECK(contains(message_of(value("w", many)), "32 dimensions"));
  // A value whose tag is a value again has no tensor.
  CHECK(contains(message_of(field(1, good())), "without name or tensor"));
}

TEST_CASE("a file cut anywhere is refused, except exactly between two tensors") {
  const std::string whole = good("first.weight") + good("second.weight");
  const size_t between = good("first.weight").size();
  for (size_t length = 1; length < whole.size(); ++length) {
    CAPTURE(length);
    CHECK((message_of(whole.substr(0, length)) == "accepted") == (length == between));
  }
}

TEST_CASE("what the writer writes is read back, and is as long as was said before") {
  rc::check("written, measured, read", [] {
    std::vector<std::vector<uint8_t>> contents;
    TensorViews tensors;
    std::vector<MindSporeTensor> heads;
    const int count = *rc::gen::inRange(0, 6);
    contents.reserve(static_cast<size_t>(count));
    for (int i = 0; i < count; ++i) {
      const std::vector<int64_t> shape = *rc::gen::container<std::vector<int64_t>>(
          *rc::gen::inRange(0, 4), rc::gen::inRange<int64_t>(1, 5));
      const DType dtype = *rc::gen::element(DType::F32, DType::F16, DType::BF16, DType::I64);
      const size_t bytes = static_cast<size_t>(element_count(shape)) * size_of(dtype);
      contents.push_back(
          *rc::gen::container<std::vector<uint8_t>>(bytes, rc::gen::arbitrary<uint8_t>()));
      tensors["t" + std::to_string(i)] = {
          dtype, shape, reinterpret_cast<const std::byte*>(contents.back().data()), bytes};
    }
    for (const auto& [name, view] : tensors) heads.push_back({name, view.dtype, view.shape});
    const std::string text = mindspore_bytes(tensors);
    RC_ASSERT(text.size() == mindspore_size_bytes(heads));
    const TensorViews again = parse(text);
    RC_ASSERT(again.size() == tensors.size());
    for (const auto& [name, view] : tensors) {
      RC_ASSERT(again.at(name).shape == view.shape);
      RC_ASSERT(again.at(name).dtype == view.dtype);
      RC_ASSERT(std::memcmp(again.at(name).data, view.data, view.size_bytes) == 0);
    }
  });
}

// The names and shapes of a released file, one tensor a line, as counted there.
TEST_CASE(
    "the tensors of PanGu-Draw 3 make a file as long as the released ones, and a whole model") {
  std::ifstream lines(std::string(kSourceDir) + "/tests/parity/data/pangu_draw_3_tensors.tsv");
  std::vector<MindSporeTensor> heads;
  TensorViews views;
  std::string name, shape;
  int64_t parameters = 0;
  while (lines >> name >> shape) {
    MindSporeTensor head{name, DType::F32, {}};
    std::istringstream sides(shape);
    for (std::string side; std::getline(sides, side, ',');) head.shape.push_back(std::stoll(side));
    if (head.shape == std::vector<int64_t>{0}) head.shape.clear();  // logit_scale
    parameters += element_count(head.shape);
    views[torch_name_of(name)] = {DType::F32, head.shape, &nowhere,
                                  static_cast<size_t>(element_count(head.shape)) * 4};
    heads.push_back(head);
  }
  CHECK(heads.size() == 2498);
  CHECK(parameters == 3'460'111'596);
  CHECK(mindspore_size_bytes(heads) == 13'840'689'166);

  const Recognised what = recognise(views);
  CHECK(what.family == Family::kPanguDraw3);
  CHECK(what.part == Part::kCheckpoint);
  CHECK(what.pooled_dim == 1280);
  CHECK(what.addition_numbers == 1);
  CHECK(what.addition_number_dim == 256);
  CHECK(what.context_dim == 2048);
  CHECK(what.levels == 3);
  const Components found = components_of(views, what);
  CHECK(found.missing.empty());
  CHECK(found.unexpected.empty());
  CHECK(found.skipped == std::map<std::string, size_t>{{"buffer", 1}});
  CHECK(found.parts.size() == 4);
  int64_t unet = 0;
  for (const auto& [key, tensor] : found.parts.at("unet")) unet += element_count(tensor.view.shape);
  CHECK(unet == 2'565'825'284);
}

TEST_CASE("a file is written in pieces, opened by its content and named as in torch") {
  const fs::path path = fs::temp_directory_path() / ("pangu_ms_" + std::to_string(getpid()));
  const std::vector<MindSporeTensor> heads = {{"n.gamma", DType::F16, {2}}, {"s", DType::F32, {}}};
  write_mindspore(path.string(), heads, [](size_t, const ByteSink& out) {
    out(bytes_of(kFourBytes.substr(0, 1)));
    out(bytes_of(kFourBytes.substr(1)));
  });
  CHECK(fs::file_size(path) == mindspore_size_bytes(heads));
  const WeightsFile file = WeightsFile::open(path.string());
  CHECK(file.kind() == WeightsKind::kMindSpore);
  CHECK(file.tensors().count("n.weight") == 1);
  CHECK(file.tensors().at("s").shape.empty());
  CHECK_THROWS_AS(write_mindspore(path.string(), heads, [](size_t, const ByteSink&) {}), Error);
  CHECK(fs::file_size(path) == mindspore_size_bytes(heads));  // the old file stays
  fs::remove(path);
}
