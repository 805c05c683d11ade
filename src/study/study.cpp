// Draws and measures the settings of a study. The header says what is measured, study/page.h how it
// is shown.
#include "study/study.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <nlohmann/json.hpp>

#include "core/error.h"
#include "data/dataset.h"
#include "eval/frechet.h"
#include "image/canny.h"
#include "image/edge_match.h"
#include "image/resize.h"
#include "image/sheet.h"

namespace pangu::study {
namespace {

constexpr size_t kExamples = 6;  // rows of a contact sheet
constexpr int kCellPx = 128;
constexpr double kLeastSpread = 1e-6;  // for a feature that never changes
constexpr double kUnknown = std::numeric_limits<double>::quiet_NaN();

// The measurements of the pictures of one setting, batch by batch.
struct Found {
  std::vector<eval::Features> features;
  double precision = 0, recall = 0, f1 = 0, seconds = 0;  // sums
};

// The inputs of one batch; its wishes point to them.
struct Inputs {
  std::vector<image::Image> pictures, edges;
  std::vector<Wish> wishes;
};

Inputs inputs_of(const Plan& plan, const Judge& judge, size_t first, size_t end) {
  Inputs in;
  for (size_t i = first; i < end; ++i) {
    in.pictures.push_back(data::render_item(judge.items[plan.cases[i].item], eval::kPicturePx));
    if (plan.kind == Kind::kEdges) in.edges.push_back(image::canny(in.pictures.back()));
  }
  for (size_t i = first; i < end; ++i) {
    Wish wish{plan.cases[i].prompt, plan.cases[i].seed, nullptr, nullptr};
    if (plan.kind != Kind::kLow) wish.picture = &in.pictures[i - first];
    if (plan.kind == Kind::kEdges) wish.edges = &in.edges[i - first];
    in.wishes.push_back(wish);
  }
  return in;
}

std::vector<Picture> drawn(const Generator& generate, size_t setting,
                           const std::vector<Wish>& wishes) {
  std::vector<Picture> pictures = generate(setting, wishes);
  if (pictures.size() != wishes.size()) {
    throw Error(ErrorCode::kInternal, "study: the generator drew " +
                                          std::to_string(pictures.size()) + " of " +
                                          std::to_string(wishes.size()) + " pictures");
  }
  for (Picture& one : pictures) {
    if (one.picture.width == eval::kPicturePx && one.picture.height == eval::kPicturePx) continue;
    one.picture =
        image::resize(one.picture, eval::kPicturePx, eval::kPicturePx, image::Filter::kBicubic);
  }
  return pictures;
}

void measure(Found& found, const Plan& plan, const Judge& judge, const Inputs& in,
             const std::vector<Picture>& pictures) {
  std::vector<image::Image> plain;
  for (size_t i = 0; i < pictures.size(); ++i) {
    found.seconds += pictures[i].seconds;
    plain.push_back(pictures[i].picture);
    if (plan.kind != Kind::kEdges) continue;
    const image::EdgeMatch match = image::match_edges(image::canny(plain.back()), in.edges[i]);
    found.precision += match.precision();
    found.recall += match.recall();
    found.f1 += match.f1();
  }
  found.features.push_back(
      judge.source.features_of(plain, /*with_final=*/plan.kind == Kind::kLow, {}));
}

at::Tensor items_of(const Plan& plan) {
  std::vector<int64_t> items;
  for (const Case& c : plan.cases) items.push_back(int64_t(c.item));
  return at::tensor(items, at::kLong);
}

// The features of the real pictures as they are, without softened views.
at::Tensor real_views(const Judge& judge) {
  return judge.real.mixed6.slice(0, 0, int64_t(judge.items.size()));
}

// The mean cosine of rows after standardising by the mean and spread of real pictures. Without that
// all pictures would be alike, because features are positive.
double similarity(const at::Tensor& mixed6, const at::Tensor& targets, const at::Tensor& real) {
  const at::Tensor centre = real.mean(0), spread = real.std(0).clamp_min(kLeastSpread);
  return at::cosine_similarity((mixed6 - centre) / spread, (targets - centre) / spread, 1)
      .mean()
      .item<double>();
}

// Adds similarities for comparison: of real pictures of one concept, and of other cases' pictures.
void add_scale(Study& study_, const Plan& plan, const Judge& judge, const at::Tensor& real) {
  std::vector<int64_t> targets, same;
  for (const Case& c : plan.cases) {
    for (size_t i = 0; i < judge.items.size(); ++i) {
      if (i == c.item || judge.items[i].concept_id != judge.items[c.item].concept_id) continue;
      targets.push_back(int64_t(c.item));
      same.push_back(int64_t(i));
    }
  }
  const auto rows = [&](const at::Tensor& index) { return real.index_select(0, index); };
  if (!targets.empty()) {
    study_.same_concept =
        similarity(rows(at::tensor(same, at::kLong)), rows(at::tensor(targets, at::kLong)), real);
  }
  if (plan.cases.size() > 1) {
    const at::Tensor items = items_of(plan);
    study_.unrelated = similarity(rows(items.roll(1)), rows(items), real);
  }
}

// Real pictures that no case is about.
at::Tensor others(const Plan& plan, size_t count) {
  std::vector<bool> is_case(count);
  for (const Case& c : plan.cases) is_case[c.item] = true;
  std::vector<int64_t> rows;
  for (size_t i = 0; i < count; ++i) {
    if (!is_case[i]) rows.push_back(int64_t(i));
  }
  return at::tensor(rows, at::kLong);
}

Row row_of(const Setting& setting, const Found& found, const Plan& plan, const Judge& judge,
           const eval::Features& reference) {
  const auto n = double(plan.cases.size());
  const eval::Features features = eval::cat(found.features);
  std::vector<int64_t> labels;
  for (const Case& c : plan.cases) labels.push_back(c.label);
  Row row;
  row.setting = setting;
  row.concept_hits = eval::accuracy(judge.concepts.log_probabilities(features.mixed6),
                                    at::tensor(labels, at::kLong));
  row.seconds = found.seconds / n;
  row.precision = row.recall = row.f1 = row.similarity = row.mixed6 = row.final = kUnknown;
  if (plan.kind == Kind::kEdges) {
    row.precision = found.precision / n;
    row.recall = found.recall / n;
    row.f1 = found.f1 / n;
  } else if (plan.kind == Kind::kVariation) {
    const at::Tensor real = real_views(judge);
    row.similarity = similarity(features.mixed6, real.index_select(0, items_of(plan)), real);
  } else if (plan.cases.size() > 1 && reference.mixed6.size(0) > 1) {
    row.mixed6 = eval::frechet_distance(features.mixed6, reference.mixed6);
    row.final = eval::frechet_distance(features.final, reference.final);
  }
  return row;
}

// The pictures of the first cases as a contact sheet with a row for each case. A row begins with
// the input that was asked for (chains of resolution have none) and goes on with the settings that
// are shown.
class ExampleSheet {
 public:
  explicit ExampleSheet(const Plan& plan)
      : plan_(plan), rows_(std::min(plan.cases.size(), kExamples)) {
    if (plan.kind != Kind::kLow) {
      columns_.push_back(plan.kind == Kind::kEdges ? "asked edges" : "picture to vary");
    }
    for (const Setting& setting : plan.settings) {
      column_of_.push_back(columns_.size());
      if (setting.in_grid) columns_.push_back(setting.name);
    }
    cells_.resize(columns_.size() * rows_);
  }

  // Puts in the inputs of the cases from number `first` on.
  void put_inputs(size_t first, const Inputs& in) {
    if (plan_.kind == Kind::kLow) return;
    const auto& inputs = in.edges.empty() ? in.pictures : in.edges;
    for (size_t i = 0; i < inputs.size(); ++i) put_cell(first + i, 0, inputs[i]);
  }
  void put(size_t setting, size_t first, const std::vector<Picture>& pictures) {
    if (!plan_.settings[setting].in_grid) return;
    for (size_t i = 0; i < pictures.size(); ++i) {
      put_cell(first + i, column_of_[setting], pictures[i].picture);
    }
  }

  void finish(Study& study) const {
    study.columns = columns_;
    study.grid = {"coop_" + plan_.id + ".webp", plan_.title, int(columns_.size()), {}};
    for (size_t i = 0; i < rows_; ++i) study.grid.prompts.push_back(plan_.cases[i].prompt);
    if (columns_.empty()) return;
    study.sheet =
        image::contact_sheet(cells_, {.columns = int(columns_.size()), .cell_px = kCellPx});
  }

 private:
  void put_cell(size_t row, size_t column, const image::Image& picture) {
    if (row < rows_) cells_[row * columns_.size() + column] = picture;
  }

  const Plan& plan_;
  size_t rows_;
  std::vector<std::string> columns_;
  std::vector<size_t> column_of_;  // by setting
  std::vector<image::Image> cells_;
};

}  // namespace

std::vector<Case> study_cases(const std::vector<data::Item>& items, const eval::Names& concepts,
                              size_t count, uint64_t first_seed, bool others_prompt) {
  std::vector<eval::Case> trained, held_out, chosen;
  for (const eval::Case& c : eval::choose_cases(items, count, first_seed)) {
    if (c.group == eval::kGroups[0]) trained.push_back(c);
    if (c.group == eval::kGroups[1]) held_out.push_back(c);
  }
  for (size_t i = 0; chosen.size() < count && i < std::max(trained.size(), held_out.size()); ++i) {
    if (i < trained.size()) chosen.push_back(trained[i]);
    if (i < held_out.size() && chosen.size() < count) chosen.push_back(held_out[i]);
  }
  std::vector<Case> cases;
  for (size_t i = 0; i < chosen.size(); ++i) {
    const eval::Case& prompted = chosen[others_prompt ? (i + 1) % chosen.size() : i];
    Case c;
    c.item = chosen[i].item;
    c.label = concepts.number.at(items[prompted.item].concept_id);
    // Two cases in a row have one language, so that both groups have prompts in both.
    c.prompt = prompted.prompt(eval::kLanguages[i / 2 % 2]);
    c.seed = first_seed + i;
    cases.push_back(c);
  }
  return cases;
}

Study run_study(const Plan& plan, const Judge& judge, const Generator& generate, size_t batch,
                const eval::OnPhase& on_phase) {
  if (plan.cases.empty()) throw bad_input("study '" + plan.id + "'", "cases", "none");
  const size_t n = plan.cases.size(), at_once = std::max<size_t>(1, batch);
  std::vector<Found> found(plan.settings.size());
  ExampleSheet sheet(plan);
  int64_t done = 0;
  const auto report_progress = [&] {
    if (!on_phase) return;
    const auto total = int64_t(n * plan.settings.size());
    on_phase(plan.id, {.done = done, .total = total, .unit = "pictures", .text = ""});
  };
  report_progress();
  for (size_t first = 0; first < n; first += at_once) {
    const Inputs in = inputs_of(plan, judge, first, std::min(n, first + at_once));
    sheet.put_inputs(first, in);
    for (size_t s = 0; s < plan.settings.size(); ++s) {
      const std::vector<Picture> pictures = drawn(generate, s, in.wishes);
      measure(found[s], plan, judge, in, pictures);
      sheet.put(s, first, pictures);
      done += int64_t(pictures.size());
      report_progress();
    }
  }

  Study study;
  study.kind = plan.kind;
  study.id = plan.id;
  study.title = plan.title;
  study.cases = int64_t(n);
  eval::Features reference;
  if (plan.kind == Kind::kLow) {
    reference = judge.real.rows(others(plan, judge.items.size()));
    study.reference = reference.mixed6.size(0);
  }
  for (size_t s = 0; s < plan.settings.size(); ++s) {
    study.rows.push_back(row_of(plan.settings[s], found[s], plan, judge, reference));
  }
  if (plan.kind == Kind::kVariation) add_scale(study, plan, judge, real_views(judge));
  sheet.finish(study);
  return study;
}

Verdict verdict_of(const Study& study) {
  Verdict verdict;
  if (study.kind == Kind::kLow) return verdict;
  double most_follows = 0, most_accuracy = 0;
  for (const Row& row : study.rows) {
    if (row.setting.role == Role::kHubAlone) {
      most_accuracy = std::max(most_accuracy, row.concept_hits.top5_share());
    } else if (row.setting.role == Role::kOtherAlone) {
      most_follows = std::max(most_follows, study.follows(row));
    }
  }
  if (!(most_follows > 0) || !(most_accuracy > 0)) return verdict;
  double best = -1;
  for (const Row& row : study.rows) {
    if (row.setting.role != Role::kTogether) continue;
    const double follows = study.follows(row) / most_follows;
    const double accuracy = row.concept_hits.top5_share() / most_accuracy;
    if (follows >= kGoodShare && accuracy >= kGoodShare) {
      verdict.good_enough.push_back(row.setting.name);
    }
    if (std::min(follows, accuracy) <= best) continue;
    best = std::min(follows, accuracy);
    verdict.best = row.setting.name;
    verdict.follows = follows;
    verdict.accuracy = accuracy;
  }
  return verdict;
}

nlohmann::json to_json(const Study& study) {
  using nlohmann::json;
  const auto number = [](double value) { return std::isnan(value) ? json() : json(value); };
  json rows = json::array();
  for (const Row& row : study.rows) {
    rows.push_back({{"setting", row.setting.name},
                    {"series", row.setting.series},
                    {"top1", row.concept_hits.top1},
                    {"top5", row.concept_hits.top5},
                    {"count", row.concept_hits.count},
                    {"edge_precision", number(row.precision)},
                    {"edge_recall", number(row.recall)},
                    {"edge_f1", number(row.f1)},
                    {"similarity", number(row.similarity)},
                    {"frechet_mixed6", number(row.mixed6)},
                    {"frechet_final", number(row.final)},
                    {"seconds", number(row.seconds)}});
  }
  const Verdict verdict = verdict_of(study);
  return {{"id", study.id},
          {"title", study.title},
          {"cases", study.cases},
          {"reference", study.reference},
          {"similarity_same_concept", number(study.same_concept)},
          {"similarity_unrelated", number(study.unrelated)},
          {"rows", rows},
          {"best",
           {{"setting", verdict.best},
            {"follows_share", verdict.follows},
            {"accuracy_share", verdict.accuracy}}},
          {"good_enough", verdict.good_enough},
          {"columns", study.columns},
          {"prompts", study.grid.prompts}};
}

}  // namespace pangu::study
