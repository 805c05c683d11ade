#include "train/tensor_shards.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/testing.h"
#include "tensors/safetensors.h"

namespace pangu::train {
namespace {

std::vector<std::string> files_in(const TestFolder& folder) {
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder.path)) {
    names.push_back(entry.path().filename().string());
  }
  std::sort(names.begin(), names.end());
  return names;
}

TEST_CASE("tensors come back out of files as they were put, by another reader too") {
  const TestFolder folder;
  const at::Tensor a = at::arange(6).view({3, 2}).to(at::kBFloat16), b = at::full({2, 1, 5}, 0.3);
  TensorShards shards(folder.path.string(), "latents", "vae 1");
  CHECK(!shards.has("a"));
  CHECK(!shards.find("a").defined());
  shards.put("a", a);
  CHECK(at::equal(shards.find("a").load(), a));  // before it is written
  shards.put("b", b.transpose(0, 2));
  shards.put("empty", at::zeros({0, 4}));
  shards.skip("c", {"c.png", "it is cut"});
  shards.write();
  shards.write();  // nothing new
  CHECK(files_in(folder).size() == 1);
  const TensorShards again(folder.path.string(), "latents", "vae 1");
  for (const TensorShards* reader : {&std::as_const(shards), &again}) {
    CHECK(reader->find("a").sizes() == at::IntArrayRef({3, 2}));
    CHECK((reader->find("a").scalar_type() == at::kBFloat16));
    CHECK(at::equal(reader->find("a").load(), a));
    CHECK(at::equal(reader->find("b").load(), b.transpose(0, 2)));
    CHECK(reader->find("empty").load().sizes() == at::IntArrayRef({0, 4}));
    REQUIRE(reader->skipped("c"));
    CHECK(reader->skipped("c")->name == "c.png");
    CHECK(reader->skipped("c")->reason == "it is cut");
    CHECK(!reader->skipped("a"));
  }
}

TEST_CASE("a tensor outlives the reader that found it") {
  const TestFolder folder;
  KeptTensor kept;
  {
    TensorShards shards(folder.path.string(), "x", "m");
    shards.put("a", at::ones({1000}));
    shards.write();
    kept = shards.find("a");
  }
  CHECK(kept.load().sum().item<double>() == 1000.0);
}

TEST_CASE("what another maker made, or what is damaged, is made again beside it") {
  const TestFolder folder;
  const auto write = [&](const std::string& maker) {
    TensorShards shards(folder.path.string(), "x", maker);
    const bool known = shards.has("a");
    if (!known) shards.put("a", at::ones({2}));
    shards.write();
    return known;
  };
  CHECK(!write("vae 1"));
  CHECK(write("vae 1"));
  CHECK(!write("vae 2"));
  CHECK(write("vae 1"));
  CHECK(files_in(folder).size() == 2);
  for (const std::string& name : files_in(folder)) {
    std::filesystem::resize_file(folder.path / name, 40);
  }
  CHECK(!write("vae 1"));
  CHECK(write("vae 1"));
}

TEST_CASE("others' files are seen at a refresh, and the one file of earlier versions is read") {
  const TestFolder folder;
  tensors::save_safetensors(folder.file("x.safetensors"), {{"old", at::ones({3})}},
                            {{"maker", "m"}});
  TensorShards one(folder.path.string(), "x", "m"), other(folder.path.string(), "x", "m");
  CHECK(one.has("old"));
  one.put("new", at::zeros({3}));
  one.write();
  CHECK(!other.has("new"));
  other.refresh();
  CHECK(at::equal(other.find("new").load(), at::zeros({3})));
  CHECK(!TensorShards(folder.path.string(), "y", "m").has("old"));
}

TEST_CASE("without a folder tensors stay in memory") {
  TensorShards shards("", "x", "m");
  shards.put("a", at::ones({2}));
  shards.write();
  CHECK(at::equal(shards.find("a").load(), at::ones({2})));
}

}  // namespace
}  // namespace pangu::train
