#include "train/bridge_loss.h"

#include <torch/types.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <memory>

#include "core/error.h"
#include "core/rng.h"

namespace pangu::train {
namespace {

constexpr uint64_t kShapeStream = 1ull << 56;  // of batch number ...
constexpr uint64_t kForthStream = 2ull << 56;  // of sample number ..., A to B
constexpr uint64_t kBackStream = 3ull << 56;
constexpr double kLeastVariance = 1e-8;

ChannelStatistics statistics_of_side(const std::vector<LatentPair>& pairs,
                                     at::Tensor LatentPair::* side) {
  at::Tensor sum, squares;
  double count = 0;
  for (const LatentPair& pair : pairs) {
    const at::Tensor z = (pair.*side).to(at::kDouble).flatten(1);
    sum = sum.defined() ? sum + z.sum(1) : z.sum(1);
    squares = squares.defined() ? squares + z.square().sum(1) : z.square().sum(1);
    count += double(z.size(1));
  }
  ChannelStatistics out;
  for (int64_t c = 0; c < sum.size(0); ++c) {
    const double mean = sum[c].item<double>() / count;
    const double variance = squares[c].item<double>() / count - mean * mean;
    out.mean.push_back(mean);
    out.std.push_back(std::sqrt(std::max(kLeastVariance, variance)));
  }
  return out;
}

at::Tensor column(const std::vector<double>& values, at::Device device) {
  return at::tensor(values, at::kDouble).to(device, at::kFloat).reshape({1, -1, 1, 1});
}

// The pairs of one shape, by direction.
struct Group {
  std::vector<size_t> forth, back;
};

struct BridgeLoss {
  TrainConfig config;
  std::vector<BridgeCalls> replicas;
  std::vector<LatentPair> pairs;
  ChannelStatistics a, b;
  std::vector<Group> groups;
  std::vector<size_t> ends;  // of the groups' pairs, counted through

  const Group& group_of(int64_t batch) const {
    Rng rng(static_cast<uint64_t>(config.seed), kShapeStream + static_cast<uint64_t>(batch));
    const size_t drawn = rng.below(ends.back());
    const auto at = std::upper_bound(ends.begin(), ends.end(), drawn);
    return groups[static_cast<size_t>(at - ends.begin())];
  }

  // Sum over samples of the mean square error.
  at::Tensor one_way(const std::vector<size_t>& list, const Slice& slice, uint64_t stream,
                     at::Tensor LatentPair::* from, at::Tensor LatentPair::* to,
                     const BridgeCalls::Convert& convert, const std::vector<double>& std) const {
    std::vector<at::Tensor> inputs, wanted;
    for (int64_t i = slice.first; i < slice.first + slice.count; ++i) {
      const auto sample = static_cast<uint64_t>(slice.batch * config.train_batch_size + i);
      Rng rng(static_cast<uint64_t>(config.seed), stream + sample);
      const LatentPair& pair = pairs[list[rng.below(list.size())]];
      inputs.push_back(pair.*from);
      wanted.push_back(pair.*to);
    }
    const at::Device device(config.device);
    const at::Tensor target = at::stack(wanted).to(device, at::kFloat);
    const at::Tensor found =
        convert(at::stack(inputs).to(device, at::kFloat), target.size(2), target.size(3));
    return ((found - target) / column(std, device)).square().mean({1, 2, 3}).sum();
  }

  at::Tensor operator()(const Slice& slice) const {
    const Group& group = group_of(slice.batch);
    const BridgeCalls& calls = replicas[static_cast<size_t>(slice.replica)];
    at::Tensor sum;
    if (!group.forth.empty()) {
      sum = one_way(group.forth, slice, kForthStream, &LatentPair::a, &LatentPair::b, calls.a_to_b,
                    b.std);
    }
    if (!group.back.empty()) {
      const at::Tensor back = one_way(group.back, slice, kBackStream, &LatentPair::b,
                                      &LatentPair::a, calls.b_to_a, a.std);
      sum = sum.defined() ? sum + back : back;
    }
    return sum;
  }
};

}  // namespace

std::pair<ChannelStatistics, ChannelStatistics> statistics_of(
    const std::vector<LatentPair>& pairs) {
  if (pairs.empty()) throw bad_input("pairs of latents", "at least one", "none");
  return {statistics_of_side(pairs, &LatentPair::a), statistics_of_side(pairs, &LatentPair::b)};
}

LossFunction bridge_loss(const TrainConfig& config, std::vector<BridgeCalls> replicas,
                         std::vector<LatentPair> pairs,
                         std::pair<ChannelStatistics, ChannelStatistics> statistics) {
  if (pairs.empty()) throw bad_input("pairs of latents", "at least one", "none");
  auto loss = std::make_shared<BridgeLoss>();
  loss->config = config;
  loss->replicas = std::move(replicas);
  loss->pairs = std::move(pairs);
  std::tie(loss->a, loss->b) = std::move(statistics);
  std::map<std::vector<int64_t>, Group> by_shape;
  for (size_t i = 0; i < loss->pairs.size(); ++i) {
    const LatentPair& pair = loss->pairs[i];
    if (!pair.a_to_b && !pair.b_to_a) continue;
    Group& group = by_shape[{pair.a.size(1), pair.a.size(2), pair.b.size(1), pair.b.size(2)}];
    if (pair.a_to_b) group.forth.push_back(i);
    if (pair.b_to_a) group.back.push_back(i);
  }
  size_t end = 0;
  for (auto& [shape, group] : by_shape) {
    end += std::max(group.forth.size(), group.back.size());
    loss->ends.push_back(end);
    loss->groups.push_back(std::move(group));
  }
  if (end == 0) throw bad_input("pairs of latents", "one that serves a direction", "none");
  return [loss](const Slice& slice) { return (*loss)(slice); };
}

}  // namespace pangu::train
