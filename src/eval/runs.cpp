#include "eval/runs.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/error.h"

namespace pangu::eval {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr const char* kMetrics = "metrics.jsonl";
constexpr const char* kByT = "loss_by_t.json";

double number(const json& object, const char* key, const std::string& where) {
  const auto found = object.is_object() ? object.find(key) : object.end();
  if (found == object.end() || !found->is_number()) {
    throw bad_input(where + ", key '" + key + "'", "a number", object.dump().substr(0, 80));
  }
  return found->get<double>();
}

void read_metrics(const fs::path& path, TrainingRun& run_) {
  std::ifstream file(path);
  std::vector<std::string> lines;
  for (std::string line; std::getline(file, line);) lines.push_back(line);
  std::vector<double> rates;
  for (size_t i = 0; i < lines.size(); ++i) {
    if (lines[i].empty()) continue;
    const std::string where = "'" + path.string() + "', line " + std::to_string(i + 1);
    const json line = json::parse(lines[i], nullptr, false);
    if (line.is_discarded() && i + 1 == lines.size()) break;
    if (line.is_discarded()) throw bad_input(where, "a JSON object", lines[i].substr(0, 80));
    if (!line.contains("loss") || line["loss"].is_null()) continue;  // a step that was skipped
    const LossOf point = {number(line, "step", where), number(line, "loss", where),
                          line.value("seconds", 0.0)};
    // A resumed run may repeat steps; the later line is the one that counts.
    while (!run_.curve.empty() && run_.curve.back().step >= point.step) run_.curve.pop_back();
    run_.curve.push_back(point);
    if (line.contains("samples_per_second")) {
      rates.push_back(number(line, "samples_per_second", where));
    }
  }
  if (rates.empty()) return;
  std::nth_element(rates.begin(), rates.begin() + long(rates.size() / 2), rates.end());
  run_.samples_per_second = rates[rates.size() / 2];
}

void read_by_t(const fs::path& path, TrainingRun& run_) {
  std::ifstream file(path);
  const json all = json::parse(file, nullptr, false);
  const std::string where = "'" + path.string() + "'";
  if (!all.is_array()) throw bad_input(where, "a JSON array", "something else");
  for (const json& at : all) {
    run_.by_sigma.push_back(
        {number(at, "t_index", where), number(at, "sigma", where), number(at, "loss", where)});
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
