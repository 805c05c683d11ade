#include "study/strategy_study.h"

#include <algorithm>
#include <filesystem>
#include <limits>
#include <sstream>

#include "core/error.h"
#include "core/fields.h"
#include "core/json_reader.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace pangu::study {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

std::string strategy_id(const std::string& file) { return fs::path(file).stem().string(); }

bool is_folder_name(const std::string& text) {
  return !text.empty() && std::all_of(text.begin(), text.end(), [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-';
  });
}

StudyGroup group_from(const json& table, const std::string& file,
                      const data::SizeHistogram& sizes) {
  JsonReader reader("'" + file + "'", table);
  StudyGroup group;
  group.name = reader.need<std::string>("name");
  if (!is_folder_name(group.name)) {
    throw reader.error("name", "small letters, digits and '-'", "'" + group.name + "'");
  }
  for (const std::string& one : reader.need<std::vector<std::string>>("strategies")) {
    group.strategies.push_back((fs::path(file).parent_path() / one).lexically_normal().string());
  }
  reader.read("tunes", group.tunes);
  reader.read("tuned_as", group.tuned_as);
  reader.read("budget", group.budget, 1e-6, 1e6);
  group.points = reader.need<std::vector<double>>("points");
  for (size_t i = 0; i < group.points.size(); ++i) {
    if (group.points[i] > (i > 0 ? group.points[i - 1] : 0) && group.points[i] <= 1) continue;
    throw reader.error("points", "increasing shares up to 1", json(group.points).dump());
  }
  if (group.points.empty()) throw reader.error("points", "one at least", "none");
  group.seeds = reader.get<std::vector<int64_t>>("seeds", {0});
  group.sizes.sizes_px = reader.get("native_sizes", sizes.sizes_px);
  group.sizes.shares = reader.get("native_shares", sizes.shares);
  group.sizes.validate("'" + file + "', native_sizes of '" + group.name + "'");
  group.set = reader.get<std::vector<std::string>>("set", {});
  reader.refuse_unread();
  return group;
}

std::string assignment(const char* key, const std::vector<int64_t>& values) {
  return std::string(key) + "=" + json(values).dump();
}

json json_of_run(const StudyRun& run) {
  return {{"group", run.group}, {"strategy", run.strategy},         {"variant", run.variant},
          {"seed", run.seed},   {"budget_gflop", run.budget_gflop}, {"settings", run.settings},
          {"tunes", run.tunes}};
}

StudyRun run_from(const json& j) {
  StudyRun run;
  run.group = j.at("group").get<std::string>();
  run.strategy = j.at("strategy").get<std::string>();
  run.variant = j.at("variant").get<int64_t>();
  run.seed = j.at("seed").get<int64_t>();
  run.budget_gflop = j.at("budget_gflop").get<double>();
  run.settings = j.at("settings").get<std::vector<std::string>>();
  run.tunes = j.value("tunes", false);
  return run;
}

const std::vector<std::vector<std::string>>& tuning_of(const TuningLists& tuning,
                                                       const std::string& strategy) {
  static const std::vector<std::vector<std::string>> kNothing = {{}};
  const auto found = tuning.find(strategy);
  return found == tuning.end() || found->second.empty() ? kNothing : found->second;
}

}  // namespace

StrategyStudy open_strategy_study(const std::string& path) {
  JsonReader reader("'" + path + "'", toml_as_json(path));
  StrategyStudy study;
  study.budget_gflop = reader.need<double>("budget_gflop");
  if (!(study.budget_gflop > 0)) throw reader.error("budget_gflop", "above 0", "less");
  study.reference = reader.need<std::string>("reference");
  reader.read("context_length", study.context_length, int64_t{1}, int64_t{512});
  reader.read("latent_downscale", study.latent_downscale, int64_t{1}, int64_t{64});
  reader.read("prompts", study.prompts, int64_t{2}, int64_t{10000});
  reader.read("drawing_steps", study.drawing_steps, int64_t{1}, int64_t{1000});
  const data::SizeHistogram sizes{reader.get<std::vector<int64_t>>("native_sizes", {}),
                                  reader.get<std::vector<int64_t>>("native_shares", {})};
  for (const json& table : reader.need<std::vector<json>>("group")) {
    study.groups.push_back(group_from(table, path, sizes));
  }
  reader.refuse_unread();
  return study;
}

std::string StudyRun::id() const {
  return group + "/" + strategy + "-v" + std::to_string(variant) + "-s" + std::to_string(seed);
}

json to_json(const StudyRecord& r) {
  json stages = json::array();
  for (const StageRecord& stage : r.stages) {
    stages.push_back({{"name", stage.name}, {"accounting", stage.accounting}});
  }
  return {{"run", json_of_run(r.run)},
          {"title", r.title},
          {"point", r.point},
          {"gflop", r.gflop},
          {"seconds", r.seconds},
          {"cpu_seconds", r.cpu_seconds},
          {"pictures", r.pictures},
          {"pictures_in_all", r.pictures_in_all},
          {"parameters", r.parameters},
          {"peak_memory_bytes", r.peak_memory_bytes},
          {"gflop_a_picture", r.gflop_a_picture},
          {"seconds_a_picture", r.seconds_a_picture},
          {"stages", stages},
          {"quality", to_json(r.quality)}};
}

StudyRecord record_from(const json& j) {
  StudyRecord r;
  r.run = run_from(j.at("run"));
  r.title = j.at("title").get<std::string>();
  r.point = j.at("point").get<double>();
  r.gflop = j.at("gflop").get<double>();
  r.seconds = j.value("seconds", 0.0);
  r.cpu_seconds = j.value("cpu_seconds", 0.0);
  r.pictures = j.value("pictures", int64_t{0});
  r.pictures_in_all = j.value("pictures_in_all", int64_t{0});
  r.parameters = j.value("parameters", int64_t{0});
  r.peak_memory_bytes = j.value("peak_memory_bytes", int64_t{0});
  r.gflop_a_picture = j.value("gflop_a_picture", 0.0);
  r.seconds_a_picture = j.value("seconds_a_picture", 0.0);
  for (const json& stage : j.value("stages", json::array())) {
    r.stages.push_back({stage.at("name").get<std::string>(), stage.at("accounting")});
  }
  r.quality = quality_from(j.at("quality"));
  return r;
}

std::vector<StudyRecord> read_records(const std::string& file) {
  std::vector<StudyRecord> records;
  if (!fs::exists(file)) return records;
  std::istringstream in(io::read_text_file(file));
  int64_t number = 0;
  for (std::string line; std::getline(in, line);) {
    ++number;
    if (line.empty()) continue;
    const bool is_cut = in.eof();  // no end of line
    try {
      records.push_back(record_from(json::parse(line)));
    } catch (const json::exception& problem) {
      if (is_cut) break;
      throw bad_input("'" + file + "', line " + std::to_string(number), "a record of the study",
                      problem.what());
    }
  }
  return records;
}

void append_record(const std::string& file, const StudyRecord& record) {
  const fs::path folder = fs::path(file).parent_path();
  if (!folder.empty()) fs::create_directories(folder);
  std::string text = fs::exists(file) ? io::read_text_file(file) : "";
  text.erase(text.rfind('\n') + 1);  // what follows the last whole line was cut
  io::write_file_atomic(file, text + to_json(record).dump() + "\n");
}

std::vector<std::string> tuned_settings(const std::vector<StudyRecord>& records,
                                        const TuningLists& tuning, const std::string& strategy) {
  double least = std::numeric_limits<double>::infinity();
  std::vector<std::string> best;
  const auto& lists = tuning_of(tuning, strategy);
  for (const StudyRecord& record : records) {
    const auto variant = static_cast<size_t>(record.run.variant);
    if (!record.run.tunes || record.run.strategy != strategy) continue;
    if (variant >= lists.size() || record.quality.mixed6 >= least) continue;
    least = record.quality.mixed6;
    best = lists[variant];
  }
  return best;
}

std::vector<StudyRun> runs_of(const StrategyStudy& study, const StudyGroup& group,
                              const TuningLists& tuning, const std::vector<StudyRecord>& records) {
  std::vector<StudyRun> runs;
  size_t variants = 0;
  for (const int64_t seed : group.seeds) {
    for (const std::string& file : group.strategies) {
      const std::string id = strategy_id(file);
      std::vector<std::vector<std::string>> lists = {
          tuned_settings(records, tuning, group.tuned_as.empty() ? id : group.tuned_as)};
      if (group.tunes) lists = tuning_of(tuning, id);
      if (variants == 0) variants = lists.size();
      if (lists.size() != variants) {
        throw bad_input("group '" + group.name + "'",
                        "tuning lists of one length, so that each strategy has the same budget",
                        std::to_string(lists.size()) + " settings of '" + id + "' and " +
                            std::to_string(variants) + " of another");
      }
      for (size_t v = 0; v < lists.size(); ++v) {
        StudyRun run;
        run.group = group.name;
        run.strategy_file = file;
        run.strategy = id;
        run.variant = static_cast<int64_t>(v);
        run.seed = seed;
        run.tunes = group.tunes;
        run.budget_gflop = study.budget_gflop * group.budget;
        run.settings = lists[v];
        run.settings.insert(run.settings.end(), group.set.begin(), group.set.end());
        run.settings.push_back("seed=" + std::to_string(seed));
        run.settings.push_back(assignment("native_sizes", group.sizes.sizes_px));
        run.settings.push_back(assignment("native_shares", group.sizes.shares));
        runs.push_back(std::move(run));
      }
    }
  }
  return runs;
}

bool is_recorded(const std::vector<StudyRecord>& records, const StudyRun& run, double point) {
  return std::any_of(records.begin(), records.end(), [&](const StudyRecord& record) {
    return record.run.id() == run.id() && record.run.settings == run.settings &&
           record.run.budget_gflop == run.budget_gflop && record.point == point;
  });
}

int64_t point_count(const StrategyStudy& study, const TuningLists& tuning) {
  size_t count = 0;
  for (const StudyGroup& group : study.groups) {
    count += runs_of(study, group, tuning, {}).size() * group.points.size();
  }
  return static_cast<int64_t>(count);
}

}  // namespace pangu::study
