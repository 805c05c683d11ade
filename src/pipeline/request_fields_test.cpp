#include "pipeline/request_fields.h"

#include <doctest/doctest.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "core/error.h"

namespace pangu::pipeline {
namespace {

Request asked_in_words(const RequestWords& words) {
  Request request;
  apply(words, request);
  return request;
}

Request allowed(Request request, RequestRules rules) {
  request.prompt = "a cat";
  rules.defaults.width = rules.defaults.height = 64;
  rules.defaults.steps = 2;
  rules.defaults.guidance = rules.defaults.style_scale = 1.0;
  rules.defaults.sampler = "euler";
  rules.defaults.schedule = "normal";
  rules.defaults.noise = "philox";
  return resolved(request, rules, 1);
}

TEST_CASE("a sampler of A1111 brings its schedule, unless another one is said") {
  const Request both = asked_in_words({{"sampler", {"DPM++ 2M Karras"}}});
  CHECK(both.sampler == "dpmpp_2m");
  CHECK(both.schedule == "karras");
  const Request said = asked_in_words({{"sampler", {"DPM++ 2M Karras"}}, {"schedule", {"Simple"}}});
  CHECK(said.schedule == "simple");
  CHECK(!asked_in_words({{"schedule", {"Automatic"}}}).schedule);
  CHECK_THROWS_WITH_AS(asked_in_words({{"sampler", {"eular"}}}),
                       doctest::Contains("did you mean 'euler'?"), Error);
}

TEST_CASE("seed -1 is any seed, and no other negative number is one") {
  CHECK(asked_in_words({{"seed", {"7"}}}).seed == 7);
  CHECK(!asked_in_words({{"seed", {"-1"}}}).seed);
  CHECK(!request_from_json({{"seed", -1}}).seed);
  Request repeated = request_from_json({{"seed", uint64_t{7}}});
  apply({{"seed", {"-1"}}}, repeated);
  CHECK(!repeated.seed);
  for (const char* wrong : {"-2", "-20000", "1.5", "many"}) {
    CHECK_THROWS_AS(asked_in_words({{"seed", {wrong}}}), Error);
  }
  CHECK_THROWS_AS(request_from_json({{"seed", -20000}}), Error);
}

TEST_CASE("a control picture may have commas in its name") {
  const auto folder = std::filesystem::temp_directory_path() / "pangu_request_fields_test";
  std::filesystem::create_directories(folder);
  const std::string file = (folder / "cats, dogs,weight=3").string();
  std::ofstream(file) << "x";
  CHECK(control_use_from(file).image == file);
  CHECK(control_use_from(file).weight == 1.0);
  const std::string plain = (folder / "cats, dogs.png").string();
  std::ofstream(plain) << "x";
  CHECK(control_use_from(plain + ",weight=0.5,to=0.7").image == plain);
  CHECK(control_use_from(plain + ",weight=0.5,to=0.7").weight == 0.5);
  std::filesystem::remove_all(folder);
  CHECK_THROWS_WITH_AS(control_use_from("a.png,wieght=2"),
                       doctest::Contains("did you mean 'weight'?"), Error);
  CHECK_THROWS_AS(control_use_from("a.png,heavy"), Error);
}

TEST_CASE("what has nothing to act on is refused by name") {
  CHECK_THROWS_WITH_AS(allowed(asked_in_words({{"strength", {"0.5"}}}), {}),
                       doctest::Contains("no picture to start from"), Error);
  RequestRules without_clip;
  without_clip.takes_clip_skip = false;
  const Request skips = asked_in_words({{"clip_skip", {"2"}}});
  CHECK(allowed(skips, {}).clip_skip == 2);
  CHECK_THROWS_WITH_AS(allowed(skips, without_clip), doctest::Contains("clip skip"), Error);
  CHECK(allowed({}, without_clip).clip_skip == 1);
}

TEST_CASE("no two fields share a flag, and an unknown key is told the nearest") {
  std::set<std::string> flags;
  for (const RequestField& field : request_fields()) {
    std::vector<std::string> all = field.also;
    if (!field.flag.empty()) all.push_back(field.flag);
    for (const std::string& flag : all) CHECK_MESSAGE(flags.insert(flag).second, flag);
  }
  CHECK_THROWS_WITH_AS(request_from_json({{"guidence", 3}}),
                       doctest::Contains("did you mean 'guidance'?"), Error);
}

}  // namespace
}  // namespace pangu::pipeline
