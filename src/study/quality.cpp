#include "study/quality.h"

#include <torch/types.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>

#include "core/error.h"
#include "eval/frechet.h"

namespace pangu::study {
namespace {

using nlohmann::json;

constexpr const char* kHeldOutGroup = "heldout_pair";
constexpr const char* kTrainedGroup = "train";

json json_of_accuracy(const eval::Accuracy& a) {
  return {{"count", a.count}, {"top1", a.top1}, {"top5", a.top5}};
}

eval::Accuracy accuracy_from(const json& j) {
  return {j.value("count", int64_t{0}), j.value("top1", int64_t{0}), j.value("top5", int64_t{0})};
}

// Rows of the real pictures without those of the cases.
at::Tensor reference_rows(const QualityCases& cases, size_t item_count) {
  const std::set<size_t> own(cases.items.begin(), cases.items.end());
  std::vector<int64_t> rows;
  for (size_t i = 0; i < item_count; ++i) {
    if (!own.contains(i)) rows.push_back(static_cast<int64_t>(i));
  }
  return at::tensor(rows, at::kLong);
}

void measure_distances(const eval::Features& found, const QualityCases& cases, const Judge& judge,
                       Quality& quality_) {
  const eval::Features reference = judge.real.rows(reference_rows(cases, judge.items.size()));
  quality_.drawn = found.mixed6.size(0);
  quality_.reference = reference.mixed6.size(0);
  quality_.mixed6 = eval::frechet_distance(found.mixed6, reference.mixed6);
  quality_.final = eval::frechet_distance(found.final, reference.final);
}

eval::Accuracy accuracy_of(const at::Tensor& scores, const QualityCases& cases, bool held_out) {
  std::vector<int64_t> rows, labels;
  for (size_t i = 0; i < cases.labels.size(); ++i) {
    if (cases.held_out[i] != held_out) continue;
    rows.push_back(static_cast<int64_t>(i));
    labels.push_back(cases.labels[i]);
  }
  if (rows.empty()) return {};
  return eval::accuracy(scores.index_select(0, at::tensor(rows, at::kLong)),
                        at::tensor(labels, at::kLong));
}

}  // namespace

json to_json(const Quality& q) {
  json losses = json::array();
  for (const LossAtSigma& one : q.losses) {
    losses.push_back({{"t_index", one.t_index}, {"sigma", one.sigma}, {"loss", one.loss}});
  }
  return {{"drawn", q.drawn},
          {"reference", q.reference},
          {"mixed6", q.mixed6},
          {"final", q.final},
          {"trained", json_of_accuracy(q.trained)},
          {"held_out", json_of_accuracy(q.held_out)},
          {"losses", losses},
          {"loss", q.loss}};
}

Quality quality_from(const json& j) {
  Quality q;
  q.drawn = j.value("drawn", int64_t{0});
  q.reference = j.value("reference", int64_t{0});
  q.mixed6 = j.value("mixed6", 0.0);
  q.final = j.value("final", 0.0);
  q.trained = accuracy_from(j.value("trained", json::object()));
  q.held_out = accuracy_from(j.value("held_out", json::object()));
  for (const json& one : j.value("losses", json::array())) {
    q.losses.push_back(
        {one.value("t_index", 0.0), one.value("sigma", 0.0), one.value("loss", 0.0)});
  }
  q.loss = j.value("loss", 0.0);
  return q;
}

QualityCases quality_cases(const std::vector<data::Item>& items, const eval::Names& concepts,
                           size_t count, uint64_t first_seed) {
  QualityCases cases;
  for (const eval::Case& one : eval::choose_cases(items, count, first_seed)) {
    if (one.group != kTrainedGroup && one.group != kHeldOutGroup) continue;
    cases.items.push_back(one.item);
    for (const char* language : eval::kLanguages) {
      cases.wishes.push_back({one.prompt(language), one.seed});
      cases.labels.push_back(concepts.number.at(items[one.item].concept_id));
      cases.held_out.push_back(one.group == kHeldOutGroup);
    }
  }
  return cases;
}

QualityFound measure_quality(const QualityCases& cases, const Judge& judge,
                             const eval::Generator& generate) {
  QualityFound found;
  found.pictures = generate(cases.wishes);
  if (found.pictures.size() != cases.wishes.size()) {
    throw Error(ErrorCode::kInternal, "quality: the generator drew " +
                                          std::to_string(found.pictures.size()) + " of " +
                                          std::to_string(cases.wishes.size()) + " pictures");
  }
  const eval::Features features = judge.source.features_of(found.pictures, /*with_final=*/true, {});
  measure_distances(features, cases, judge, found.quality);
  const at::Tensor scores = judge.concepts.log_probabilities(features.mixed6);
  found.quality.trained = accuracy_of(scores, cases, /*held_out=*/false);
  found.quality.held_out = accuracy_of(scores, cases, /*held_out=*/true);
  return found;
}

Quality floor_of(const QualityCases& cases, const Judge& judge) {
  // Each picture stands for both of its languages, as drawn ones do.
  std::vector<int64_t> rows;
  for (const size_t item : cases.items) rows.insert(rows.end(), 2, static_cast<int64_t>(item));
  Quality floor;
  measure_distances(judge.real.rows(at::tensor(rows, at::kLong)), cases, judge, floor);
  return floor;
}

double mean_over_t(const std::vector<LossAtSigma>& losses) {
  double area = 0;
  for (size_t i = 1; i < losses.size(); ++i) {
    area += (losses[i].t_index - losses[i - 1].t_index) * (losses[i].loss + losses[i - 1].loss) / 2;
  }
  return area / (losses.back().t_index - losses.front().t_index);
}

}  // namespace pangu::study
