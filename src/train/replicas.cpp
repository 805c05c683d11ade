#include "train/replicas.h"

#include <ATen/Parallel.h>
#include <ATen/record_function.h>
#include <c10/util/ThreadLocalDebugInfo.h>
#include <torch/nn.h>

#include <atomic>
#include <condition_variable>
#include <exception>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "train/thread_count.h"

namespace pangu::train {
namespace {

// Where the operators of a replica's thread, and of the threads that compute its gradients, find
// the sum that they add to: libtorch hands this on from one to the other.
struct FlopCounter : c10::DebugInfoBase {
  std::atomic<int64_t> flop{0};
};
c10::DebugInfoKind counter_kind() { return c10::DebugInfoKind::PRODUCER_INFO; }

int64_t product(at::IntArrayRef sizes) {
  int64_t p = 1;
  for (const int64_t s : sizes) p *= s;
  return p;
}

// Floating-point operations of the two products of attention. q: [...,queries,numbers] of all heads
// together or of each; keys: how many there are
int64_t attention_flop(const at::Tensor& q, int64_t keys) { return 4 * product(q.sizes()) * keys; }

// Floating-point operations of one call of the operators that carry the work. What a gradient
// computes again is not counted, and neither are the exponentials of attention.
int64_t flop_of(const at::RecordFunction& fn) {
  const std::string_view name = fn.name();
  const auto inputs = fn.inputs();
  const auto tensor = [&](size_t i) {
    return i < inputs.size() && inputs[i].isTensor() ? inputs[i].toTensor() : at::Tensor();
  };
  const bool adds = name == "aten::addmm" || name == "aten::baddbmm";
  if (adds || name == "aten::mm" || name == "aten::bmm") {
    const size_t at = adds ? 1 : 0;
    const at::Tensor a = tensor(at), b = tensor(at + 1);
    if (a.defined() && b.defined()) return 2 * product(a.sizes()) * b.size(-1);
  }
  // Each output position takes (weight elements / output channels) multiply-adds a channel. Which
  // library computes a convolution depends on the machine and the type; this is above all of them.
  if (name == "aten::convolution") {
    const at::Tensor x = tensor(0), w = tensor(1);
    if (!x.defined() || !w.defined() || x.dim() != 4) return 0;
    const auto stride = inputs[3].toIntVector();
    const int64_t s = stride.empty() ? 1 : stride[0];
    return 2 * x.size(0) * (x.size(2) / s) * (x.size(3) / s) * product(w.sizes());
  }
  if (name == "aten::convolution_backward") {
    const at::Tensor grad = tensor(0), w = tensor(2);
    if (!grad.defined() || !w.defined() || grad.dim() != 4) return 0;
    return 4 * grad.size(0) * grad.size(2) * grad.size(3) * product(w.sizes());
  }
  // Attention that never holds its scores, by libtorch ([B,h,N,d]) and by our kernels ([B,N,h d]).
  constexpr std::string_view kFused = "aten::_scaled_dot_product_flash_attention_for_cpu";
  constexpr std::string_view kOurs = "pangu::attention_kernel", kBackward = "_backward";
  if (name.starts_with(kFused) || name.starts_with(kOurs)) {
    const bool fused = name.starts_with(kFused), backward = name.ends_with(kBackward);
    const size_t at = fused && backward ? 1 : 0;  // behind the gradient
    const at::Tensor q = tensor(at), k = tensor(at + 1);
    if (q.defined() && k.defined()) {
      return attention_flop(q, k.size(fused ? 2 : 1)) * (backward ? 2 : 1);
    }
  }
  return 0;
}

std::unique_ptr<at::ObserverContext> on_operator(const at::RecordFunction& fn) {
  if (auto* counter = dynamic_cast<FlopCounter*>(c10::ThreadLocalDebugInfo::get(counter_kind()))) {
    counter->flop += flop_of(fn);
  }
  return nullptr;
}

// Operators that this thread runs, or has run for it, are counted while this lives.
class CountingHere {
 public:
  explicit CountingHere(const std::shared_ptr<FlopCounter>& counter)
      : info_(counter_kind(), counter),
        handle_(at::addThreadLocalCallback(
            at::RecordFunctionCallback(on_operator)
                .needsInputs(true)
                .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}))) {}
  ~CountingHere() { at::removeCallback(handle_); }
  CountingHere(const CountingHere&) = delete;
  CountingHere& operator=(const CountingHere&) = delete;

 private:
  c10::DebugInfoGuard info_;
  at::CallbackHandle handle_;
};

}  // namespace

struct Replicas::Impl {
  std::vector<std::vector<at::Tensor>> params;  // [replica][parameter], leaves
  NamedTensors named;
  int threads = 1;

  std::vector<std::thread> workers;
  std::mutex mutex;
  std::condition_variable wake, done;
  uint64_t generation = 0;
  int running = 0;
  bool quit = false;
  const LossFunction* loss = nullptr;
  const std::function<void(int)>* on_done = nullptr;
  BatchPart part;
  double scale = 1;
  std::shared_ptr<FlopCounter> counter;  // or none, where nothing is counted
  std::vector<double> losses;
  std::exception_ptr error;

  void work(int replica) {
    const int64_t n = static_cast<int64_t>(params.size());
    const int64_t first = part.count * replica / n, last = part.count * (replica + 1) / n;
    losses[replica] = 0;
    if (first < last) {
      std::optional<CountingHere> counting;
      if (counter) counting.emplace(counter);
      const at::Tensor sum = (*loss)({replica, part.batch, part.first + first, last - first});
      (sum * scale).backward();
      losses[replica] = sum.detach().to(at::kDouble).item<double>();
    }
    if (*on_done) (*on_done)(replica);
  }

  void loop(int replica) {
    use_threads_here(threads);
    uint64_t seen = 0;
    for (;;) {
      {
        std::unique_lock lock(mutex);
        wake.wait(lock, [&] { return quit || generation != seen; });
        if (quit) return;
        seen = generation;
      }
      std::exception_ptr failed;
      try {
        work(replica);
      } catch (...) {
        failed = std::current_exception();
      }
      const std::lock_guard lock(mutex);
      if (failed && !error) error = failed;
      if (--running == 0) done.notify_all();
    }
  }
};

Replicas::Replicas(const std::vector<std::shared_ptr<torch::nn::Module>>& modules, int threads)
    : impl_(std::make_unique<Impl>()) {
  impl_->threads = threads;
  for (const auto& item : modules.front()->named_parameters()) {
    impl_->named.emplace_back(item.key(), item.value());
  }
  for (size_t r = 0; r < modules.size(); ++r) {
    std::vector<at::Tensor> leaves;
    for (at::Tensor& p : modules[r]->parameters()) {
      if (r > 0) p.set_data(impl_->named[leaves.size()].second.detach());
      leaves.push_back(p);
    }
    impl_->params.push_back(std::move(leaves));
  }
  impl_->losses.resize(modules.size());
  for (size_t r = 0; r < modules.size(); ++r) {
    impl_->workers.emplace_back([this, r] { impl_->loop(static_cast<int>(r)); });
  }
}

Replicas::~Replicas() {
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->quit = true;
  }
  impl_->wake.notify_all();
  for (std::thread& worker : impl_->workers) worker.join();
}

double Replicas::run(const LossFunction& loss, const BatchPart& part, double scale,
                     const std::function<void(int)>& on_done) {
  std::unique_lock lock(impl_->mutex);
  impl_->loss = &loss;
  impl_->on_done = &on_done;
  impl_->part = part;
  impl_->scale = scale;
  impl_->error = nullptr;
  impl_->running = static_cast<int>(impl_->workers.size());
  ++impl_->generation;
  impl_->wake.notify_all();
  impl_->done.wait(lock, [&] { return impl_->running == 0; });
  if (impl_->error) std::rethrow_exception(impl_->error);
  double sum = 0;
  for (const double l : impl_->losses) sum += l;
  return sum;
}

double Replicas::count_flop(const LossFunction& loss, const BatchPart& part, double scale,
                            double* sum, const std::function<void(int)>& on_done) {
  impl_->counter = std::make_shared<FlopCounter>();
  *sum = run(loss, part, scale, on_done);
  const std::shared_ptr<FlopCounter> counter = std::exchange(impl_->counter, nullptr);
  return static_cast<double>(counter->flop.load());
}

int64_t Replicas::count() const { return static_cast<int64_t>(impl_->params.size()); }

NamedTensors Replicas::parameters() const { return impl_->named; }

const std::vector<std::vector<at::Tensor>>& Replicas::leaves() const { return impl_->params; }

std::vector<std::vector<at::Tensor>> Replicas::gradients() const {
  std::vector<std::vector<at::Tensor>> all;
  for (const auto& leaves : impl_->params) {
    std::vector<at::Tensor> grads;
    for (const at::Tensor& p : leaves) grads.push_back(p.grad());
    all.push_back(std::move(grads));
  }
  return all;
}

void Replicas::clear_gradients() {
  for (auto& leaves : impl_->params) {
    for (at::Tensor& p : leaves) p.mutable_grad() = at::Tensor();
  }
}

}  // namespace pangu::train
