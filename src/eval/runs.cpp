#include "eval/runs.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"
#include "core/json_reader.h"
#include "io/json_file.h"

namespace pangu::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kByT = "loss_by_t.json";

void read_metrics(const fs::path& path, TrainingRun& run_) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::vector<double> rates;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::string where = "'" + path.string() + "', line " + std::to_string(i + 1);
    // A run that still goes on, or was killed, may have written only a part of its last line.
    const bool whole = i + 1 < lines.size() || json::accept(lines[i]);
    if (!whole) break;
    JsonReader line(where, parse_json(lines[i], where));
    if (!line.has("loss")) continue;  // a skipped step
    const LossOf point = {line.need<double>("step"), line.need<double>("loss"),
                          line.get("seconds", 0.0)};
    // A resumed run may repeat steps; the later line is the one that counts.
    while (!run_.curve.empty() && run_.curve.back().step >= point.step) run_.curve.pop_back();
    run_.curve.push_back(point);
    if (line.has("samples_per_second")) rates.push_back(line.need<double>("samples_per_second"));
  }
  if (rates.empty()) return;
  std::nth_element(rates.begin(), rates.begin() + long(rates.size() / 2), rates.end());
  run_.samples_per_second = rates[rates.size() / 2];
}

void read_by_t(const fs::path& path, TrainingRun& run_) {
  const json all = io::read_json_file(path.string());
  const std::string where = "'" + path.string() + "'";
  if (!all.is_array()) throw bad_input(where, "a JSON array", "something else");
  for (const json& entry : all) {
    JsonReader at(where, entry);
    run_.by_sigma.push_back(
        {at.need<double>("t_index"), at.need<double>("sigma"), at.need<double>("loss")});
  }
}

bool add_run(const fs::path& folder, std::vector<TrainingRun>& runs_) {
  const bool metrics = fs::is_regular_file(folder / kMetrics);
  const bool by_t = fs::is_regular_file(folder / kByT);
  if (!metrics && !by_t) return false;
  TrainingRun run;
  run.name = (folder / "").parent_path().filename().string();
  if (metrics) read_metrics(folder / kMetrics, run);
  if (by_t) read_by_t(folder / kByT, run);
  runs_.push_back(std::move(run));
  return true;
}

}  // namespace

std::vector<TrainingRun> read_runs(const std::string& folder) {
  std::error_code failed;
  std::vector<fs::path> folders;
  for (fs::directory_iterator it(folder, failed), end; !failed && it != end; it.increment(failed)) {
    if (it->is_directory()) folders.push_back(it->path());
  }
  if (failed) throw bad_input("--runs", "a folder of trainings", "'" + folder + "'");
  std::sort(folders.begin(), folders.end());
  std::vector<TrainingRun> runs;
  add_run(folder, runs);
  for (const fs::path& path : folders) add_run(path, runs);
  if (runs.empty()) {
    throw bad_input("--runs '" + folder + "'",
                    std::string("folders with ") + kMetrics + " or " + kByT, "none");
  }
  return runs;
}

}  // namespace pangu::eval
