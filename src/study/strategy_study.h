// The study of training strategies as data: its configuration (configs/study/study.toml), the list
// of trainings and of the points along them in the order in which they are made, and the records of
// what was measured, one line of JSON each. It trains and draws nothing.
#pragma once
#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "data/native_size.h"
#include "study/quality.h"

namespace pangu::study {

// Trainings of one kind, for every strategy and seed.
struct StudyGroup {
  std::string name;
  std::vector<std::string> strategies;  // files
  bool tunes = false;    // tries each strategy's own list of settings, whose best serves the others
  std::string tuned_as;  // id of the strategy whose best settings are used; empty: its own
  double budget = 1;     // share of the study's budget
  std::vector<double> points;  // increasing shares of the group's budget where quality is measured
  std::vector<int64_t> seeds;
  data::SizeHistogram sizes;
  std::vector<std::string> set;  // assignments for its strategies
};

struct StrategyStudy {
  double budget_gflop = 0;
  std::string reference;  // id of the strategy to compare with
  int64_t context_length = 16, latent_downscale = 16;
  int64_t prompts = 48, drawing_steps = 12;
  std::vector<StudyGroup> groups;
};

// Paths are taken from the file's folder. Error kBadInput naming file and key.
StrategyStudy open_strategy_study(const std::string& path);

// One training of one strategy.
struct StudyRun {
  std::string group, strategy_file, strategy;  // strategy: its id
  int64_t variant = 0;                         // of its tuning; 0 in groups that tune nothing
  int64_t seed = 0;
  bool tunes = false;
  double budget_gflop = 0;
  std::vector<std::string> settings;  // assignments over the strategy's file
  std::string id() const;             // "main/tdts-v0-s1", also a folder's name
};

// A strategy's list of settings to try, by its id.
using TuningLists = std::map<std::string, std::vector<std::vector<std::string>>>;

// What a stage of a run cost up to a point; the trainer's accounting as JSON.
struct StageRecord {
  std::string name;
  nlohmann::json accounting;
};

struct StudyRecord {
  StudyRun run;
  std::string title;  // of the strategy
  double point = 0;   // share of the run's budget
  // Sums over stages, and the largest of the stages where a sum has no meaning.
  double gflop = 0, seconds = 0, cpu_seconds = 0;
  int64_t pictures = 0, pictures_in_all = 0, parameters = 0, peak_memory_bytes = 0;
  double gflop_a_picture = 0, seconds_a_picture = 0;
  std::vector<StageRecord> stages;
  Quality quality;
};

nlohmann::json to_json(const StudyRecord& record);
StudyRecord record_from(const nlohmann::json& json);

// The lines of a file of records; none if it is absent. A last line that was cut while it was
// written is left out. Error kBadInput naming the line for any other that is no record.
std::vector<StudyRecord> read_records(const std::string& file);
// Writes the file anew with one more line, whole or not at all.
void append_record(const std::string& file, const StudyRecord& record);

// The settings of the tuning that were best for a strategy: of the least mixed6 distance. Empty if
// nothing was tuned.
std::vector<std::string> tuned_settings(const std::vector<StudyRecord>& records,
                                        const TuningLists& tuning, const std::string& strategy);

// The runs of a group, by seeds and then strategies. Error kBadInput if strategies of a group that
// tunes have lists of different lengths, since each is to have the same budget for it.
std::vector<StudyRun> runs_of(const StrategyStudy& study, const StudyGroup& group,
                              const TuningLists& tuning, const std::vector<StudyRecord>& records);

// Whether the point of the run is recorded, with the same settings and budget.
bool is_recorded(const std::vector<StudyRecord>& records, const StudyRun& run, double point);

// How many points the whole study has.
int64_t point_count(const StrategyStudy& study, const TuningLists& tuning);

}  // namespace pangu::study
