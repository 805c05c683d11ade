// The parser is nlohmann's, which does not recurse; the limits, the refusals and their wording are
// here.
#include "core/json_reader.h"

#include <algorithm>

namespace pangu {
namespace {

constexpr size_t kShownBytes = 80;

// Watches a parse: it knows how deep the parser is, and which keys every open object has.
class JsonWatch {
 public:
  JsonWatch(const std::string& name, int max_depth) : name_(name), max_depth_(max_depth) {}

  bool operator()(int depth, nlohmann::json::parse_event_t event, const nlohmann::json& value) {
    using Event = nlohmann::json::parse_event_t;
    const bool opens = event == Event::object_start || event == Event::array_start;
    if (opens && depth >= max_depth_) {
      throw bad_input(name_, "at most " + std::to_string(max_depth_) + " levels of JSON", "more");
    }
    if (event == Event::object_start) keys_.emplace_back();
    if (event == Event::object_end) keys_.pop_back();
    if (event == Event::key && !keys_.back().insert(value.get<std::string>()).second) {
      throw bad_input(name_ + ", key " + short_text(value), "one value", "two");
    }
    return true;
  }

 private:
  const std::string& name_;
  int max_depth_;
  std::vector<std::set<std::string>> keys_;
};

}  // namespace

nlohmann::json parse_json(std::string_view text, const std::string& name, JsonLimits limits) {
  if (text.size() > limits.max_bytes) {
    throw bad_input(name, "at most " + std::to_string(limits.max_bytes) + " bytes of JSON",
                    std::to_string(text.size()));
  }
  JsonWatch watch(name, limits.max_depth);
  const auto callback = [&](int depth, nlohmann::json::parse_event_t event, nlohmann::json& value) {
    return watch(depth, event, value);
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), callback);
  } catch (const nlohmann::json::parse_error& problem) {
    const auto end = text.begin() + std::min(problem.byte, text.size());
    const auto line = 1 + std::count(text.begin(), end, '\n');
    throw bad_input(name, "JSON", "a text that is none (line " + std::to_string(line) + ")");
  } catch (const nlohmann::json::exception&) {  // a number beyond a double
    throw bad_input(name, "JSON with numbers up to 1e308", "a larger one");
  }
}

std::string short_text(const nlohmann::json& value) {
  std::string text =
      value.dump(-1, ' ', /*ensure_ascii=*/true, nlohmann::json::error_handler_t::replace);
  if (text.size() > kShownBytes) text = text.substr(0, kShownBytes - 3) + "...";
  return text;
}

JsonReader::JsonReader(std::string name, nlohmann::json object)
    : name_(std::move(name)), object_(std::move(object)) {
  if (!object_.is_object()) throw bad_input(name_, "a JSON object", object_.type_name());
}

void JsonReader::only(const std::string& key, const std::vector<nlohmann::json>& allowed) {
  const nlohmann::json* value = find(key);
  if (!value || std::find(allowed.begin(), allowed.end(), *value) != allowed.end()) return;
  throw error(key,
              allowed.empty() ? "null" : allowed.front().dump() + " (nothing else is supported)",
              short_text(*value));
}

bool JsonReader::has(const std::string& key) const {
  const auto found = object_.find(key);
  return found != object_.end() && !found->is_null();
}

std::vector<std::string> JsonReader::unread() const {
  std::vector<std::string> keys;
  for (const auto& [key, value] : object_.items()) {
    const bool says_nothing = key.starts_with('_') || value.is_null() || value == false;
    if (!says_nothing && !seen_.contains(key)) keys.push_back(key);
  }
  return keys;
}

nlohmann::json JsonReader::rest() const {
  nlohmann::json left = nlohmann::json::object();
  for (const auto& [key, value] : object_.items()) {
    if (!seen_.contains(key)) left[key] = value;
  }
  return left;
}

void JsonReader::refuse_unread() const {
  const std::vector<std::string> keys = unread();
  if (!keys.empty()) throw error(keys.front(), "a known key", short_text(object_[keys.front()]));
}

Error JsonReader::error(const std::string& key, const std::string& expected,
                        const std::string& found) const {
  return bad_input(name_ + ", key '" + key + "'", expected, found);
}

int64_t JsonReader::integer(const std::string& key, const nlohmann::json& value, int64_t low,
                            int64_t high) const {
  if (!value.is_number_integer()) throw error(key, "an integer", short_text(value));
  const bool fits = value.is_number_unsigned()
                        ? value.get<uint64_t>() <= static_cast<uint64_t>(high)
                        : value.get<int64_t>() >= low && value.get<int64_t>() <= high;
  if (!fits) {
    throw error(key, "an integer from " + std::to_string(low) + " to " + std::to_string(high),
                short_text(value));
  }
  return value.get<int64_t>();
}

const nlohmann::json* JsonReader::find(const std::string& key) {
  seen_.insert(key);
  const auto found = object_.find(key);
  return found == object_.end() || found->is_null() ? nullptr : &*found;
}

}  // namespace pangu
