// Do models that draw together follow what each of them was asked? A study draws the same prompts
// in many settings (each member alone, their weights swept) and measures every setting twice: how
// well its pictures follow the one member's input (edges, a picture), and how often the probe sees
// the other's prompt in them; or, for chains of resolutions, how far they are from real pictures
// and how long they take. The generator arrives as a callable: this room knows no model.
#pragma once
#include <cmath>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "eval/evaluate.h"
#include "eval/judge.h"
#include "eval/scores.h"

namespace pangu::study {

enum class Kind {
  kEdges,      // how well Canny's edges of the result follow the asked ones
  kVariation,  // how near the result is to the picture to vary, in Inception features
  kLow,        // low resolution first, then high: Frechet distance and time
};

enum class Role { kHubAlone, kOtherAlone, kTogether };

struct Setting {
  std::string name;    // of its row: "d=0.5"
  std::string series;  // what it varies: rows of one series are one line of the plot
  Role role = Role::kTogether;
  bool in_grid = false;
};

// One prompt, and the picture whose edges are asked for or that is to be varied.
struct Case {
  size_t item = 0;     // of the picture; index into the items
  int64_t label = 0;   // of the prompt's concept
  std::string prompt;  // in English and Chinese by turns
  uint64_t seed = 0;
};

// `count` cases (fewer if there are no more), training pictures and held-out pairs by turns, each
// with its own caption; with others_prompt the caption is the next case's.
std::vector<Case> study_cases(const std::vector<data::Item>& items, const eval::Names& concepts,
                              size_t count, uint64_t first_seed, bool others_prompt = false);

struct Wish {
  std::string prompt;
  uint64_t seed = 0;
  const image::Image* picture = nullptr;  // of the case's item, kPicturePx a side
  const image::Image* edges = nullptr;    // of that picture; kEdges only
};

struct Picture {
  image::Image picture;
  double seconds = 0;  // that it took, its share of a batch
};

// One picture a wish, in a setting's number.
using Generator =
    std::function<std::vector<Picture>(size_t setting, const std::vector<Wish>& wishes)>;

// NaN: not measured.
struct Row {
  Setting setting;
  eval::Accuracy concept_hits;
  double precision = 0, recall = 0, f1 = 0;  // means over pictures; kEdges
  double similarity = 0;         // mean cosine of standardised mixed6 features; kVariation
  double mixed6 = 0, final = 0;  // Frechet distances; kLow
  double seconds = 0;            // a picture
};

struct Study {
  Kind kind = Kind::kEdges;
  std::string id, title;
  int64_t cases = 0;
  int64_t reference = 0;  // real pictures of Frechet distances
  // Of real pictures to those to vary: others of the same concept, and other cases'. NaN: unknown.
  double same_concept = std::nan(""), unrelated = std::nan("");
  std::vector<Row> rows;
  eval::Grid grid;  // a row an example; grid.prompts are those of its rows
  std::vector<std::string> columns;
  image::Image sheet;

  // What the other member's input is followed by: F1 or similarity.
  double follows(const Row& row) const { return kind == Kind::kEdges ? row.f1 : row.similarity; }
};

struct Plan {
  Kind kind = Kind::kEdges;
  std::string id, title;  // id: of its files
  std::vector<Setting> settings;
  std::vector<Case> cases;
};

// What pictures are judged by.
struct Judge {
  const std::vector<data::Item>& items;
  const eval::FeatureSource& source;
  const eval::Features& real;  // of the items
  const eval::Probe& concepts;
};

// Draws `batch` cases in every setting, then the next: what slows the machine down for a while
// slows all settings. Pictures of another size are enlarged to kPicturePx (bicubic). Error
// kBadInput if there are no cases.
Study run_study(const Plan& plan, const Judge& judge, const Generator& generate, size_t batch,
                const eval::OnPhase& on_phase = {});

// Of a study with each member alone in its rows: the setting that keeps most of both, by the worse
// of its two shares of the most that either reaches alone.
struct Verdict {
  std::string best;                      // its name; empty: nothing to compare
  double follows = 0, accuracy = 0;      // shares, top-5
  std::vector<std::string> good_enough;  // all settings with both at least kGoodShare
};
inline constexpr double kGoodShare = 0.9;
Verdict verdict_of(const Study& study);

nlohmann::json to_json(const Study& study);

}  // namespace pangu::study
