#include "train/gradient_buckets.h"

#include <torch/csrc/autograd/function_hook.h>
#include <torch/csrc/autograd/variable.h>
#include <torch/types.h>

#include <algorithm>
#include <functional>
#include <mutex>

#include "core/error.h"

namespace pangu::train {
namespace {

// So many buckets travel at once where only parts stay in memory: a network that is slower than the
// backward pass would else pile up all gradients, and as much again of what arrives.
constexpr size_t kTravelling = 4;

// Called by the backward pass when a leaf has its gradient.
class OnGradient : public torch::autograd::PostAccumulateGradHook {
 public:
  explicit OnGradient(std::function<void()> call) : call_(std::move(call)) {}
  void operator()(const at::Tensor& /*leaf*/) override { call_(); }

 private:
  std::function<void()> call_;
};

}  // namespace

struct GradientBuckets::Impl {
  struct Bucket {
    at::Tensor all;             // [size] f32; with keeps_part only while a micro-batch needs it
    at::Tensor part, arriving;  // with keeps_part: [size / processes], and of this micro-batch
    size_t params_left = 0;     // that have no gradient of this micro-batch yet
    dist::Pending pending;
  };

  dist::World& world;
  std::shared_ptr<const FlatLayout> layout;
  std::vector<std::vector<at::Tensor>> leaves;
  bool keeps_part;
  std::vector<Bucket> buckets;
  std::vector<at::Tensor> sums;

  std::mutex mutex;                       // of all below and of the buckets' counts
  std::vector<std::vector<uint8_t>> has;  // [replica][parameter]: done in this micro-batch
  std::vector<size_t> replicas_left;      // of each parameter
  size_t next = 0;                        // the next bucket to travel
  bool is_first = true, is_last = true;

  Impl(dist::World& w, std::shared_ptr<const FlatLayout> l,
       const std::vector<std::vector<at::Tensor>>& all_leaves, bool part)
      : world(w), layout(std::move(l)), leaves(all_leaves), keeps_part(part) {
    const size_t params = leaves.front().size();
    for (const FlatBucket& flat : layout->buckets()) {
      Bucket bucket;
      if (keeps_part) {
        bucket.part = at::zeros(flat.size / world.size());
      } else {
        bucket.all = at::zeros(flat.size);
      }
      buckets.push_back(std::move(bucket));
    }
    for (size_t i = 0; i < params; ++i) sums.push_back(keeps_part ? part_view(i) : view(i));
    has.assign(leaves.size(), std::vector<uint8_t>(params));
    replicas_left.resize(params);
  }

  // Of parameter i in its bucket, with its strides.
  at::Tensor view(size_t i) const {
    const at::Tensor& leaf = leaves.front()[i];
    return buckets[layout->bucket_of(i)].all.as_strided(leaf.sizes(), leaf.strides(),
                                                        layout->offset_of(i));
  }

  at::Tensor part_view(size_t i) const {
    const Bucket& bucket = buckets[layout->bucket_of(i)];
    const FlatPart own = layout->part_of(i, world.rank());
    const int64_t from = layout->offset_of(i) + own.begin - bucket.part.numel() * world.rank();
    return own.count() > 0 ? bucket.part.slice(0, from, from + own.count()) : at::empty(0);
  }

  void on_gradient(size_t replica, size_t i) {
    std::unique_lock lock(mutex);
    if (has[replica][i]) {
      throw Error(ErrorCode::kInternal,
                  "several processes train: a parameter has two gradients of one backward pass");
    }
    has[replica][i] = 1;
    if (--replicas_left[i] > 0) return;
    Bucket& bucket = buckets[layout->bucket_of(i)];
    if (!bucket.all.defined()) bucket.all = at::zeros(layout->buckets()[layout->bucket_of(i)].size);
    lock.unlock();
    add(i);
    lock.lock();
    if (--bucket.params_left == 0) send_ready();
  }

  // The sum of all replicas' gradients, in their order.
  void add(size_t i) {
    const at::NoGradGuard no_grad;
    const at::Tensor into = view(i);
    bool is_filled = !is_first && !keeps_part;
    for (auto& replica : leaves) {
      at::Tensor& gradient = replica[i].mutable_grad();
      if (!gradient.defined()) continue;
      if (is_filled) {
        into.add_(gradient);
      } else {
        into.copy_(gradient);
      }
      is_filled = true;
      gradient = at::Tensor();
    }
    if (!is_filled) into.zero_();
  }

  // Waits for a bucket that travels, if it does. With keeps_part only the part stays in memory.
  void settle(Bucket& bucket) const {
    const at::NoGradGuard no_grad;
    bucket.pending.wait();
    if (!keeps_part || !bucket.arriving.defined()) return;
    if (!is_first) bucket.part.add_(bucket.arriving);
    bucket.arriving = bucket.all = at::Tensor();
  }

  // REQUIRES the mutex. Every process sends its buckets in the same order.
  void send_ready() {
    if (!is_last && !keeps_part) return;
    for (; next < buckets.size() && buckets[next].params_left == 0; ++next) {
      Bucket& bucket = buckets[next];
      if (keeps_part && next >= kTravelling) settle(buckets[next - kTravelling]);
      if (!keeps_part) {
        bucket.pending = world.all_reduce_(bucket.all);
        continue;
      }
      bucket.arriving = is_first ? bucket.part : at::empty_like(bucket.part);
      bucket.pending = world.reduce_scatter(bucket.all, bucket.arriving);
    }
  }
};

GradientBuckets::GradientBuckets(dist::World& world, std::shared_ptr<const FlatLayout> layout,
                                 const std::vector<std::vector<at::Tensor>>& leaves,
                                 bool keeps_part)
    : impl_(std::make_unique<Impl>(world, std::move(layout), leaves, keeps_part)) {
  for (size_t r = 0; r < leaves.size(); ++r) {
    for (size_t i = 0; i < leaves[r].size(); ++i) {
      torch::autograd::impl::set_post_acc_grad_hooks(
          leaves[r][i],
          std::make_unique<OnGradient>([impl = impl_.get(), r, i] { impl->on_gradient(r, i); }));
    }
  }
}

GradientBuckets::~GradientBuckets() {
  for (const auto& replica : impl_->leaves) {
    for (const at::Tensor& leaf : replica) {
      torch::autograd::impl::set_post_acc_grad_hooks(leaf, nullptr);
    }
  }
}

void GradientBuckets::begin(bool is_first, bool is_last) {
  Impl& s = *impl_;
  const std::lock_guard lock(s.mutex);
  s.is_first = is_first;
  s.is_last = is_last;
  s.next = 0;
  for (auto& replica : s.has) std::fill(replica.begin(), replica.end(), uint8_t{0});
  std::fill(s.replicas_left.begin(), s.replicas_left.end(), s.leaves.size());
  for (size_t b = 0; b < s.buckets.size(); ++b) {
    s.buckets[b].params_left = s.layout->buckets()[b].params.size();
  }
}

void GradientBuckets::replica_done(int replica) {
  Impl& s = *impl_;
  const auto r = static_cast<size_t>(replica);
  // In the order of buckets, so that what is complete may travel.
  for (const FlatBucket& bucket : s.layout->buckets()) {
    for (const size_t i : bucket.params) {
      bool is_missing = false;
      {
        const std::lock_guard lock(s.mutex);
        is_missing = !s.has[r][i];
      }
      if (is_missing) s.on_gradient(r, i);
    }
  }
}

void GradientBuckets::finish() {
  for (Impl::Bucket& bucket : impl_->buckets) impl_->settle(bucket);
}

size_t GradientBuckets::whole_buckets() const {
  const std::lock_guard lock(impl_->mutex);
  return static_cast<size_t>(
      std::count_if(impl_->buckets.begin(), impl_->buckets.end(),
                    [](const Impl::Bucket& bucket) { return bucket.all.defined(); }));
}

const std::vector<at::Tensor>& GradientBuckets::sums() const { return impl_->sums; }

}  // namespace pangu::train
