#include "pipeline/feature_reuse.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <sstream>

#include "core/error.h"
#include "core/nearest.h"
#include "core/number.h"
#include "diffusion/samplers/samplers.h"

namespace pangu::pipeline {
namespace {

constexpr int kMostInterval = 1000;
constexpr int kOnInterval = 2;
constexpr const char* kReuseForm = "off, on, or INTERVAL[,depth=D][,order=O][,from=A][,to=B]";

Error bad_reuse(const std::string& text, const std::string& hint = "") {
  return bad_input("reuse_features", kReuseForm, "'" + text + "'", hint);
}

int whole_number_in(const std::string& word, int low, int high, const std::string& text) {
  int value = 0;
  const char* const end = word.data() + word.size();
  const auto [rest, failed] = std::from_chars(word.data(), end, value);
  if (failed != std::errc() || rest != end || value < low || value > high) {
    throw bad_reuse(text, "'" + word + "' is no whole number from " + std::to_string(low) + " to " +
                              std::to_string(high));
  }
  return value;
}

// The rows `wanted` of a state whose blocks are those of `rows`; undefined if one is missing.
at::Tensor chosen_rows(const at::Tensor& state, const std::vector<int>& rows,
                       const std::vector<int>& wanted) {
  if (rows == wanted) return state;
  const int64_t batch = state.size(0) / static_cast<int64_t>(rows.size());
  std::vector<at::Tensor> blocks;
  for (const int row : wanted) {
    const auto found = std::find(rows.begin(), rows.end(), row);
    if (found == rows.end()) return {};
    blocks.push_back(state.narrow(0, (found - rows.begin()) * batch, batch));
  }
  return at::cat(blocks).contiguous(at::MemoryFormat::ChannelsLast);
}

}  // namespace

FeatureReuse feature_reuse_from(const std::string& text) {
  if (text == "off") return {};
  if (text == "on") return {.interval = kOnInterval, .depth = {}, .order = {}};
  if (text.ends_with(',')) throw bad_reuse(text);
  FeatureReuse reuse;
  std::istringstream words(text);
  std::string word;
  std::getline(words, word, ',');
  reuse.interval = whole_number_in(word, 1, kMostInterval, text);
  while (std::getline(words, word, ',')) {
    const size_t equals = std::min(word.find('='), word.size());
    const std::string key = word.substr(0, equals);
    const std::string value = equals < word.size() ? word.substr(equals + 1) : "";
    if (key == "depth") {
      reuse.depth = whole_number_in(value, 1, kMostInterval, text);
    } else if (key == "order") {
      reuse.order = whole_number_in(value, 0, 1, text);
    } else if (key == "from" || key == "to") {
      (key == "from" ? reuse.from : reuse.to) = number_of("reuse_features, " + key, value);
    } else {
      throw bad_reuse(text, did_you_mean(key, {"depth", "order", "from", "to"}));
    }
  }
  if (!(reuse.from >= 0.0 && reuse.from < reuse.to && reuse.to <= 1.0)) {
    throw bad_reuse(text, "0 <= from < to <= 1");
  }
  return reuse;
}

FeatureReuse reuse_of(const Request& request, const RequestRules& rules) {
  FeatureReuse reuse = feature_reuse_from(request.reuse_features);
  if (reuse.interval > 1 && rules.most_reuse_depth == 0) {
    throw bad_input("reuse_features", "off, since the model's network is no UNet",
                    "'" + request.reuse_features + "'");
  }
  const diffusion::Sampler& sampler = diffusion::find_sampler(*request.sampler);
  const bool adds_noise = request.eta ? *request.eta > 0.0 : sampler.needs_noise;
  if (!reuse.depth) reuse.depth = rules.reuse_depth;
  if (!reuse.order) reuse.order = adds_noise ? 0 : 1;
  if (reuse.interval > 1 && *reuse.depth > rules.most_reuse_depth) {
    throw bad_input("reuse_features, depth", "1 to " + std::to_string(rules.most_reuse_depth),
                    std::to_string(*reuse.depth));
  }
  return reuse;
}

void mark_reuse(diffusion::Plan& plan, const Request& request) {
  const FeatureReuse reuse = feature_reuse_from(request.reuse_features);
  diffusion::mark_reuse(plan, reuse.interval, reuse.from, reuse.to);
}

KeptFeatures::KeptFeatures(const FeatureReuse& reuse, const diffusion::Plan& plan)
    : reuse_(reuse), whole_sigmas_(plan.whole_sigmas()) {}

size_t KeptFeatures::interval_of(double sigma) const {
  return static_cast<size_t>(std::count_if(whole_sigmas_.begin(), whole_sigmas_.end(),
                                           [sigma](double whole) { return whole >= sigma; }));
}

nn::DeepFeatures KeptFeatures::at(double sigma, double t_index, const std::vector<int>& rows,
                                  const Situation& situation) const {
  nn::DeepFeatures deep{*reuse_.depth, {}};
  const auto found = series_.find(situation);
  if (found == series_.end() || found->second.interval != interval_of(sigma)) return deep;
  const std::vector<Kept>& last = found->second.last;
  deep.state = chosen_rows(last[0].state, last[0].rows, rows);
  if (!deep.state.defined() || last.size() < 2) return deep;
  const at::Tensor before = chosen_rows(last[1].state, last[1].rows, rows);
  if (!before.defined()) return deep;
  // No further ahead than the two are apart, which may be little where a forward had to be whole.
  const double ahead = (t_index - last[0].t_index) / (last[0].t_index - last[1].t_index);
  deep.state = at::lerp(before, deep.state, 1.0 + std::min(ahead, 1.0));
  return deep;
}

void KeptFeatures::keep(const nn::DeepFeatures& computed, double sigma, double t_index,
                        const std::vector<int>& rows, const Situation& situation) {
  Series& series = series_[situation];
  series.interval = interval_of(sigma);
  std::vector<Kept>& last = series.last;
  // Two forwards at one time say nothing of how features change.
  std::erase_if(last, [t_index](const Kept& kept) { return kept.t_index == t_index; });
  last.insert(last.begin(), {t_index, rows, computed.state});
  if (last.size() > static_cast<size_t>(*reuse_.order) + 1) last.pop_back();
}

}  // namespace pangu::pipeline
