#include "train/checkpoint_writer.h"

#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "io/available_memory.h"
#include "io/weights_file.h"

namespace pangu::train {
namespace {

constexpr double kGibibyte = double(uint64_t{1} << 30);
constexpr uint64_t kShareOfAvailable = 2;  // a copy takes one half at most

uint64_t size_bytes_of(const std::vector<StatePart>& parts) {
  uint64_t bytes = 0;
  for (const StatePart& part : parts) {
    bytes += uint64_t(io::element_count(part.tensor.shape)) * c10::elementSize(part.tensor.type);
  }
  return bytes;
}

// Memory of its own, which no step changes: what nobody else holds need not be copied.
at::Tensor own_copy(const LazyTensor& tensor) {
  const at::Tensor made = tensor.make();
  const bool is_own = made.use_count() == 1 && made.storage().use_count() == 1;
  return is_own ? made : made.clone();
}

// The first process's, byte by byte.
std::string text_of_first(dist::World& world, const std::string& mine) {
  const auto size = size_t(world.of_first({double(mine.size())})[0]);
  std::vector<double> bytes(size);
  for (size_t i = 0; i < std::min(size, mine.size()); ++i) bytes[i] = uint8_t(mine[i]);
  std::string text;
  for (const double byte : world.of_first(bytes)) text += char(uint8_t(byte));
  return text;
}

}  // namespace

CheckpointWriter::CheckpointWriter(dist::World& world, const std::string& output_dir,
                                   double async_memory_gib)
    : world_(world), output_dir_(output_dir), async_memory_gib_(async_memory_gib) {}

CheckpointWriter::~CheckpointWriter() {
  stops_ = true;
  if (written_.valid()) written_.wait();
}

uint64_t CheckpointWriter::most_copy_bytes() const {
  if (async_memory_gib_ >= 0) return uint64_t(async_memory_gib_ * kGibibyte);
  return io::available_memory() / kShareOfAvailable / uint64_t(world_.local_size());
}

bool CheckpointWriter::is_written() const {
  return written_.valid() &&
         written_.wait_for(std::chrono::seconds(0)) == std::future_status::ready;
}

SaveReport CheckpointWriter::save(CheckpointNote note, std::vector<StatePart> parts, bool waits) {
  if (is_writing()) finish();
  const auto processes = size_t(world_.size());
  SaveReport report{.step = note.step, .most_copy_bytes = most_copy_bytes()};
  const uint64_t mine = size_bytes_of(parts);
  // Of every process: its files, the bytes of its part; and whether it lacks memory for a copy.
  std::vector<double> told(2 * processes + 1);
  told[size_t(world_.rank())] = file_count(parts);
  told[processes + size_t(world_.rank())] = double(mine);
  told.back() = mine > report.most_copy_bytes;
  told = world_.sums(told);
  report.size_bytes =
      uint64_t(*std::max_element(told.begin() + int64_t(processes), told.end() - 1));
  report.is_asynchronous = !waits && told.back() == 0;
  report.is_last = waits;
  file_counts_.assign(told.begin(), told.begin() + int64_t(processes));
  // 48 bits are exact in a double.
  const std::vector<double> first = world_.of_first(
      {double(new_checkpoint_id()), note.train_seconds, note.cpu_seconds, double(note.step)});
  note.id = uint64_t(first[0]);
  note.train_seconds = first[1];
  note.cpu_seconds = first[2];
  note.fingerprint = text_of_first(world_, note.fingerprint);
  note_ = std::move(note);
  if (!report.is_asynchronous) {
    std::exception_ptr failure;
    try {
      write(std::move(parts));
    } catch (...) {
      failure = std::current_exception();
    }
    commit(failure);
    return report;
  }
  for (StatePart& part : parts) {
    part.tensor.make = [copy = own_copy(part.tensor)] { return copy; };
  }
  written_ = std::async(std::launch::async,
                        [this, parts = std::move(parts)]() mutable { write(std::move(parts)); });
  return report;
}

void CheckpointWriter::write(std::vector<StatePart> parts) {
  write_parts(output_dir_, note_, world_.rank(), file_counts_, std::move(parts), stops_);
}

void CheckpointWriter::finish() {
  std::exception_ptr failure;
  try {
    written_.get();
  } catch (...) {
    failure = std::current_exception();
  }
  commit(failure);
}

void CheckpointWriter::commit(std::exception_ptr failure) {
  const auto end_if_any = [&](const char* what) {
    if (!world_.any(failure != nullptr)) return;
    std::error_code ignored;  // what stays takes room until the next checkpoint
    if (world_.is_first()) {
      std::filesystem::remove_all(checkpoint_folder(output_dir_, note_), ignored);
    }
    if (failure) std::rethrow_exception(failure);
    throw Error(ErrorCode::kIo, "checkpoint of step " + std::to_string(note_.step) +
                                    ": another process could not " + what +
                                    ", and its message says why. The last checkpoint is unchanged");
  };
  end_if_any("write its part");
  try {
    if (world_.is_first()) commit_checkpoint(output_dir_, note_, file_counts_);
  } catch (...) {
    failure = std::current_exception();
  }
  end_if_any("put it in place");
}

}  // namespace pangu::train
