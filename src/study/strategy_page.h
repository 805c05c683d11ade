// The results of the study of training strategies (study/strategy_study.h): costs at equal quality,
// tables, curves, and the section of its page that is written anew. Everything that it says is out
// of records.
#pragma once
#include <optional>
#include <string>
#include <vector>

#include "eval/page.h"
#include "eval/plot.h"
#include "study/curve.h"
#include "study/page.h"
#include "study/strategy_study.h"

namespace pangu::study {

// A measure of quality that falls as training goes on.
struct Measure {
  const char* name;
  double (*of)(const Quality& quality);
};
// The first is the one that the study decides by.
const std::vector<Measure>& measures();

// How one strategy's cost at a level compares with the reference's. The level is the one that the
// reference's fitted curve ends at, or the strategy's own.
struct EqualQuality {
  double level = 0;
  std::optional<LevelCost> cost, reference_cost;  // none: not reached
  // cost / reference_cost, none if one of them is only a bound; and the least and greatest over
  // pairs of seeds that both reach it.
  std::optional<double> ratio, least, greatest;
};

// What the main group's records say, up to the last point that every strategy has with a seed.
class MainCurves {
 public:
  MainCurves(const std::vector<StudyRecord>& records, const std::string& group);

  const std::vector<std::string>& strategies() const { return strategies_; }  // ids, as recorded
  std::string title_of(const std::string& strategy) const;
  double common_point() const { return common_point_; }  // 0: there is none
  std::vector<int64_t> seeds_of(const std::string& strategy) const;

  using CostOf = double (*)(const StudyRecord& record);
  // Points of one seed, or their means over seeds, up to the common point.
  std::vector<CurvePoint> curve(const std::string& strategy, std::optional<int64_t> seed,
                                const Measure& measure, CostOf cost) const;
  EqualQuality equal_quality(const std::string& strategy, const std::string& reference,
                             const std::string& level_of, const Measure& measure,
                             CostOf cost) const;
  // The record at the common point of the least seed; null if there is none.
  const StudyRecord* last_of(const std::string& strategy) const;

 private:
  std::vector<const StudyRecord*> of(const std::string& strategy,
                                     std::optional<int64_t> seed) const;

  std::vector<StudyRecord> records_;  // of the group
  std::vector<std::string> strategies_;
  double common_point_ = 0;
};

struct StrategyPage {
  std::string command;
  std::string setting;  // how it was measured, a sentence
  std::string reference;
  std::string main_group = "main";
  int64_t planned = 0;  // points of the whole study
  std::vector<StudyRecord> records;
  Quality floor;     // drawn 0: unknown
  std::string grid;  // the contact sheet's file, or empty
  std::vector<std::string> grid_rows, grid_prompts;
};

// Accounting of the main group, its verdicts and points, what tuning chose, and the other groups.
std::vector<eval::Table> strategy_tables(const StrategyPage& page);
// Every measure against the cost, one plot each, with bars from the least to the greatest seed.
std::string strategy_plots(const StrategyPage& page);
// The answer in sentences.
std::string strategy_verdict(const StrategyPage& page);

inline constexpr const char* kStrategyBegin = "<!-- study: written by `pangu-draw study tdts` -->";
inline constexpr const char* kStrategyPlots = "tdts_curves.svg";
inline constexpr const char* kStrategyGrid = "tdts_grid.webp";
SectionMarks strategy_marks();
// The section with its marks. images: the folder of the plots and the grid, relative to the page.
std::string strategy_section(const StrategyPage& page, const std::string& images);

}  // namespace pangu::study
