#include "core/json_reader.h"

#include <doctest/doctest.h>

#include "core/error.h"

namespace pangu {
namespace {

JsonReader reader_of(const std::string& text) {
  return {"'unet/config.json'", parse_json(text, "'unet/config.json'")};
}

template <class Call>
std::string refusal_of(Call&& call) {
  try {
    call();
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kBadInput);
    return error.what();
  }
  return "nothing was thrown";
}

TEST_CASE("A JSON reader gives values of the type that was asked for, or the fallback") {
  JsonReader reader = reader_of(
      R"({"i": 3, "d": 2, "b": true, "s": "x", "l": [1, 2], "one": 7, "null": null,
          "map": {"a": {"en": "word"}}})");
  CHECK(reader.get("i", 0) == 3);
  CHECK(reader.get("d", 0.5) == 2.0);
  CHECK(reader.get("b", false));
  CHECK(reader.get("s", std::string()) == "x");
  CHECK(reader.get("l", std::vector<int64_t>()) == std::vector<int64_t>{1, 2});
  CHECK(reader.get("one", std::vector<int>()) == std::vector<int>{7});
  CHECK(reader.get("absent", 5) == 5);
  CHECK(reader.get("null", 5) == 5);
  using Words = std::map<std::string, std::map<std::string, std::string>>;
  CHECK(reader.get("map", Words())["a"]["en"] == "word");
  std::optional<int64_t> field = 4;
  reader.read("absent", field);
  CHECK(field == 4);
  reader.read("null", field);
  CHECK_FALSE(field.has_value());
}

TEST_CASE("A JSON reader's errors name the file and the key") {
  JsonReader reader = reader_of(R"({"i": 2.5, "s": 1, "b": 0, "l": [1, "x"], "big": 3000000000,
                                    "m": {"a": 1}})");
  const auto names_key_and = [](const std::string& message, const char* part) {
    return message.find("'unet/config.json', key '") != std::string::npos &&
           message.find(part) != std::string::npos;
  };
  CHECK(names_key_and(refusal_of([&] { reader.get("i", 1); }), "an integer, found 2.5"));
  CHECK(names_key_and(refusal_of([&] { reader.get("s", std::string()); }), "a string, found 1"));
  CHECK(names_key_and(refusal_of([&] { reader.get("b", true); }), "true or false, found 0"));
  CHECK(names_key_and(refusal_of([&] { reader.get("l", std::vector<int>()); }),
                      "an integer, found \"x\""));
  CHECK(names_key_and(refusal_of([&] { reader.get("big", 1); }), "2147483647"));
  CHECK(reader.get("big", int64_t{1}) == 3000000000);
  CHECK(names_key_and(refusal_of([&] { reader.get("m", std::map<std::string, std::string>()); }),
                      "key 'm.a': expected a string"));
  CHECK(names_key_and(refusal_of([&] { reader.need<int>("absent"); }), "a value, found none"));
  CHECK(names_key_and(refusal_of([&] { reader.only("s", {2}); }), "2 (nothing else is supported)"));
}

TEST_CASE("A JSON reader knows the keys that nobody asked for, but for those that say nothing") {
  JsonReader reader = reader_of(
      R"({"_class_name": "X", "off": false, "none": null, "read": 1, "trained_betas": [0.1],
          "shift": 3.0})");
  reader.get("read", 0);
  CHECK(reader.unread() == std::vector<std::string>{"shift", "trained_betas"});
  CHECK(refusal_of([&] { reader.refuse_unread(); }) ==
        "'unet/config.json', key 'shift': expected a known key, found 3.0");
  CHECK(reader.has("trained_betas"));
  CHECK(reader.unread().size() == 2);
  reader.get("shift", 1.0);
  reader.only("trained_betas", {nlohmann::json::array({0.1})});
  CHECK(reader.unread().empty());
  JsonReader other = reader_of(R"({"sample_size": 64})");
  other.passes("sample_size");
  CHECK(other.unread().empty());
  CHECK_NOTHROW(reader.refuse_unread());
}

TEST_CASE("JSON is refused when it is too long, too deep, has a key twice, or is none") {
  const auto refused = [](const std::string& text, JsonLimits limits = {}) {
    return refusal_of([&] { parse_json(text, "file", limits); });
  };
  CHECK(refused("[1, 2, 3]", {.max_bytes = 4}) ==
        "file: expected at most 4 bytes of JSON, found 9");
  CHECK(refused("[[[1]]]", {.max_depth = 2}) ==
        "file: expected at most 2 levels of JSON, found more");
  CHECK(parse_json("[[1], {}]", "file", {.max_depth = 2}).size() == 2);
  CHECK(refused(std::string(1 << 19, '[')).find("64 levels") != std::string::npos);
  CHECK(refused(R"({"a": {"b": 1}, "c": {"b": 1, "b": 2}})") ==
        "file, key \"b\": expected one value, found two");
  CHECK(refused("{\n\"a\": 1,\n}") == "file: expected JSON, found a text that is none (line 3)");
  CHECK(refused("") == "file: expected JSON, found a text that is none (line 1)");
  CHECK(refused("1e999") == "file: expected JSON with numbers up to 1e308, found a larger one");
  CHECK(refused("\"\xff\"").find("a text that is none") != std::string::npos);
  CHECK(refusal_of([] { JsonReader("file", parse_json("[]", "file")); }) ==
        "file: expected a JSON object, found array");
}

}  // namespace
}  // namespace pangu
