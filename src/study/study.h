// Studies measure whether models that draw together follow what each of them was asked. A study
// draws the same prompts in many settings (each member alone, their weights swept) and measures
// every setting twice: how well its pictures follow one member's input (edges, a picture), and how
// often the probe sees the hub's prompt in them. For chains of resolutions it measures how far
// pictures are from real ones and how long they take. The generator is a callable, so this file
// knows no model.
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
  kEdges,      // how well Canny's edges of the result match the edges that were asked for
  kVariation,  // how near the result is to the picture to vary, in Inception features
  kLow,        // low resolution first, then high: Frechet distance and time
};

enum class Role { kHubAlone, kOtherAlone, kTogether };

struct Setting {
  std::string name;    // name of its row in the table: "d=0.5"
  std::string series;  // settings of one series are one line of the plot
  Role role = Role::kTogether;
  bool in_grid = false;
};

// One prompt, and the picture whose edges are asked for or that is to be varied.
struct Case {
  size_t item = 0;     // the picture, as an index into the items
  int64_t label = 0;   // number of the prompt's concept
  std::string prompt;  // two cases in English, then two in Chinese
  uint64_t seed = 0;
};

// Returns `count` cases (fewer if there are no more), whose pictures are by turns training pictures
// and pictures of held-out pairs. Case k has the seed first_seed + k. The prompt is the picture's
// own caption, or with others_prompt that of the next case's picture.
std::vector<Case> study_cases(const std::vector<data::Item>& items, const eval::Names& concepts,
                              size_t count, uint64_t first_seed, bool others_prompt = false);

struct Wish {
  std::string prompt;
  uint64_t seed = 0;
  const image::Image* picture = nullptr;  // of the case, kPicturePx a side; null in kLow
  const image::Image* edges = nullptr;    // the edges of that picture; null but in kEdges
};

struct Picture {
  image::Image picture;
  double seconds = 0;  // its share of the time of its batch
};

// Draws one picture for each wish, in the setting of this number.
using Generator =
    std::function<std::vector<Picture>(size_t setting, const std::vector<Wish>& wishes)>;

// The measures of one setting. NaN: not measured in this kind of study.
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
  int64_t reference = 0;  // number of real pictures of the Frechet distances; kLow
  // The similarity of real pictures to the pictures to vary, for comparison: of other pictures of
  // the same concept, and of other cases' pictures. kVariation; NaN: unknown.
  double same_concept = std::nan(""), unrelated = std::nan("");
  std::vector<Row> rows;
  eval::Grid grid;  // the contact sheet's place on the page; a prompt for each row
  std::vector<std::string> columns;
  image::Image sheet;

  // How well the pictures follow the other member's input: F1 or similarity.
  double follows(const Row& row) const { return kind == Kind::kEdges ? row.f1 : row.similarity; }
};

struct Plan {
  Kind kind = Kind::kEdges;
  std::string id, title;  // id: begins the names of the study's files
  std::vector<Setting> settings;
  std::vector<Case> cases;
};

// What pictures are judged by; the referenced objects must outlive it.
struct Judge {
  const std::vector<data::Item>& items;
  const eval::FeatureSource& source;
  const eval::Features& real;  // features of the items
  const eval::Probe& concepts;
};

// Draws `batch` cases in every setting, then the next ones, so that whatever slows the machine down
// for a while slows all settings. Pictures of another size are enlarged to kPicturePx (bicubic).
// Throws kBadInput if there are no cases.
Study run_study(const Plan& plan, const Judge& judge, const Generator& generate, size_t batch,
                const eval::OnPhase& on_phase = {});

// The best setting with both members, in a study that also has each member alone. follows is the
// setting's share of the best follows() of the other member alone, accuracy its share of the best
// top-5 accuracy of the hub alone. The best setting has the greatest minimum of the two shares.
struct Verdict {
  std::string best;                  // name of the best setting; empty: nothing to compare, or kLow
  double follows = 0, accuracy = 0;  // its two shares
  std::vector<std::string> good_enough;  // all settings with both shares at least kGoodShare
};
inline constexpr double kGoodShare = 0.9;
Verdict verdict_of(const Study& study);

nlohmann::json to_json(const Study& study);

}  // namespace pangu::study
