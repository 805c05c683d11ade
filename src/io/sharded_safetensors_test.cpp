// Files with boxes of tensors: what fits together, and what does not.
#include "io/sharded_safetensors.h"

#include <doctest/doctest.h>

#include "core/testing.h"
#include "io/weights_file.h"

using namespace pangu;
using namespace pangu::io;

namespace {

struct Piece {
  std::string name;
  TensorBox box;
};

// A file of u8 boxes; the bytes outlive the test.
NamedContent file_of(const std::vector<Piece>& pieces, const char* info = nullptr) {
  static std::vector<std::string> kept;
  static const std::string zeros(1000, '\0');
  TensorViews views;
  std::map<std::string, std::vector<int64_t>> offsets;
  for (const auto& [name, box] : pieces) {
    views[name] = {DType::U8, box.sizes, reinterpret_cast<const std::byte*>(zeros.data()),
                   size_t(element_count(box.sizes))};
    offsets[name] = box.offsets;
  }
  Metadata metadata = sharding_metadata(offsets);
  if (info) metadata["DCP_SHARDING_INFO"] = info;
  kept.push_back(safetensors_bytes(views, metadata));
  return {"file", parse_safetensors(std::as_bytes(std::span(kept.back())))};
}

std::string refused(const std::vector<NamedContent>& files) {
  return refusal_of([&] { joined(files); });
}

}  // namespace

TEST_CASE("boxes in several files are one tensor") {
  const ShardedTensors all = joined({file_of({{"w", {{0, 0}, {2, 3}}}, {"s", {{}, {}}}}),
                                     file_of({{"w", {{2, 0}, {1, 1}}}}),
                                     file_of({{"w", {{2, 1}, {1, 2}}}, {"e", {{0, 0}, {0, 4}}}})});
  REQUIRE(all.size() == 3);
  CHECK(all.at("w").shape == std::vector<int64_t>{3, 3});
  CHECK(all.at("w").boxes.size() == 3);
  CHECK(all.at("s").shape.empty());
  CHECK(all.at("e").shape == std::vector<int64_t>{0, 4});
  CHECK(all.at("w").boxes[2].box == TensorBox{{2, 1}, {1, 2}});
}

TEST_CASE("a file without offsets has whole tensors") {
  NamedContent plain = file_of({{"w", {{0}, {4}}}});
  plain.second.metadata.clear();
  CHECK(joined({plain}).at("w").shape == std::vector<int64_t>{4});
}

TEST_CASE("gaps, overlaps and boxes that differ are refused by their tensor") {
  const NamedContent top = file_of({{"w", {{0, 0}, {1, 3}}}});
  CHECK(contains(refused({top, file_of({{"w", {{2, 0}, {1, 3}}}})}), "[3,3]"));
  CHECK(contains(refused({top, file_of({{"w", {{0, 2}, {2, 1}}}})}), "in two"));
  CHECK(contains(refused({top, top}), "in two"));
  CHECK(contains(refused({file_of({{"s", {{}, {}}}}), file_of({{"s", {{}, {}}}})}), "in two"));
  CHECK(contains(refused({top, file_of({{"w", {{1}, {3}}}})}), "2 dimensions"));
  CHECK(contains(refused({file_of({{"w", {{1, 0}, {1, 3}}}})}), "all elements of [2,3]"));
  CHECK(contains(refused({file_of({{"w", {{int64_t{1} << 62, int64_t{1} << 62}, {1, 1}}}})}),
                 "all elements"));
  CHECK(contains(refused({file_of({{"w", {{INT64_MAX}, {1}}}})}), "a possible place"));
}

TEST_CASE("offsets that say something else are refused by file and tensor") {
  const std::vector<Piece> w = {{"w", {{0}, {2}}}};
  for (const char* info :
       {"", "[", "[]", "{}", "{\"w\": []}", "{\"w\": {}}", "{\"w\": {\"saved_offsets\": [-1]}}",
        "{\"w\": {\"saved_offsets\": [0, 0]}}", "{\"w\": {\"saved_offsets\": [\"0\"]}}",
        "{\"w\": {\"saved_offsets\": [0.5]}}", "{\"w\": {\"saved_offsets\": [[[[[0]]]]]}}",
        "{\"w\": {\"saved_offsets\": [0]}, \"w\": {\"saved_offsets\": [0]}}"}) {
    CAPTURE(info);
    CHECK(contains(refused({file_of(w, info)}), "file, DCP_SHARDING_INFO"));
  }
  CHECK(contains(refused({file_of(w, "{\"w\": {\"saved_offsets\": [0]}, \"v\": {}}")}), "'v'"));
}

TEST_CASE("names of files are those of PyTorch") {
  CHECK(shard_file_name(2, 1, 3) == "shard-00002-model-00001-of-00003.safetensors");
}

TEST_CASE("a folder is read in the order of names, an empty one is refused") {
  const TestFolder folder;
  CHECK(contains(refusal_of([&] { ShardedSafetensors(folder.path); }), "none"));
  for (const char* name : {"b.safetensors", "a.safetensors"}) {
    const std::byte zero{};
    const int64_t row = name[0] - 'a';
    write_safetensors(folder.file(name), {{"w", {DType::U8, {1, 1}, &zero, 1}}},
                      sharding_metadata({{"w", {row, 0}}}));
  }
  folder.write("a.safetensors.tmp-1-0", std::string("half"));
  const ShardedSafetensors both(folder.path);
  CHECK(both.paths() ==
        std::vector<std::string>{folder.file("a.safetensors"), folder.file("b.safetensors")});
  CHECK(both.joined().at("w").shape == std::vector<int64_t>{2, 1});
}
