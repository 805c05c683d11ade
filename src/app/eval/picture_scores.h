// Sets of pictures before the field's networks: which networks and sets were asked for, their
// statistics, and the table of scores. The arithmetic is eval's.
#pragma once
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "app/commands.h"
#include "app/eval/eval_files.h"
#include "core/watch.h"
#include "eval/picture_measure.h"
#include "eval/picture_statistics.h"
#include "eval/prompt_list.h"

namespace pangu::app {

// The networks of a measurement, and what they are.
struct OpenRulers {
  eval::PictureRulers rulers;
  eval::MeasuredSet measured;  // by what; total and pictures are the set's
  nlohmann::json about;        // files, hashes, conventions
  eval::MeasureOptions options;
};
// captions: of the pictures, for --clip. Error kBadInput if a file is something else, or if there
// is none at all.
OpenRulers open_rulers(const RulerArgs& args, const std::vector<eval::NamedPrompt>& captions);
// The same without CLIP: of real pictures, which need no captions.
OpenRulers without_clip(OpenRulers rulers);
// What `about` says, as lines for people.
std::string rulers_text(const nlohmann::json& about);

// A measured set: of an .npz only the moments are known.
struct Side {
  std::string what;      // for people
  int64_t pictures = 0;  // 0: not known
  eval::FeatureGaussian gaussian;
  std::optional<eval::PictureStatistics> statistics;
};

// Measures the pictures of a folder that `keep`, a file of statistics, does not hold already;
// empty: no file. range: all of them if unset. Throws Stopped, with `keep` written.
eval::PictureStatistics measured_folder(const std::string& folder, const OpenRulers& rulers,
                                        const std::optional<std::pair<int, int>>& shard,
                                        const std::string& keep, const Watch& watch);

// Whether a path names statistics and no folder of pictures.
bool is_statistics(const std::string& path);
// One .npz, or one or more files of statistics that together are a whole.
Side kept_side(const std::vector<std::string>& paths);
Side side_of(eval::PictureStatistics statistics, const std::string& what);

// Scores as JSON: {"pictures", "reference", "fid", "kid", "kid_deviation", "inception_score",
// "inception_score_deviation", "clip_score"}, without what cannot be had. Error kBadInput if the
// two were measured differently.
nlohmann::json scores_of(const Side& drawn, const Side* reference, const RulerArgs& args,
                         const OnProgress& progress);
eval::Table score_table(const nlohmann::json& scores);

}  // namespace pangu::app
