#include "core/fields.h"

#include <doctest/doctest.h>

#include <functional>

#include "core/error.h"

using namespace pangu;

namespace {

struct Sample {
  int64_t steps = 10;
  double rate = 0.5;
  std::string name = "a";
  bool flag = false;
  std::vector<int64_t> sizes = {1};
  template <class V>
  void visit_fields(V& v) {
    v("steps", steps, "how many", Limits{1, 100});
    v("rate", rate, "how fast");
    v("name", name, "what");
    v("flag", flag, "whether");
    v("sizes", sizes, "which", Limits{1, 64});
  }
};

Sample read(const std::string& text, const std::string& set = "") {
  TomlReader reader(text, "x.toml");
  if (!set.empty()) reader.set(set);
  Sample sample;
  sample.visit_fields(reader);
  reader.finish();
  return sample;
}

std::string error_of(const std::function<void()>& call) {
  try {
    call();
  } catch (const Error& e) {
    CHECK(e.code() == ErrorCode::kBadInput);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("fields take their values and keep their defaults") {
  const Sample s = read("steps = 7\nrate = 2\nsizes = [3, 4]\n");
  CHECK(s.steps == 7);
  CHECK(s.rate == 2.0);
  CHECK(s.name == "a");
  CHECK(s.sizes == std::vector<int64_t>{3, 4});
}

TEST_CASE("an error names file, line and key") {
  CHECK(error_of([] { read("\n\nsteps = 1000\n"); }).find("x.toml:3: steps") == 0);
  CHECK(error_of([] { read("rate = \"fast\"\n"); }).find("x.toml:1: rate: expected a number") == 0);
  CHECK(error_of([] { read("steps = 2.5\n"); }).find("expected an integer") != std::string::npos);
  CHECK(error_of([] { read("steps == 2\n"); }).find("x.toml:1: ") == 0);
}

TEST_CASE("an unknown key is an error that hints at the nearest known one") {
  const std::string message = error_of([] { read("stepz = 3\n"); });
  CHECK(message.find("x.toml:1: stepz: unknown key") == 0);
  CHECK(message.find("'steps'") != std::string::npos);
}

TEST_CASE("an assignment wins over the file") {
  CHECK(read("steps = 7\n", "steps=9").steps == 9);
  CHECK(read("", "name=bare").name == "bare");
  CHECK(error_of([] { read("", "steps=900"); }).find("--set steps=900") == 0);
}

TEST_CASE("deeply nested text is refused, not a crash") {
  CHECK(error_of([] { read("a = " + std::string(100000, '[')); }) != "");
  std::string key = "a";
  for (int i = 0; i < 100000; ++i) key += i % 2 ? ".a" : " . 'a'";
  for (const std::string& text : {key + " = 1", "[" + key + "]", "a = {" + key + " = 1}"}) {
    CHECK(error_of([&] { read("\n" + text); }).find("x.toml:2: ") == 0);
  }
  CHECK(read("name = \"" + std::string(100, '.') + "\"\n").name.size() == 100);
}
