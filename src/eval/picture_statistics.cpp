#include "eval/picture_statistics.h"

#include <torch/types.h>

#include <algorithm>
#include <charconv>

#include "core/error.h"
#include "io/python/npz.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::eval {
namespace {

constexpr const char* kKind = "pangu-draw picture statistics 1";

// Whether KID keeps the features of this picture.
bool is_kept(int64_t index, int64_t total) {
  if (total <= kMostKernelRows) return true;
  return (index + 1) * kMostKernelRows / total > index * kMostKernelRows / total;
}

int64_t kept_of(const PictureRange& range, int64_t total) {
  if (total <= kMostKernelRows) return range.end - range.begin;
  return range.end * kMostKernelRows / total - range.begin * kMostKernelRows / total;
}

int64_t whole_number(const io::Metadata& metadata, const char* key, const std::string& path) {
  const auto found = metadata.find(key);
  int64_t number = -1;
  if (found != metadata.end()) {
    const std::string& text = found->second;
    std::from_chars(text.data(), text.data() + text.size(), number);
  }
  if (number < 0) throw bad_input("'" + path + "'", std::string("a number ") + key, "none");
  return number;
}

std::string text_in(const io::Metadata& metadata, const char* key) {
  const auto found = metadata.find(key);
  return found == metadata.end() ? "" : found->second;
}

// What tells two sets apart, for an error.
std::string difference_of(const MeasuredSet& a, const MeasuredSet& b) {
  if (a.total != b.total || a.pictures != b.pictures) return "other pictures";
  if (a.weights != b.weights) return "other weights of the FID network";
  if (a.resize != b.resize) return "another resizing, " + b.resize;
  if (a.clip_weights != b.clip_weights) return "other weights of CLIP";
  if (a.captions != b.captions) return "other captions";
  return "another size, " + std::to_string(b.size_px);
}

}  // namespace

PictureStatistics::PictureStatistics(MeasuredSet set, PictureRange range)
    : set_(std::move(set)), range_(range), next_(range.begin), score_(set_.total) {}

void PictureStatistics::add(int64_t count, const nn::FidFeatures& features,
                            const std::vector<double>& clip_scores) {
  const bool fits = count > 0 && count <= range_.end - next_ &&
                    (!features.pooled.defined() || features.pooled.size(0) == count) &&
                    (clip_scores.empty() || static_cast<int64_t>(clip_scores.size()) == count);
  if (!fits) throw Error(ErrorCode::kInternal, "PictureStatistics: pictures beyond the range");
  if (features.pooled.defined()) {
    gaussian_.add(features.pooled);
    score_.add(next_, features.logits);
    for (int64_t i = 0; i < count; ++i) {
      if (!is_kept(next_ + i, set_.total)) continue;
      if (!rows_.defined()) {
        rows_ = at::empty({kept_of(range_, set_.total), features.pooled.size(1)}, at::kFloat);
      }
      rows_[rows_used_++].copy_(features.pooled[i]);
    }
  }
  for (const double score : clip_scores) {
    ++clip_.count;
    clip_.sum += score;
    clip_.sum_of_squares += score * score;
  }
  next_ += count;
}

at::Tensor PictureStatistics::kernel_rows() const {
  return rows_.defined() ? rows_.narrow(0, 0, rows_used_)
                         : at::empty({0, nn::kFidFeatures}, at::kFloat);
}

void PictureStatistics::save(const std::string& path) const {
  tensors::TensorMap kept;
  if (gaussian_.count() > 0) {
    const GaussianSums sums = gaussian_.sums();
    kept["gaussian.shift"] = sums.shift;
    kept["gaussian.sum"] = sums.sum;
    kept["gaussian.products"] = sums.products;
    kept["score.sums"] = score_.sums();
    kept["kernel.rows"] = kernel_rows();
  }
  kept["clip.sums"] =
      at::tensor({double(clip_.count), clip_.sum, clip_.sum_of_squares}, at::kDouble);
  tensors::save_safetensors(path, kept,
                            {{"kind", kKind},
                             {"total", std::to_string(set_.total)},
                             {"pictures", set_.pictures},
                             {"weights", set_.weights},
                             {"resize", set_.resize},
                             {"clip_weights", set_.clip_weights},
                             {"captions", set_.captions},
                             {"size_px", std::to_string(set_.size_px)},
                             {"begin", std::to_string(range_.begin)},
                             {"end", std::to_string(range_.end)},
                             {"next", std::to_string(next_)}});
}

PictureStatistics PictureStatistics::load(const std::string& path) {
  const io::SafetensorsFile file = io::SafetensorsFile::open(path);
  const io::Metadata& says = file.metadata();
  if (text_in(says, "kind") != kKind) {
    throw bad_input("'" + path + "'", "statistics that `eval pictures --out` wrote",
                    "other tensors");
  }
  MeasuredSet set;
  set.total = whole_number(says, "total", path);
  set.pictures = text_in(says, "pictures");
  set.weights = text_in(says, "weights");
  set.resize = text_in(says, "resize");
  set.clip_weights = text_in(says, "clip_weights");
  set.captions = text_in(says, "captions");
  set.size_px = static_cast<int>(whole_number(says, "size_px", path));
  const PictureRange range{whole_number(says, "begin", path), whole_number(says, "end", path)};
  const int64_t next = whole_number(says, "next", path);
  tensors::TensorMap kept = tensors::copied(file.tensors());
  const bool has_features = kept.contains("gaussian.products");
  const bool fits =
      range.begin <= next && next <= range.end && range.end <= set.total &&
      kept.contains("clip.sums") && kept.at("clip.sums").numel() == 3 &&
      (!has_features ||
       (kept.contains("gaussian.shift") && kept.contains("gaussian.sum") &&
        kept.contains("score.sums") && kept.contains("kernel.rows") &&
        kept.at("score.sums").dim() == 2 && kept.at("score.sums").size(0) == kScoreSplits &&
        kept.at("kernel.rows").dim() == 2 &&
        kept.at("kernel.rows").size(0) == kept_of({range.begin, next}, set.total)));
  if (!fits) throw bad_input("'" + path + "'", "whole statistics", "damaged ones");
  PictureStatistics found(set, range);
  found.next_ = next;
  if (has_features) {
    found.gaussian_ =
        FeatureGaussian(GaussianSums{next - range.begin, kept.at("gaussian.shift"),
                                     kept.at("gaussian.sum"), kept.at("gaussian.products")});
    found.score_.set_sums(kept.at("score.sums"));
    found.rows_used_ = kept.at("kernel.rows").size(0);
    const int64_t room = kept_of(range, set.total);
    found.rows_ = kept.at("kernel.rows").to(at::kFloat);
    if (room > found.rows_used_) {
      const at::Tensor rows = at::empty({room, found.rows_.size(1)}, at::kFloat);
      rows.narrow(0, 0, found.rows_used_).copy_(found.rows_);
      found.rows_ = rows;
    }
  }
  const at::Tensor clip = kept.at("clip.sums").to(at::kDouble);
  found.clip_ = {static_cast<int64_t>(clip[0].item<double>()), clip[1].item<double>(),
                 clip[2].item<double>()};
  return found;
}

void PictureStatistics::append(PictureStatistics part) {
  gaussian_.add(part.gaussian_);
  score_.add(part.score_);
  if (part.rows_.defined()) {
    rows_ = rows_.defined() ? at::cat({kernel_rows(), part.kernel_rows()}) : part.kernel_rows();
    rows_used_ = rows_.size(0);
  }
  clip_.count += part.clip_.count;
  clip_.sum += part.clip_.sum;
  clip_.sum_of_squares += part.clip_.sum_of_squares;
  range_.end = next_ = part.range_.end;
}

PictureStatistics PictureStatistics::merged(std::vector<PictureStatistics> parts,
                                            const std::vector<std::string>& names) {
  std::vector<size_t> order(parts.size());
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::sort(order.begin(), order.end(),
            [&](size_t a, size_t b) { return parts[a].range_.begin < parts[b].range_.begin; });
  PictureStatistics whole = std::move(parts.at(order.at(0)));
  for (size_t i = 0; i < order.size(); ++i) {
    const std::string name = "'" + names.at(order[i]) + "'";
    PictureStatistics& part = i == 0 ? whole : parts[order[i]];
    if (!part.is_complete()) {
      throw bad_input(name, "a shard that was measured to its end",
                      std::to_string(part.next_ - part.range_.begin) + " of " +
                          std::to_string(part.range_.end - part.range_.begin) + " pictures",
                      "run its command again, it goes on where it was");
    }
    if (i == 0) continue;
    if (!(part.set_ == whole.set_)) {
      throw bad_input(name, "a shard of the same measurement",
                      difference_of(whole.set_, part.set_));
    }
    if (part.range_.begin != whole.range_.end) {
      throw bad_input(name, "a shard from picture " + std::to_string(whole.range_.end),
                      "one from picture " + std::to_string(part.range_.begin));
    }
    whole.append(std::move(part));
  }
  return whole;
}

FeatureGaussian load_moments(const std::string& npz_path) {
  const io::NumpyArrays arrays = io::read_npz(npz_path);
  std::vector<at::Tensor> found;
  for (const char* name : {"mu", "sigma"}) {
    const auto array = arrays.find(name);
    if (array == arrays.end()) {
      throw bad_input("'" + npz_path + "'", "the arrays mu and sigma", std::string("no ") + name);
    }
    const io::TensorView view{array->second.dtype, array->second.shape, array->second.data.data(),
                              array->second.data.size()};
    found.push_back(tensors::copied(view, name).to(at::kDouble));
  }
  return FeatureGaussian::of_moments(found[0], found[1]);
}

void save_moments(const std::string& npz_path, const FeatureGaussian& gaussian) {
  const at::Tensor mu = gaussian.mean().contiguous(), sigma = gaussian.covariance().contiguous();
  io::write_npz(npz_path, {{"mu", tensors::bytes_of(mu, "mu")},
                           {"sigma", tensors::bytes_of(sigma, "sigma")}});
}

}  // namespace pangu::eval
