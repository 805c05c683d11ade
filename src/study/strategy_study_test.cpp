// The study of training strategies on invented records: what is done next, what is read off.
#include "study/strategy_study.h"

#include <doctest/doctest.h>

#include <cmath>
#include <fstream>

#include "core/testing.h"
#include "study/strategy_page.h"

namespace pangu::study {
namespace {

StudyRecord record(const std::string& strategy, int64_t seed, double point, double mixed6) {
  StudyRecord r;
  r.run.group = "main";
  r.run.strategy = strategy;
  r.run.seed = seed;
  r.run.budget_gflop = 1000;
  r.title = strategy == "boost" ? "Boost" : "Decoupled";
  r.point = point;
  r.gflop = 1000 * point;
  r.cpu_seconds = 10 * point;
  r.pictures = strategy == "boost" ? 100 : 148;
  r.gflop_a_picture = strategy == "boost" ? 2 : 1;
  r.quality.mixed6 = mixed6;
  r.quality.drawn = 8;
  return r;
}

// The decoupled one is where the other ends, at 4, after a quarter of the operations.
std::vector<StudyRecord> cheaper() {
  return {record("boost", 0, 0.25, 9),     record("decoupled", 0, 0.25, 4),
          record("boost", 0, 1, 4),        record("decoupled", 0, 1, 2),
          record("decoupled", 1, 0.25, 4), record("boost", 1, 0.25, 9),
          record("decoupled", 1, 1, 2),    record("boost", 1, 1, 4)};
}

EqualQuality at_level_of(const std::vector<StudyRecord>& records, const std::string& level_of) {
  return MainCurves(records, "main")
      .equal_quality("decoupled", "boost", level_of, measures().front(),
                     [](const StudyRecord& r) { return r.gflop; });
}

TEST_CASE("the cost at the level where the reference ends is read off both curves") {
  const EqualQuality e = at_level_of(cheaper(), "boost");
  CHECK(e.level == 4);
  CHECK(*e.ratio == doctest::Approx(0.25));
  CHECK(*e.least == doctest::Approx(0.25));
  CHECK(*e.greatest == doctest::Approx(0.25));
}

TEST_CASE("a level that a curve does not come to is not reached, and nothing is extrapolated") {
  const EqualQuality e = at_level_of(cheaper(), "decoupled");
  CHECK(e.level == 2);
  CHECK(e.cost.has_value());
  CHECK_FALSE(e.reference_cost.has_value());
  CHECK_FALSE(e.ratio.has_value());
}

TEST_CASE("strategies are compared up to the last point that all of them have") {
  std::vector<StudyRecord> records = cheaper();
  records.push_back(record("decoupled", 0, 0.5, 1));
  CHECK(MainCurves(records, "main").common_point() == 1);
  records.erase(records.begin() + 2);  // boost, seed 0, at the end
  records.erase(records.end() - 2);    // boost, seed 1, at the end
  const MainCurves shorter(records, "main");
  CHECK(shorter.common_point() == 0.25);
  CHECK(shorter.last_of("decoupled")->quality.mixed6 == 4);
  CHECK(MainCurves({}, "main").common_point() == 0);
}

TEST_CASE("records are read as they were written, and a line that was cut is written again") {
  const TestFolder folder;
  const std::string file = folder.file("results/records.jsonl");
  CHECK(read_records(file).empty());
  for (const StudyRecord& one : cheaper()) append_record(file, one);
  REQUIRE(read_records(file).size() == 8);
  CHECK(to_json(read_records(file)[3]) == to_json(cheaper()[3]));
  std::ofstream(file, std::ios::app) << R"({"run": {"gro)";
  CHECK(read_records(file).size() == 8);
  append_record(file, cheaper()[0]);
  CHECK(read_records(file).size() == 9);
  std::ofstream(file, std::ios::app) << "nonsense\n";
  CHECK(contains(refusal_of([&] { read_records(file); }), "line 10"));
}

StrategyStudy two_groups() {
  StrategyStudy study;
  study.budget_gflop = 1000;
  study.reference = "boost";
  StudyGroup tuning, main;
  tuning.name = "tuning";
  tuning.tunes = true;
  tuning.budget = 0.125;
  tuning.points = {1};
  tuning.seeds = {7};
  tuning.strategies = {"configs/boost.toml", "configs/decoupled.toml"};
  main.name = "main";
  main.points = {0.5, 1};
  main.seeds = {0, 1};
  main.strategies = tuning.strategies;
  main.set = {"caption_dropout_rate=0.2"};
  study.groups = {tuning, main};
  return study;
}

const TuningLists kLists = {{"boost", {{}, {"learning_rate=1e-3"}}},
                            {"decoupled", {{}, {"learning_rate=2e-3"}}}};

TEST_CASE("tuning tries every list of a strategy, and the best serves the groups behind it") {
  const StrategyStudy study = two_groups();
  const std::vector<StudyRun> tuning = runs_of(study, study.groups[0], kLists, {});
  REQUIRE(tuning.size() == 4);
  CHECK(tuning[1].id() == "tuning/boost-v1-s7");
  CHECK(tuning[1].budget_gflop == 125);
  std::vector<StudyRecord> records;
  for (const StudyRun& run : tuning) {
    StudyRecord r;
    r.run = run;
    r.point = 1;
    r.quality.mixed6 = run.variant == 1 && run.strategy == "boost" ? 5 : 6;
    records.push_back(r);
  }
  const std::vector<StudyRun> main = runs_of(study, study.groups[1], kLists, records);
  REQUIRE(main.size() == 4);
  CHECK(main[0].settings.front() == "learning_rate=1e-3");
  CHECK(main[1].settings.front() == "caption_dropout_rate=0.2");
  CHECK(point_count(study, kLists) == 4 + 8);
  CHECK(is_recorded(records, tuning[2], 1));
  CHECK_FALSE(is_recorded(records, tuning[2], 0.5));
  CHECK_FALSE(is_recorded(records, main[0], 1));
}

TEST_CASE("a strategy with more tuning than another is refused") {
  const StrategyStudy study = two_groups();
  TuningLists unequal = kLists;
  unequal["boost"].push_back({"learning_rate=3e-3"});
  CHECK(contains(refusal_of([&] { runs_of(study, study.groups[0], unequal, {}); }), "one length"));
}

TEST_CASE("the study of this project opens") {
  const StrategyStudy study =
      open_strategy_study(std::string(kSourceDir) + "/configs/study/study.toml");
  CHECK(study.groups.front().tunes);
  CHECK(1 / data::share_of_at_least(study.groups[1].sizes, 128) == doctest::Approx(1.48));
}

TEST_CASE("losses over t are averaged by trapezoids, also where two experts meet") {
  CHECK(mean_over_t({{0, 0, 1}, {500, 0, 1}, {500, 0, 3}, {1000, 0, 3}}) == doctest::Approx(2));
}

TEST_CASE("the section of the page says the ratio, and replaces only itself") {
  StrategyPage page;
  page.command = "./pangu-draw study tdts";
  page.reference = "boost";
  page.planned = 12;
  page.records = cheaper();
  const std::string section = strategy_section(page, "images");
  CHECK(contains(section, "8 of 12 points"));
  CHECK(contains(section, "Decoupled reaches the level that Boost ends at, 4, at 0.25"));
  CHECK(contains(section, "+48.0 %"));
  CHECK(contains(section, "not reached"));
  const std::string old = "before\n" + section + "after\n";
  CHECK(with_section(old, section, "p.md", strategy_marks()) == old);
  CHECK(contains(strategy_plots(page), "Decoupled"));
  page.records.clear();
  CHECK(contains(strategy_section(page, "images"), "no answer"));
}

}  // namespace
}  // namespace pangu::study
