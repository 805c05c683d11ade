#include "app/serve/model_cache.h"

#include <filesystem>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::app;

namespace {

// A cache whose models weigh 100 bytes each, and how often each was opened.
struct Counted {
  std::string opened;
  ModelCache cache;

  explicit Counted(int64_t budget_bytes)
      : cache(budget_bytes,
              [this](const std::string& path, const pipeline::LoadOptions& options, const Watch&) {
                opened += std::filesystem::path(path).filename().string() +
                          (options.loras.empty() ? "" : "+") + " ";
                pipeline::Model model;
                model.cost.weight_bytes = 100;
                return model;
              }) {}
  auto get(const std::string& path, const std::string& lora = "") {
    pipeline::LoadOptions options;
    if (!lora.empty()) options.loras.push_back({lora});
    return cache.get(path, options, {});
  }
};

}  // namespace

TEST_CASE("a model is opened once for a path and options, and with a LoRA it is another one") {
  Counted counted(1000);
  const auto plain = counted.get("a");
  CHECK(counted.get("a", "ink") != plain);
  CHECK(counted.get("a") == plain);
  CHECK(counted.opened == "a a+ ");
  CHECK(counted.cache.hits() == 1);
  CHECK(counted.cache.misses() == 2);
}

TEST_CASE("what was used longest ago goes first, and memory stays in its budget") {
  Counted counted(200);
  for (const char* path : {"a", "b", "a", "c", "a", "b"}) counted.get(path);
  CHECK(counted.opened == "a b c b ");
  CHECK(counted.cache.bytes() == 200);
  for (int i = 0; i < 200; ++i) counted.get("m" + std::to_string(i));
  CHECK(counted.cache.bytes() == 200);
  CHECK(counted.cache.size() == 2);
}

TEST_CASE("a model larger than the budget is kept while it is the last that was asked for") {
  Counted counted(50);
  counted.get("a");
  counted.get("a");
  counted.get("b");
  CHECK(counted.opened == "a b ");
  CHECK(counted.cache.size() == 1);
}

TEST_CASE("a file that was changed is opened anew") {
  const TestFolder folder;
  const std::string path = folder.write("a", std::string("1"));
  Counted counted(1000);
  counted.get(path);
  std::filesystem::last_write_time(
      path, std::filesystem::last_write_time(path) + std::chrono::seconds(10));
  counted.get(path);
  CHECK(counted.opened == "a a ");
  CHECK(counted.cache.size() == 1);
}
