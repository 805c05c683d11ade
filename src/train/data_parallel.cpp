#include "train/data_parallel.h"

#include <torch/types.h>

#include <algorithm>

#include "core/error.h"
#include "train/muon.h"

namespace pangu::train {
namespace {

// Matrices that one process steps as a whole: the dearest first, each to the process with the least
// to do.
std::vector<int> owners_of(const NamedTensors& params, int processes) {
  std::vector<int> owner(params.size(), -1);
  std::vector<size_t> order;
  for (size_t i = 0; i < params.size(); ++i) {
    if (is_inner_matrix(params[i].first, params[i].second)) order.push_back(i);
  }
  const auto cost = [&](size_t i) {
    const at::Tensor& p = params[i].second;
    return double(p.numel()) * double(std::min(p.size(0), p.numel() / p.size(0)));
  };
  std::stable_sort(order.begin(), order.end(),
                   [&](size_t a, size_t b) { return cost(a) > cost(b); });
  std::vector<double> load(static_cast<size_t>(processes));
  for (const size_t i : order) {
    const auto least = std::min_element(load.begin(), load.end());
    owner[i] = static_cast<int>(least - load.begin());
    *least += cost(i);
  }
  return owner;
}

std::string param_name_in(const std::string& key) { return key.substr(key.rfind('/') + 1); }

}  // namespace

DataParallel::DataParallel(dist::World& world, const NamedTensors& params,
                           const std::vector<std::vector<at::Tensor>>& leaves,
                           const DataParallelOptions& options)
    : world_(world), options_(options), owner_(params.size(), -1) {
  const at::NoGradGuard no_grad;
  const bool is_muon = options_.optimizer == OptimizerKind::kMuon;
  if (is_muon && options_.zero_stage > 1) {
    throw bad_input("zero_stage", "0 or 1 with optimizer muon, which needs whole gradients",
                    std::to_string(options_.zero_stage), "zero_stage = 1");
  }
  if (options_.optimizer == OptimizerKind::kAdamW8Bit && is_divided()) {
    throw bad_input("zero_stage", "0 with optimizer adamw8bit, whose blocks would be cut",
                    std::to_string(options_.zero_stage), "optimizer = \"adamw\"");
  }
  for (const auto& [name, tensor] : params) {
    index_[name] = params_.size();
    params_.emplace_back(name, tensor.detach());
    is_decayed_.push_back(tensor.dim() > 1);
  }
  std::vector<int> groups(params_.size());
  if (is_muon && is_divided()) {
    owner_ = owners_of(params_, world_.size());
    for (size_t i = 0; i < groups.size(); ++i) groups[i] = owner_[i] >= 0;
  }
  layout_ = std::make_shared<FlatLayout>(params_, world_.size(), options_.bucket_bytes, groups);
  for (const auto& [name, tensor] : params_) world_.broadcast_(flat_view(tensor), 0).wait();
  for (size_t i = 0; i < params_.size(); ++i) {
    stepped_.emplace_back(params_[i].first, part_in(params_[i].second, i));
  }
  buckets_ = std::make_unique<GradientBuckets>(world_, layout_, leaves, options_.zero_stage > 1);
}

// A view of this process's part of a tensor that has a parameter's layout.
at::Tensor DataParallel::part_in(const at::Tensor& dense, size_t i) const {
  if (!is_divided()) return dense;
  if (owner_[i] >= 0) return owner_[i] == world_.rank() ? dense : dense.slice(0, 0, 0);
  const FlatPart part = layout_->part_of(i, world_.rank());
  return flat_view(dense).slice(0, part.begin, part.end);
}

std::vector<at::Tensor> DataParallel::gradients() const {
  std::vector<at::Tensor> all = buckets_->sums();
  if (options_.zero_stage == 1) {
    for (size_t i = 0; i < all.size(); ++i) all[i] = part_in(all[i], i);
  }
  return all;
}

void DataParallel::exchange_params() {
  if (!is_divided() || world_.is_alone()) return;
  const at::NoGradGuard no_grad;
  struct Exchange {
    const FlatBucket* bucket;
    at::Tensor all;
    dist::Pending pending;
  };
  const auto end = [&](Exchange& e) {
    e.pending.wait();
    for (size_t k = 0; k < e.bucket->params.size(); ++k) {
      const at::Tensor into = flat_view(params_[e.bucket->params[k]].second);
      into.copy_(e.all.slice(0, e.bucket->offsets[k], e.bucket->offsets[k] + into.numel()));
    }
  };
  Exchange before{};
  for (const FlatBucket& bucket : layout_->buckets()) {
    if (owner_[bucket.params.front()] >= 0) {
      for (const size_t i : bucket.params) {
        world_.broadcast_(flat_view(params_[i].second), owner_[i]).wait();
      }
      continue;
    }
    const int64_t share = bucket.size / world_.size();
    const at::Tensor mine = at::zeros(share, bucket.type);
    for (size_t k = 0; k < bucket.params.size(); ++k) {
      const FlatPart part = layout_->part_of(bucket.params[k], world_.rank());
      if (part.count() == 0) continue;
      const int64_t from = bucket.offsets[k] + part.begin - share * world_.rank();
      mine.slice(0, from, from + part.count()).copy_(stepped_[bucket.params[k]].second);
    }
    // One bucket travels while the one before it is copied.
    Exchange now{&bucket, at::empty(bucket.size, bucket.type), {}};
    now.pending = world_.all_gather(mine, now.all);
    if (before.bucket) end(before);
    before = std::move(now);
  }
  if (before.bucket) end(before);
}

std::map<std::string, at::Tensor> DataParallel::whole(
    const std::map<std::string, at::Tensor>& parts) {
  if (!is_divided() || world_.is_alone()) return world_.is_first() ? parts : decltype(parts){};
  const auto processes = static_cast<size_t>(world_.size());
  std::map<std::string, at::Tensor> all;
  for (const auto& [key, part] : parts) {
    const size_t i = index_.at(param_name_in(key));
    const at::Tensor& param = params_[i].second;
    std::vector<at::Tensor> pieces;
    for (size_t r = 0; r < processes; ++r) {
      const int rank = static_cast<int>(r);
      int64_t count = layout_->part_of(i, rank).count();
      if (owner_[i] >= 0) count = owner_[i] == rank ? param.numel() : 0;
      if (count == 0) continue;
      at::Tensor piece = rank == world_.rank() ? part.contiguous().view({count})
                                               : at::empty(count, part.scalar_type());
      world_.broadcast_(piece, rank).wait();
      if (world_.is_first()) pieces.push_back(piece);
    }
    if (!world_.is_first()) continue;
    const at::Tensor joined = pieces.size() == 1 ? pieces.front() : at::cat(pieces);
    // A whole matrix comes with its dimensions in order, parts in the order of memory.
    all[key] = owner_[i] >= 0 ? joined.view(param.sizes()).clone()
                              : joined.as_strided(param.sizes(), param.strides()).contiguous();
  }
  return all;
}

std::vector<StatePart> DataParallel::written_parts(const LazyTensors& state) const {
  if (!is_divided() || world_.is_alone()) return share_of(state, world_.rank(), world_.size());
  std::vector<StatePart> all;
  for (const auto& [key, tensor] : state) {
    const size_t i = index_.at(param_name_in(key));
    const at::Tensor& param = params_[i].second;
    const bool is_whole = owner_[i] >= 0 || param.numel() == 0;
    if (is_whole) {
      if (std::max(0, owner_[i]) != world_.rank()) continue;
      all.push_back({key, io::whole_box(param.sizes().vec()), tensor});
      all.back().tensor.shape = param.sizes().vec();
      continue;
    }
    for (StatePart& part : parts_of_range(key, tensor, param, layout_->part_of(i, world_.rank()))) {
      all.push_back(std::move(part));
    }
  }
  return all;
}

LazyTensors DataParallel::own_part(const StoredTensors& whole) const {
  if (!is_divided() || world_.is_alone()) return whole_of(whole);
  LazyTensors parts;
  for (const auto& [key, stored] : whole) {
    const auto found = index_.find(param_name_in(key));
    if (found == index_.end()) continue;
    const size_t i = found->second;
    const at::Tensor& param = params_[i].second;
    if (at::IntArrayRef(stored.shape) != param.sizes()) {
      throw bad_input("checkpoint tensor '" + key + "'", c10::str(param.sizes()),
                      c10::str(at::IntArrayRef(stored.shape)),
                      "it was written for another model; start with an empty output_dir");
    }
    if (owner_[i] == world_.rank()) {
      parts[key] = whole_of(stored);
    } else if (owner_[i] >= 0) {
      std::vector<int64_t> shape = stored.shape;
      shape[0] = 0;
      parts[key] = {stored.type, shape,
                    [type = stored.type, shape] { return at::empty(shape, type); }};
    } else {
      parts[key] = range_of(stored, param, layout_->part_of(i, world_.rank()));
    }
  }
  return parts;
}

}  // namespace pangu::train
