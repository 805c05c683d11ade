#include "eval/scores.h"

#include <nlohmann/json.hpp>

namespace pangu::eval {
namespace {

using nlohmann::json;

json json_of(const Accuracy& a) { return {{"count", a.count}, {"top1", a.top1}, {"top5", a.top5}}; }

json json_of(const Setting& s) {
  return {{"command", s.command},
          {"model", s.model},
          {"fingerprint", s.fingerprint},
          {"sampler", s.sampler},
          {"schedule", s.schedule},
          {"steps", s.steps},
          {"width_px", s.width_px},
          {"height_px", s.height_px},
          {"guidance", s.guidance},
          {"guidance_low", s.guidance_low},
          {"seed", s.seed},
          {"dtype", s.dtype},
          {"threads", s.threads},
          {"pictures_drawn", s.pictures_drawn},
          {"seconds_a_picture", s.seconds_a_picture}};
}

json json_of(const ProbeFacts& p) {
  return {{"pictures", p.pictures},
          {"concepts", p.concepts},
          {"styles", p.styles},
          {"views", p.views},
          {"train_pictures", p.train_pictures},
          {"own_concept", json_of(p.own_concept)},
          {"own_style", json_of(p.own_style)},
          {"soft_concept", json_of(p.soft_concept)},
          {"soft_style", json_of(p.soft_style)},
          {"coded_concept", json_of(p.coded_concept)},
          {"coded_style", json_of(p.coded_style)}};
}

json json_of(const TrainingRun& run) {
  json by_sigma = json::array();
  for (const LossAt& at : run.by_sigma) {
    by_sigma.push_back({{"t_index", at.t_index}, {"sigma", at.sigma}, {"loss", at.loss}});
  }
  json out = {{"name", run.name}, {"by_sigma", by_sigma}};
  if (!run.curve.empty()) {
    out["last_step"] = run.curve.back().step;
    out["last_loss"] = run.curve.back().loss;
    out["samples_per_second"] = run.samples_per_second;
  }
  return out;
}

double points(int64_t zh, int64_t en, int64_t count) {
  return count ? 100.0 * double(zh - en) / double(count) : 0;
}

}  // namespace

json to_json(const Scores& scores) {
  json out = {{"setting", json_of(scores.setting)}};
  if (scores.probe.pictures > 0) out["probe"] = json_of(scores.probe);
  for (const GroupScore& g : scores.groups) {
    out["groups"].push_back({{"group", g.group},
                             {"language", g.language},
                             {"concept", json_of(g.concept_hits)},
                             {"style", json_of(g.style_hits)}});
  }
  for (const StyleScore& s : scores.styles) {
    json seen = json::object();
    for (const auto& [style, count] : s.seen) seen[style] = count;
    out["styles"].push_back({{"asked", s.asked}, {"seen", seen}});
  }
  for (const LanguageScore& l : scores.languages) {
    out["zh_minus_en"].push_back({{"group", l.group},
                                  {"count", l.count},
                                  {"top5_only_en", l.only_en},
                                  {"top5_only_zh", l.only_zh},
                                  {"top1_points", l.top1_points},
                                  {"top5_points", l.top5_points},
                                  {"style_points", l.style_points}});
  }
  for (const FrechetScore& f : scores.frechet) {
    out["frechet"].push_back({{"what", f.what},
                              {"count", f.count},
                              {"reference", f.reference},
                              {"mixed6", f.mixed6},
                              {"final", f.final},
                              {"middle_detail", f.middle_detail},
                              {"fine_detail", f.fine_detail}});
  }
  for (const SceneScore& s : scores.scenes) {
    out["scenes"].push_back({{"what", s.what},
                             {"scenes", s.scenes},
                             {"things", s.things},
                             {"in_top5", s.in_top5},
                             {"all_in_top5", s.all_in_top5},
                             {"positions", s.positions},
                             {"position_fits", s.position_fits}});
  }
  for (const TrainingRun& run : scores.runs) out["runs"].push_back(json_of(run));
  for (const Grid& grid : scores.grids) {
    out["grids"].push_back({{"file", grid.file}, {"title", grid.title}, {"prompts", grid.prompts}});
  }
  return out;
}

LanguageScore compare_languages(const GroupScore& en, const GroupScore& zh,
                                const std::vector<bool>& hits_en,
                                const std::vector<bool>& hits_zh) {
  LanguageScore found;
  found.group = en.group;
  found.count = en.concept_hits.count;
  for (size_t i = 0; i < hits_en.size() && i < hits_zh.size(); ++i) {
    found.only_en += hits_en[i] && !hits_zh[i];
    found.only_zh += hits_zh[i] && !hits_en[i];
  }
  found.top1_points = points(zh.concept_hits.top1, en.concept_hits.top1, found.count);
  found.top5_points = points(zh.concept_hits.top5, en.concept_hits.top5, found.count);
  found.style_points = points(zh.style_hits.top1, en.style_hits.top1, found.count);
  return found;
}

}  // namespace pangu::eval
