// The processes that train together, and what they tell each other: sums, pieces and copies of
// tensors, votes. Built on c10d, libtorch's own process groups (Gloo on CPUs). A world of one
// process computes everything by itself and builds none of it.
//
// Every process must make the same calls in the same order. A call that another process does not
// answer, because it has ended or cannot be reached, ends with Error kIo within
// WorldOptions::silence_s; the world can then not be used any more.
#pragma once
#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <utility>
#include <vector>

#include "dist/place.h"

namespace pangu::dist {

struct WorldOptions {
  std::string device = "cpu";  // of the tensors
  double join_s = 30;          // how long all others are waited for at the beginning
  double silence_s = 25;       // a process that gives no sign of life for so long is lost
};

// A call whose result is not there yet. Its tensors must not be touched before wait() is back; one
// that is dropped without wait() is finished by the world.
class Pending {
 public:
  Pending() = default;
  explicit Pending(std::function<void()> wait) : wait_(std::move(wait)) {}
  void wait() {
    if (wait_) std::exchange(wait_, nullptr)();
  }

 private:
  std::function<void()> wait_;
};

class World {
 public:
  World();  // of this process alone
  // Meets the others at place.master_address. Error kUnavailable for a device that this libtorch
  // has no process groups for; kIo naming who is missing after options.join_s.
  World(const Place& place, const WorldOptions& options);
  ~World();
  World(World&&) noexcept;
  World& operator=(World&&) noexcept;

  int rank() const { return place_.rank; }
  int size() const { return place_.size; }
  int local_size() const { return place_.local_size; }
  bool is_alone() const { return place_.size == 1; }
  bool is_first() const { return place_.rank == 0; }

  // Tensors are dense, on the world's device. Sums are taken in an order that depends on the
  // number of processes and on sizes alone, and every process gets the same bits.
  Pending all_reduce_(const at::Tensor& sum);  // f32, f64 or i64: of all processes
  // all: [size * n] f32; mine: [n], the sum of all processes' part number rank().
  Pending reduce_scatter(const at::Tensor& all, const at::Tensor& mine);
  // all: [size * n] of mine's type: every process's [n], in order of ranks.
  Pending all_gather(const at::Tensor& mine, const at::Tensor& all);
  Pending broadcast_(const at::Tensor& value, int from);

  void barrier();
  // Sums of numbers, or rank 0's, or whether any process says yes. Waits.
  std::vector<double> sums(const std::vector<double>& mine);
  std::vector<double> of_first(const std::vector<double>& mine);
  bool any(bool mine) { return sums({mine ? 1.0 : 0.0})[0] > 0; }

  // Bytes of tensors that this process has been asked to send so far, by the formulas of rings: for
  // S bytes and N processes 2 S (N-1)/N for all_reduce_, S (N-1)/N for reduce_scatter and
  // all_gather (S: all), S (N-1)/N for broadcast_ (a mean of all processes).
  double bytes_sent() const { return bytes_sent_; }

 private:
  struct Group;

  Place place_;
  std::unique_ptr<Group> group_;  // none where this process is alone
  double bytes_sent_ = 0;
};

}  // namespace pangu::dist
