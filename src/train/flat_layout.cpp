#include "train/flat_layout.h"

#include <torch/types.h>

#include <algorithm>
#include <map>
#include <utility>

namespace pangu::train {
namespace {

int64_t filled_up(int64_t count, int64_t to) { return (count + to - 1) / to * to; }

}  // namespace

FlatLayout::FlatLayout(const NamedTensors& params, int processes, int64_t bucket_bytes,
                       const std::vector<int>& groups)
    : processes_(processes),
      bucket_of_(params.size()),
      offset_of_(params.size()),
      count_of_(params.size()) {
  const int64_t most = std::max<int64_t>(1, bucket_bytes / int64_t{sizeof(float)});
  std::map<std::pair<at::ScalarType, int>, size_t> open;
  for (size_t k = params.size(); k-- > 0;) {
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
