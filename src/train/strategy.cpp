#include "train/strategy.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "core/fields.h"
#include "core/json_reader.h"
#include "core/number.h"

namespace pangu::train {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

// Keys of a stage that are no keys of a training configuration.
constexpr const char* kStageKeys[] = {"name", "share", "begin_from"};

bool is_stage_key(const std::string& key) {
  return std::find(std::begin(kStageKeys), std::end(kStageKeys), key) != std::end(kStageKeys);
}

json from_folder(const json& path, const fs::path& folder) {
  if (path.is_array()) {
    json all = json::array();
    for (const json& one : path) all.push_back(from_folder(one, folder));
    return all;
  }
  if (!path.is_string() || path.get<std::string>().empty()) return path;
  return (folder / path.get<std::string>()).lexically_normal().string();
}

// The part of assignments that a stage is meant by, without its name.
std::vector<std::string> meant_for(const std::vector<std::string>& assignments,
                                   const std::string& stage) {
  std::vector<std::string> all;
  for (const std::string& one : assignments) {
    const size_t point = one.substr(0, one.find('=')).find('.');
    if (point == std::string::npos) {
      all.push_back(one);
    } else if (one.substr(0, point) == stage) {
      all.push_back(one.substr(point + 1));
    }
  }
  return all;
}

void check_assignments(const std::vector<std::string>& assignments, const Strategy& strategy) {
  for (const std::string& one : assignments) {
    const size_t point = one.substr(0, one.find('=')).find('.');
    if (point == std::string::npos) continue;
    const std::string name = one.substr(0, point);
    const bool known = std::any_of(strategy.stages.begin(), strategy.stages.end(),
                                   [&](const Stage& stage) { return stage.name == name; });
    if (!known)
      throw bad_input("assignment '" + one + "'", "the name of a stage", "'" + name + "'");
  }
}

Stage stage_from(const json& table, const std::string& file, const std::string& base,
                 const std::vector<std::string>& assignments) {
  JsonReader reader("'" + file + "'", table);
  Stage stage;
  stage.name = reader.need<std::string>("name");
  reader.read("share", stage.share, 1e-6, 1e6);
  reader.read("begin_from", stage.begin_from);
  const fs::path folder = fs::path(file).parent_path();
  std::vector<std::string> settings;
  for (const auto& [key, value] : table.items()) {
    if (is_stage_key(key)) continue;
    const json said = is_path_key(key) ? from_folder(value, folder) : value;
    settings.push_back(key + "=" + said.dump());
  }
  for (const std::string& one : meant_for(assignments, stage.name)) {
    constexpr std::string_view kShare = "share=";
    if (one.starts_with(kShare)) {
      stage.share = number_of("share of stage '" + stage.name + "'", one.substr(kShare.size()));
    } else {
      settings.push_back(one);
    }
  }
  if (!(stage.share > 0)) {
    throw bad_input("share of stage '" + stage.name + "'", "above 0", std::to_string(stage.share));
  }
  try {
    stage.config = TrainConfig::open(base, settings);
  } catch (const Error& error) {
    throw while_doing("reading stage '" + stage.name + "' of '" + file + "'", error);
  }
  return stage;
}

void check_stages(const Strategy& strategy, const std::string& file) {
  const std::string what = "strategy '" + file + "'";
  if (strategy.stages.empty()) throw bad_input(what, "a [[stage]]", "none");
  for (size_t i = 0; i < strategy.stages.size(); ++i) {
    const Stage& stage = strategy.stages[i];
    const auto before = strategy.stages.begin() + static_cast<std::ptrdiff_t>(i);
    const auto named = [&](const std::string& name) {
      return std::any_of(strategy.stages.begin(), before,
                         [&](const Stage& one) { return one.name == name; });
    };
    if (named(stage.name)) {
      throw bad_input(what, "stages of different names", "two '" + stage.name + "'");
    }
    if (!stage.begin_from.empty() && !named(stage.begin_from)) {
      throw bad_input(what + ", begin_from of '" + stage.name + "'", "a stage before it",
                      "'" + stage.begin_from + "'");
    }
  }
  const TrainConfig whole;
  int64_t end = whole.max_timestep;
  for (const size_t i : strategy.drawn()) {
    const TrainConfig& c = strategy.stages[i].config;
    if (c.max_timestep != end) {
      throw bad_input(what, "stages that draw whose ranges of t meet at " + std::to_string(end),
                      "'" + strategy.stages[i].name + "', up to " + std::to_string(c.max_timestep));
    }
    end = c.min_timestep;
  }
  if (end != whole.min_timestep) {
    throw bad_input(what, "a stage that draws down to t = 0", "down to " + std::to_string(end));
  }
}

}  // namespace

std::vector<size_t> Strategy::drawn() const {
  std::vector<size_t> ends;
  for (size_t i = 0; i < stages.size(); ++i) {
    const bool goes_on = std::any_of(stages.begin(), stages.end(), [&](const Stage& other) {
      return other.begin_from == stages[i].name;
    });
    if (!goes_on) ends.push_back(i);
  }
  std::sort(ends.begin(), ends.end(), [&](size_t a, size_t b) {
    return stages[a].config.max_timestep > stages[b].config.max_timestep;
  });
  return ends;
}

std::vector<size_t> Strategy::chain_of(size_t stage) const {
  std::vector<size_t> chain = {stage};
  while (!stages[chain.front()].begin_from.empty()) {
    const auto found = std::find_if(stages.begin(), stages.end(), [&](const Stage& other) {
      return other.name == stages[chain.front()].begin_from;
    });
    chain.insert(chain.begin(), static_cast<size_t>(found - stages.begin()));
  }
  return chain;
}

Strategy open_strategy(const std::string& path, const std::vector<std::string>& assignments) {
  JsonReader reader("'" + path + "'", toml_as_json(path));
  Strategy strategy;
  strategy.id = fs::path(path).stem().string();
  strategy.title = reader.get<std::string>("title", strategy.id);
  const fs::path base = fs::path(path).parent_path() / reader.need<std::string>("base");
  reader.read("tuning", strategy.tuning);
  for (const json& table : reader.get<std::vector<json>>("stage", {})) {
    strategy.stages.push_back(stage_from(table, path, base.string(), assignments));
  }
  reader.refuse_unread();
  check_stages(strategy, path);
  check_assignments(assignments, strategy);
  double sum = 0;
  for (const Stage& stage : strategy.stages) sum += stage.share;
  for (Stage& stage : strategy.stages) stage.share /= sum;
  return strategy;
}

}  // namespace pangu::train
