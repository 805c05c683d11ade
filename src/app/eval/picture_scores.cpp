#include "app/eval/picture_scores.h"

#include <torch/types.h>

#include <cmath>
#include <filesystem>
#include <memory>

#include "app/eval/caption_scores.h"
#include "core/error.h"
#include "eval/kernel_distance.h"
#include "eval/metric_weights.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

void open_fid_network(const RulerArgs& args, OpenRulers& open_) {
  const eval::FidResize resize = eval::fid_resize_of(args.resize, "--resize");
  const eval::MetricWeights weights = eval::open_metric_weights(args.fid_weights, "--fid-weights");
  if (!nn::is_fid_inception(eval::shapes_of(weights.tensors))) {
    throw bad_input("--fid-weights '" + args.fid_weights + "'",
                    "the Inception network of FID, with Conv2d_1a_3x3.conv.weight and fc.weight "
                    "[1008,2048]",
                    "other tensors",
                    "pytorch-fid and torch-fidelity distribute it as "
                    "*inception-2015-12-05-6726825d.pth");
  }
  const auto network = std::make_shared<const nn::FidInception>(weights.tensors);
  open_.rulers.fid_features = [network](const at::Tensor& pixels) {
    return network->features(pixels);
  };
  open_.rulers.resize = resize;
  open_.measured.weights = weights.sha256;
  open_.measured.resize = eval::name_of(resize);
  open_.about["fid_network"] = {
      {"file", fs::path(args.fid_weights).filename().string()},
      {"sha256", weights.sha256},
      {"is_distributed", weights.sha256.starts_with(eval::kFidWeightsBegin)},
      {"resize", eval::name_of(resize)},
      {"resize_means", eval::description_of(resize)}};
}

// "12.34", with as many digits as a score is compared by.
std::string score_text(const nlohmann::json& scores, const char* key, int digits) {
  return scores.contains(key) ? eval::fixed(scores.at(key).get<double>(), digits) : "-";
}

void put_spread(nlohmann::json& scores_, const std::string& key, const eval::Spread& spread) {
  if (std::isnan(spread.mean)) return;
  scores_[key] = spread.mean;
  scores_[key + "_deviation"] = spread.deviation;
}

}  // namespace

OpenRulers open_rulers(const RulerArgs& args, const std::vector<eval::NamedPrompt>& captions) {
  OpenRulers open;
  open.measured.size_px = args.size_px;
  open.options.batch = args.batch;
  open.about["size_px"] = args.size_px;
  if (args.fid_weights.empty() && args.clip.empty()) {
    throw bad_input("--fid-weights", "the file of the FID network, or --clip", "neither",
                    "pytorch-fid and torch-fidelity distribute it as "
                    "*inception-2015-12-05-6726825d.pth");
  }
  if (!args.fid_weights.empty()) open_fid_network(args, open);
  add_clip(args, captions, open);
  return open;
}

OpenRulers without_clip(OpenRulers rulers) {
  rulers.rulers.clip_scores = nullptr;
  rulers.measured.clip_weights.clear();
  rulers.measured.captions.clear();
  return rulers;
}

std::string rulers_text(const nlohmann::json& about) {
  std::string text;
  if (about.contains("fid_network")) {
    const nlohmann::json& network = about.at("fid_network");
    text +=
        "FID network: " + network.at("file").get<std::string>() + ", SHA-256 " +
        network.at("sha256").get<std::string>() +
        (network.at("is_distributed").get<bool>() ? " (the file of pytorch-fid and torch-fidelity)"
                                                  : " (not the file that is usually distributed)") +
        "\nresizing: " + network.at("resize").get<std::string>() + ", " +
        network.at("resize_means").get<std::string>() + "\n";
  }
  if (about.contains("clip")) {
    const nlohmann::json& clip = about.at("clip");
    text += clip.at("network").get<std::string>() + ": " + clip.at("file").get<std::string>() +
            ", SHA-256 " + clip.at("sha256").get<std::string>() + "\n";
  }
  if (const int size = about.at("size_px").get<int>(); size > 0) {
    text += "pictures are cut to " + std::to_string(size) + " x " + std::to_string(size) +
            " pixels first\n";
  }
  return text;
}

eval::PictureStatistics measured_folder(const std::string& folder, const OpenRulers& rulers,
                                        const std::optional<std::pair<int, int>>& shard,
                                        const std::string& keep, const Watch& watch) {
  const eval::PictureSet set = eval::picture_set(folder);
  eval::MeasuredSet measured = rulers.measured;
  measured.total = set.size();
  measured.pictures = set.hash;
  const eval::PictureRange range = shard ? eval::shard_of(set.size(), shard->first, shard->second)
                                         : eval::PictureRange{0, set.size()};
  eval::PictureStatistics statistics(measured, range);
  if (!keep.empty() && fs::exists(keep)) {
    eval::PictureStatistics kept = eval::PictureStatistics::load(keep);
    if (!(kept.set() == measured) || !(kept.range() == range)) {
      throw bad_input("'" + keep + "'", "the statistics of this measurement, or no file",
                      "those of another one", "choose another --out, or remove it");
    }
    statistics = std::move(kept);
  }
  const auto save = [&] { statistics.save(keep); };
  eval::measure_pictures(set, rulers.rulers, rulers.options, watch,
                         keep.empty() ? std::function<void()>() : save, statistics);
  return statistics;
}

bool is_statistics(const std::string& path) {
  return !fs::is_directory(path) && (path.ends_with(".npz") || path.ends_with(".safetensors"));
}

Side side_of(eval::PictureStatistics statistics, const std::string& what) {
  Side side{what, statistics.set().total, statistics.gaussian(), std::nullopt};
  side.statistics = std::move(statistics);
  return side;
}

Side kept_side(const std::vector<std::string>& paths) {
  if (paths.size() == 1 && paths[0].ends_with(".npz")) {
    return {paths[0], 0, eval::load_moments(paths[0]), std::nullopt};
  }
  std::vector<eval::PictureStatistics> parts;
  for (const std::string& path : paths) {
    if (!is_statistics(path) || path.ends_with(".npz")) {
      throw bad_input("'" + path + "'", "statistics in .safetensors beside the others",
                      "another file");
    }
    parts.push_back(eval::PictureStatistics::load(path));
  }
  eval::PictureStatistics whole = eval::PictureStatistics::merged(std::move(parts), paths);
  if (!whole.is_whole()) {
    throw bad_input("'" + paths[0] + "'", "all shards of the set",
                    "pictures " + std::to_string(whole.range().begin) + " to " +
                        std::to_string(whole.range().end) + " of " +
                        std::to_string(whole.set().total));
  }
  return side_of(std::move(whole), paths[0]);
}

nlohmann::json scores_of(const Side& drawn, const Side* reference, const RulerArgs& args,
                         const OnProgress& progress) {
  nlohmann::json scores = {{"set", fs::path(drawn.what).filename().string()},
                           {"pictures", drawn.pictures}};
  const bool has_features = drawn.gaussian.count() > 1;
  if (drawn.statistics && has_features) {
    put_spread(scores, "inception_score", drawn.statistics->inception_score());
  }
  if (drawn.statistics && drawn.statistics->clip().count > 0) {
    scores["clip_score"] = drawn.statistics->clip().mean();
  }
  if (!reference || !has_features) return scores;
  scores["reference"] = fs::path(reference->what).filename().string();
  scores["reference_pictures"] = reference->pictures;
  if (drawn.statistics && reference->statistics) {
    const eval::MeasuredSet &a = drawn.statistics->set(), &b = reference->statistics->set();
    if (a.weights != b.weights || a.resize != b.resize) {
      throw bad_input("reference '" + reference->what + "'",
                      "features of the same network and resizing (" + a.resize + ")",
                      a.weights != b.weights ? "another network" : b.resize);
    }
    put_spread(scores, "kid",
               eval::kernel_distance(
                   drawn.statistics->kernel_rows(), reference->statistics->kernel_rows(),
                   {args.kid_subsets, args.kid_subset_size, eval::kScoreSeed}, progress));
  }
  scores["fid"] = eval::frechet_distance(drawn.gaussian, reference->gaussian);
  return scores;
}

eval::Table score_table(const nlohmann::json& scores) {
  const auto with_spread = [&](const char* key, int digits) {
    const std::string deviation = std::string(key) + "_deviation";
    const std::string text = score_text(scores, key, digits);
    return scores.contains(key) ? text + " +- " + score_text(scores, deviation.c_str(), digits)
                                : text;
  };
  eval::Table table{"Scores of pictures", "", {"score", "value"}, {}};
  table.rows = {{"pictures", std::to_string(scores.at("pictures").get<int64_t>())}};
  if (scores.contains("reference")) {
    const auto count = scores.at("reference_pictures").get<int64_t>();
    table.rows.push_back(
        {"reference", scores.at("reference").get<std::string>() +
                          (count ? ", " + std::to_string(count) + " pictures" : "")});
    table.rows.push_back({"FID", score_text(scores, "fid", 4)});
    table.rows.push_back({"KID", with_spread("kid", 6)});
  }
  table.rows.push_back({"Inception Score", with_spread("inception_score", 4)});
  if (scores.contains("clip_score")) {
    table.rows.push_back({"CLIP score", score_text(scores, "clip_score", 3)});
  }
  return table;
}

}  // namespace pangu::app
