// Writes checkpoints by all processes of a training at once. Where copies of the parts fit the
// memory, a thread writes them while training goes on; else they are written one tensor after
// another before it does. Either way the checkpoint is one of the moment at which save() was
// called, and the one before stays until all processes have written theirs.
#pragma once
#include <atomic>
#include <cstdint>
#include <future>
#include <string>
#include <vector>

#include "dist/world.h"
#include "train/checkpoint.h"

namespace pangu::train {

struct SaveReport {
  int64_t step = 0;
  uint64_t size_bytes = 0;       // of the largest part that a process writes
  uint64_t most_copy_bytes = 0;  // that its copy may have
  bool is_asynchronous = false;  // the writing goes on
  bool is_last = false;          // it was waited for because nothing goes on beside it
};

class CheckpointWriter {
 public:
  // async_memory_gib: that a process may take for the copy; 0: none is made; below 0: half of what
  // is available then, over the processes of the machine. world outlives this.
  CheckpointWriter(dist::World& world, const std::string& output_dir, double async_memory_gib);
  // Gives up what is being written.
  ~CheckpointWriter();
  CheckpointWriter(const CheckpointWriter&) = delete;
  CheckpointWriter& operator=(const CheckpointWriter&) = delete;

  // Every process calls it, with its own parts; of the note the first one's counts. The parts are
  // made before it returns. waits: the checkpoint is there when it returns. It finishes the one
  // before first. Throws as finish() does.
  SaveReport save(CheckpointNote note, std::vector<StatePart> parts, bool waits);

  // Whether a save() is not finished; the same in every process.
  bool is_writing() const { return written_.valid(); }
  // Whether this process's part of it is written, or failed.
  bool is_written() const;
  // Every process calls it: waits for all parts and makes them the run's checkpoint. Where one
  // fails in any process it throws in all, in the others Error kIo; the last checkpoint then stays.
  void finish();

 private:
  uint64_t most_copy_bytes() const;
  void write(std::vector<StatePart> parts);
  void commit(std::exception_ptr failure);

  dist::World& world_;
  std::string output_dir_;
  double async_memory_gib_;
  CheckpointNote note_;           // of the one that is being written
  std::vector<int> file_counts_;  // of all processes
  std::atomic<bool> stops_ = false;
  std::future<void> written_;
};

}  // namespace pangu::train
