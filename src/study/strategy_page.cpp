#include "study/strategy_page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <map>
#include <set>

namespace pangu::study {
namespace {

constexpr double kHour = 3600;

double missed(const eval::Accuracy& a) { return 1 - a.top5_share(); }

double gflop_of_record(const StudyRecord& r) { return r.gflop; }
double cpu_seconds_of_record(const StudyRecord& r) { return r.cpu_seconds; }

std::string significant(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%.3g", value);
  return text;
}

std::string or_not_reached(const std::optional<LevelCost>& cost) {
  if (!cost) return "not reached";
  return (cost->is_bound ? "at most " : "") + significant(cost->cost);
}

std::optional<double> ratio_of(const std::optional<LevelCost>& cost,
                               const std::optional<LevelCost>& reference) {
  if (!cost || !reference || cost->is_bound || reference->is_bound) return std::nullopt;
  return cost->cost / reference->cost;
}

std::string relative(double value, double reference) {
  if (!(reference > 0)) return "-";
  char text[32];
  std::snprintf(text, sizeof text, "%+.1f %%", 100 * (value / reference - 1));
  return text;
}

std::string ratio_text(const EqualQuality& e) {
  if (!e.ratio) return "-";
  std::string text = eval::fixed(*e.ratio, 2);
  if (e.least && e.greatest && *e.least != *e.greatest) {
    text += " (" + eval::fixed(*e.least, 2) + " to " + eval::fixed(*e.greatest, 2) + ")";
  }
  return text;
}

template <class Value>
std::vector<std::string> distinct(const std::vector<StudyRecord>& records, const Value& value) {
  std::vector<std::string> found;
  for (const StudyRecord& record : records) {
    const std::string one = value(record);
    if (std::find(found.begin(), found.end(), one) == found.end()) found.push_back(one);
  }
  return found;
}

std::vector<StudyRecord> of_group(const std::vector<StudyRecord>& all, const std::string& group) {
  std::vector<StudyRecord> some;
  for (const StudyRecord& record : all) {
    if (record.run.group == group) some.push_back(record);
  }
  return some;
}

std::vector<std::string> quality_cells(const Quality& q) {
  return {eval::fixed(q.mixed6, 2), eval::fixed(q.final, 3), eval::fixed(q.loss, 4),
          eval::share(q.trained.top5, q.trained.count),
          eval::share(q.held_out.top5, q.held_out.count)};
}

const std::vector<std::string> kQualityHeader = {"Frechet, mixed6", "final", "held-out loss",
                                                 "trained, top-5", "held-out pairs, top-5"};

std::vector<std::string> with_cells(std::vector<std::string> first,
                                    const std::vector<std::string>& more) {
  first.insert(first.end(), more.begin(), more.end());
  return first;
}

eval::Table accounting_table(const MainCurves& curves, const StrategyPage& page) {
  eval::Table t;
  t.title = "Accounting";
  t.note =
      "Of the trainings themselves, at the last point that all have. Pictures and operations "
      "follow from the histogram and the shapes (identities); seconds and memory were "
      "measured.";
  t.header = {"strategy",         "pictures used",   "against the reference",
              "GFLOP trained",    "CPU hours",       "peak memory, MB",
              "parameters",       "GFLOP a picture", "against the reference",
              "seconds a picture"};
  const StudyRecord* reference = curves.last_of(page.reference);
  for (const std::string& strategy : curves.strategies()) {
    const StudyRecord* r = curves.last_of(strategy);
    if (!r) continue;
    t.rows.push_back({r->title, std::to_string(r->pictures),
                      reference ? relative(double(r->pictures), double(reference->pictures)) : "-",
                      significant(r->gflop), eval::fixed(r->cpu_seconds / kHour, 2),
                      eval::fixed(double(r->peak_memory_bytes) * 1e-6, 0),
                      std::to_string(r->parameters), eval::fixed(r->gflop_a_picture, 1),
                      reference ? relative(r->gflop_a_picture, reference->gflop_a_picture) : "-",
                      eval::fixed(r->seconds_a_picture, 2)});
  }
  return t;
}

eval::Table equal_quality_table(const MainCurves& curves, const StrategyPage& page) {
  eval::Table t;
  t.title = "Cost at equal quality";
  t.note =
      "The level is where the fitted curve of the strategy in the second column ends. Ratio: "
      "the strategy's cost at that level by the reference's, with the least and greatest over "
      "pairs of seeds. Below 1 the strategy is cheaper. A curve that is at the level at its first "
      "point reached it there or before: its cost is a bound and gives no ratio.";
  t.header = {"measure",   "level of",        "level",        "strategy",
              "its GFLOP", "reference GFLOP", "ratio, GFLOP", "ratio, CPU seconds"};
  for (const Measure& measure : measures()) {
    for (const std::string& strategy : curves.strategies()) {
      if (strategy == page.reference) continue;
      for (const std::string& level_of : {page.reference, strategy}) {
        const EqualQuality e =
            curves.equal_quality(strategy, page.reference, level_of, measure, gflop_of_record);
        const EqualQuality s = curves.equal_quality(strategy, page.reference, level_of, measure,
                                                    cpu_seconds_of_record);
        t.rows.push_back({measure.name, curves.title_of(level_of), significant(e.level),
                          curves.title_of(strategy), or_not_reached(e.cost),
                          or_not_reached(e.reference_cost), ratio_text(e), ratio_text(s)});
      }
    }
  }
  return t;
}

eval::Table points_table(const std::string& title, const std::vector<StudyRecord>& records,
                         bool with_settings) {
  eval::Table t;
  t.title = title;
  t.header = {"strategy", "seed", "point", "GFLOP"};
  if (with_settings) t.header.insert(t.header.begin() + 1, "settings");
  t.header = with_cells(t.header, kQualityHeader);
  for (const StudyRecord& r : records) {
    std::vector<std::string> row = {r.title, std::to_string(r.run.seed),
                                    eval::fixed(100 * r.point, 1) + " %", significant(r.gflop)};
    if (with_settings) {
      std::string settings;
      for (const std::string& one : r.run.settings) {
        if (one.starts_with("seed=") || one.starts_with("native_")) continue;
        settings += (settings.empty() ? "" : ", ") + one;
      }
      row.insert(row.begin() + 1, settings.empty() ? "as in its file" : settings);
    }
    t.rows.push_back(with_cells(row, quality_cells(r.quality)));
  }
  return t;
}

}  // namespace

const std::vector<Measure>& measures() {
  static const std::vector<Measure> kMeasures = {
      {"Frechet, mixed6", [](const Quality& q) { return q.mixed6; }},
      {"Frechet, final", [](const Quality& q) { return q.final; }},
      {"held-out loss", [](const Quality& q) { return q.loss; }},
      {"held-out pairs not among the best five",
       [](const Quality& q) { return missed(q.held_out); }},
  };
  return kMeasures;
}

MainCurves::MainCurves(const std::vector<StudyRecord>& records, const std::string& group)
    : records_(of_group(records, group)),
      strategies_(distinct(records_, [](const StudyRecord& r) { return r.run.strategy; })) {
  std::set<double> points;
  for (const StudyRecord& record : records_) points.insert(record.point);
  for (const double point : points) {
    const bool everywhere =
        std::all_of(strategies_.begin(), strategies_.end(), [&](const std::string& strategy) {
          return std::any_of(records_.begin(), records_.end(), [&](const StudyRecord& r) {
            return r.run.strategy == strategy && r.point == point;
          });
        });
    if (everywhere) common_point_ = point;
  }
}

std::string MainCurves::title_of(const std::string& strategy) const {
  for (const StudyRecord& record : records_) {
    if (record.run.strategy == strategy) return record.title;
  }
  return strategy;
}

std::vector<const StudyRecord*> MainCurves::of(const std::string& strategy,
                                               std::optional<int64_t> seed) const {
  std::vector<const StudyRecord*> some;
  for (const StudyRecord& r : records_) {
    const bool wanted = r.run.strategy == strategy && r.point <= common_point_;
    if (wanted && (!seed || r.run.seed == *seed)) some.push_back(&r);
  }
  return some;
}

std::vector<int64_t> MainCurves::seeds_of(const std::string& strategy) const {
  std::set<int64_t> seeds;
  for (const StudyRecord* r : of(strategy, std::nullopt)) seeds.insert(r->run.seed);
  return {seeds.begin(), seeds.end()};
}

std::vector<CurvePoint> MainCurves::curve(const std::string& strategy, std::optional<int64_t> seed,
                                          const Measure& measure, CostOf cost) const {
  std::map<double, std::vector<const StudyRecord*>> by_point;
  for (const StudyRecord* r : of(strategy, seed)) by_point[r->point].push_back(r);
  std::vector<CurvePoint> points;
  for (const auto& [point, same] : by_point) {
    CurvePoint mean;
    for (const StudyRecord* r : same) {
      mean.cost += cost(*r) / double(same.size());
      mean.value += measure.of(r->quality) / double(same.size());
    }
    points.push_back(mean);
  }
  return points;
}

EqualQuality MainCurves::equal_quality(const std::string& strategy, const std::string& reference,
                                       const std::string& level_of, const Measure& measure,
                                       CostOf cost) const {
  const auto fitted = [&](const std::string& one, std::optional<int64_t> seed) {
    return falling_fit(curve(one, seed, measure, cost));
  };
  EqualQuality found;
  const std::vector<CurvePoint> own = fitted(strategy, {}), other = fitted(reference, {});
  if (own.empty() || other.empty()) return found;
  found.level = (level_of == reference ? other : own).back().value;
  found.cost = cost_at_level(own, found.level);
  found.reference_cost = cost_at_level(other, found.level);
  found.ratio = ratio_of(found.cost, found.reference_cost);
  for (const int64_t a : seeds_of(strategy)) {
    for (const int64_t b : seeds_of(reference)) {
      const std::vector<CurvePoint> x = fitted(strategy, a), y = fitted(reference, b);
      const double level = (level_of == reference ? y : x).back().value;
      const auto ratio = ratio_of(cost_at_level(x, level), cost_at_level(y, level));
      if (!ratio) continue;
      found.least = std::min(found.least.value_or(*ratio), *ratio);
      found.greatest = std::max(found.greatest.value_or(*ratio), *ratio);
    }
  }
  return found;
}

const StudyRecord* MainCurves::last_of(const std::string& strategy) const {
  const StudyRecord* last = nullptr;
  for (const StudyRecord* r : of(strategy, std::nullopt)) {
    if (r->point == common_point_ && (!last || r->run.seed < last->run.seed)) last = r;
  }
  return last;
}

std::vector<eval::Table> strategy_tables(const StrategyPage& page) {
  std::vector<eval::Table> tables;
  const MainCurves curves(page.records, page.main_group);
  if (curves.common_point() > 0) {
    tables.push_back(accounting_table(curves, page));
    tables.push_back(equal_quality_table(curves, page));
  }
  for (const std::string& group :
       distinct(page.records, [](const StudyRecord& r) { return r.run.group; })) {
    const std::vector<StudyRecord> records = of_group(page.records, group);
    tables.push_back(points_table("Points of `" + group + "`", records, group != page.main_group));
  }
  return tables;
}

std::string strategy_plots(const StrategyPage& page) {
  const MainCurves curves(page.records, page.main_group);
  std::vector<eval::Plot> plots;
  for (const Measure& measure : measures()) {
    eval::Plot plot;
    plot.title = measure.name;
    plot.x_label = "GFLOP of training";
    plot.y_label = measure.name;
    plot.log_x = true;
    for (const std::string& strategy : curves.strategies()) {
      eval::Series series;
      series.name = curves.title_of(strategy);
      const auto mean = curves.curve(strategy, {}, measure, gflop_of_record);
      for (const CurvePoint& p : mean) {
        series.points.emplace_back(p.cost, p.value);
        series.bars.push_back({p.cost, p.value, p.value});
      }
      for (const int64_t seed : curves.seeds_of(strategy)) {
        const auto one = curves.curve(strategy, seed, measure, gflop_of_record);
        for (size_t i = 0; i < std::min(one.size(), series.bars.size()); ++i) {
          series.bars[i].low = std::min(series.bars[i].low, one[i].value);
          series.bars[i].high = std::max(series.bars[i].high, one[i].value);
        }
      }
      plot.series.push_back(std::move(series));
    }
    plots.push_back(std::move(plot));
  }
  return eval::svg_of(plots);
}

std::string strategy_verdict(const StrategyPage& page) {
  const MainCurves curves(page.records, page.main_group);
  if (curves.common_point() == 0 || curves.strategies().size() < 2) {
    return "The main trainings have no point in common yet: there is no answer.";
  }
  const Measure& measure = measures().front();
  std::string text = "Up to " + eval::fixed(100 * curves.common_point(), 1) +
                     " % of the budget, by " + measure.name + ": ";
  for (const std::string& strategy : curves.strategies()) {
    if (strategy == page.reference) continue;
    const EqualQuality e =
        curves.equal_quality(strategy, page.reference, page.reference, measure, gflop_of_record);
    const std::string name = curves.title_of(strategy), other = curves.title_of(page.reference);
    if (e.ratio) {
      text += name + " reaches the level that " + other + " ends at, " + significant(e.level) +
              ", at " + ratio_text(e) + " of its cost. ";
    } else if (e.cost) {
      text += name + " reaches the level that " + other + " ends at, " + significant(e.level) +
              ", after " + or_not_reached(e.cost) + " GFLOP, " + other + " after " +
              or_not_reached(e.reference_cost) + "; a bound is no ratio. ";
    } else {
      const EqualQuality back =
          curves.equal_quality(strategy, page.reference, strategy, measure, gflop_of_record);
      text += name + " does not reach the level that " + other + " ends at, " +
              significant(e.level) + "; " + other + " is at the level that " + name + " ends at, " +
              significant(back.level) + ", after " + or_not_reached(back.reference_cost) +
              " GFLOP, " + name + " after " + or_not_reached(back.cost) + ". ";
    }
  }
  text.pop_back();
  return text;
}

SectionMarks strategy_marks() { return {kStrategyBegin, kStudyEnd}; }

std::string strategy_section(const StrategyPage& page, const std::string& images) {
  const SectionMarks marks = strategy_marks();
  std::string out = marks.begin + "\n\n## Results\n\n";
  out += std::to_string(page.records.size()) + " of " + std::to_string(page.planned) +
         " points are measured";
  out += page.records.size() < size_t(page.planned)
             ? "; the trainings go on, and what is said here holds up to where they are.\n\n"
             : ".\n\n";
  out += strategy_verdict(page) + "\n\n";
  if (page.floor.drawn > 0) {
    out += "The real pictures of the same prompts are at a distance of " +
           eval::fixed(page.floor.mixed6, 2) + " (mixed6) and " + eval::fixed(page.floor.final, 3) +
           " (final): the floor.\n\n";
  }
  if (!page.records.empty()) {
    out += "![Quality against cost](" + images + "/" + kStrategyPlots + ")\n\n";
  }
  if (!page.grid.empty()) {
    out +=
        "![The same prompts and seeds](" + images + "/" + page.grid + ")\n\nFrom top to bottom: ";
    for (size_t i = 0; i < page.grid_rows.size(); ++i) {
      out += (i > 0 ? ", " : "") + page.grid_rows[i];
    }
    out += ". From left to right: ";
    for (size_t i = 0; i < page.grid_prompts.size(); ++i) {
      out += (i > 0 ? "; " : "") + eval::cell(page.grid_prompts[i]);
    }
    out += ".\n\n";
  }
  for (const eval::Table& table : strategy_tables(page)) out += eval::markdown(table, 3);
  return out + "<details><summary>How it was made</summary>\n\n```sh\n" + page.command +
         "\n```\n\n" + page.setting + "\n\n</details>\n\n" + marks.end + "\n";
}

}  // namespace pangu::study
