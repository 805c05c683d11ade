// What an evaluation measured, as plain data: everything that the page says is here or in the runs'
// files. Shares are kept as counts. It knows no tensor.
#pragma once
#include <cmath>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <utility>
#include <vector>

#include "eval/probe.h"
#include "eval/runs.h"

namespace pangu::eval {

// How the evaluation was made.
struct Setting {
  std::string command;             // to repeat it
  std::string model, fingerprint;  // of the model
  std::string sampler, schedule;
  int steps = 0, width_px = 0, height_px = 0;
  double guidance = 0;
  double guidance_low = 0;  // sigma below which guidance is off
  uint64_t seed = 0;
  std::string dtype;
  int threads = 0;
  int64_t pictures_drawn = 0;
  double seconds_a_picture = 0;  // of drawing only, with many prompts in one forward
};

struct ProbeFacts {
  int64_t pictures = 0, concepts = 0, styles = 0, views = 0;
  int64_t train_pictures = 0;  // that the probe for the accuracies below was fitted on
  // The accuracies of that probe on the real pictures of held-out pairs: as they are, softened,
  // or decoded by the model's autoencoder (of none: not measured).
  Accuracy own_concept, own_style, soft_concept, soft_style, coded_concept, coded_style;
};

struct GroupScore {
  std::string group, language;
  Accuracy concept_hits, style_hits;
};

// The styles that pictures of one asked style are recognised as, over all groups and both
// languages: counts of every style, in the order of the data. They show a judge that sees one style
// in everything, which would still recognise every picture that was asked for in that style.
struct StyleScore {
  std::string asked;
  std::vector<std::pair<std::string, int64_t>> seen;
};

// Compares the languages on the same prompts and seeds: the cases that are a top-5 hit in one
// language only.
struct LanguageScore {
  std::string group;
  int64_t count = 0, only_en = 0, only_zh = 0;
  double top1_points = 0, top5_points = 0, style_points = 0;  // zh minus en
};

struct FrechetScore {
  std::string what;
  int64_t count = 0, reference = 0;  // sizes of the two sets of pictures
  double mixed6 = 0, final = 0;      // NaN: not measured
  // Energy of detail (eval/detail.h) of a picture, by that of the real pictures of the same
  // concepts and styles; NaN: not measured.
  double middle_detail = std::nan(""), fine_detail = std::nan("");
};

struct SceneScore {
  std::string what;
  int64_t scenes = 0, things = 0, in_top5 = 0, all_in_top5 = 0, positions = 0, position_fits = 0;
};

// A contact sheet: the name of its file in the page's folder of pictures, and the prompts of its
// cells.
struct Grid {
  std::string file, title;
  int columns = 8;
  std::vector<std::string> prompts;
};

struct Scores {
  Setting setting;
  ProbeFacts probe;                // pictures 0: not measured
  std::vector<GroupScore> groups;  // empty: not measured, as the lists below
  std::vector<StyleScore> styles;
  std::vector<LanguageScore> languages;
  std::vector<FrechetScore> frechet;
  std::vector<SceneScore> scenes;
  std::vector<TrainingRun> runs;
  std::vector<Grid> grids;
};

nlohmann::json to_json(const Scores& scores);

// Compares a group that was drawn in both languages. hits_en, hits_zh: whether each case was a
// top-5 hit.
LanguageScore compare_languages(const GroupScore& en, const GroupScore& zh,
                                const std::vector<bool>& hits_en, const std::vector<bool>& hits_zh);

}  // namespace pangu::eval
