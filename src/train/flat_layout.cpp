#include "train/flat_layout.h"

#include <torch/types.h>

#include <algorithm>
#include <cstddef>
#include <cstdlib>
#include <map>
#include <numeric>
#include <string>
#include <utility>

namespace pangu::train {
namespace {

int64_t filled_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

// The turn of a parameter in its block; a parameter that is in no list has an empty block.
struct Turn {
  std::string block;
  long layer = 0;
  bool attends = false;
};

Turn turn_of(const std::string& name) {
  for (const bool attends : {false, true}) {
    const std::string list = attends ? ".attentions." : ".resnets.";
    const size_t at = name.find(list);
    if (at == name.npos) continue;
    return {name.substr(0, at), std::strtol(name.c_str() + at + list.size(), nullptr, 10), attends};
  }
  return {};
}

}  // namespace

std::vector<size_t> order_of_use(const NamedTensors& params) {
  std::vector<Turn> turns;
  for (const auto& [name, tensor] : params) turns.push_back(turn_of(name));
  std::vector<size_t> order(params.size());
  std::iota(order.begin(), order.end(), size_t{0});
  for (size_t begin = 0, end = 0; begin < order.size(); begin = end) {
    while (end < order.size() && turns[end].block == turns[begin].block) ++end;
    if (turns[begin].block.empty()) continue;
    std::stable_sort(order.begin() + std::ptrdiff_t(begin), order.begin() + std::ptrdiff_t(end),
                     [&](size_t a, size_t b) {
                       return std::pair(turns[a].layer, turns[a].attends) <
                              std::pair(turns[b].layer, turns[b].attends);
                     });
  }
  return order;
}

FlatLayout::FlatLayout(const NamedTensors& params, int processes, int64_t bucket_bytes,
                       const std::vector<int>& groups)
    : processes_(processes),
      bucket_of_(params.size()),
      offset_of_(params.size()),
      count_of_(params.size()) {
  const int64_t most = std::max<int64_t>(1, bucket_bytes / int64_t{sizeof(float)});
  std::map<std::pair<at::ScalarType, int>, size_t> open;
  const std::vector<size_t> order = order_of_use(params);
  for (size_t turn = order.size(); turn-- > 0;) {
    const size_t k = order[turn];
    const at::Tensor& param = params[k].second;
    const std::pair kind{param.scalar_type(), groups.empty() ? 0 : groups[k]};
    const auto found = open.find(kind);
    if (found == open.end() || buckets_[found->second].size >= most) {
      open[kind] = buckets_.size();
      buckets_.emplace_back();
      buckets_.back().type = param.scalar_type();
    }
    bucket_of_[k] = open[kind];
    FlatBucket& bucket = buckets_[bucket_of_[k]];
    bucket.params.push_back(k);
    bucket.offsets.push_back(bucket.size);
    offset_of_[k] = bucket.size;
    count_of_[k] = param.numel();
    bucket.size += filled_up(param.numel(), kAlignment);
  }
  for (FlatBucket& bucket : buckets_) {
    bucket.size = filled_up(bucket.size, kAlignment * processes_);
  }
}

FlatPart FlatLayout::part_of(size_t param, int rank) const {
  const int64_t share = buckets_[bucket_of_[param]].size / processes_;
  const int64_t offset = offset_of_[param], count = count_of_[param];
  FlatPart part;
  part.begin = std::clamp<int64_t>(share * rank - offset, 0, count);
  part.end = std::clamp<int64_t>(share * (rank + 1) - offset, 0, count);
  return part;
}

at::Tensor flat_view(const at::Tensor& dense) { return dense.as_strided({dense.numel()}, {1}); }

}  // namespace pangu::train
