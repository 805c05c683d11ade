#include "train/checkpoint.h"

#include <torch/types.h>

#include <algorithm>
#include <charconv>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <random>
#include <set>
#include <sstream>

#include "core/error.h"
#include "io/atomic_file.h"
#include "io/atomic_link.h"
#include "io/mapped_file.h"
#include "io/safetensors_writer.h"
#include "io/sharded_safetensors.h"
#include "io/weights_file.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::train {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLink = "checkpoint";
constexpr const char* kOldFile = "checkpoint.safetensors";
constexpr const char* kFolderBegin = "checkpoint-";
constexpr int kIdDigits = 12;
constexpr int kIdBits = 48;
// Keys of metadata.
constexpr const char* kStep = "step";
constexpr const char* kTrainSeconds = "train_seconds";
constexpr const char* kCpuSeconds = "cpu_seconds";
constexpr const char* kFingerprint = "fingerprint";
constexpr const char* kId = "checkpoint_id";
constexpr const char* kShardFiles = "shard_files";  // of each process: "1,3,0"
constexpr const char* kCopyAgain = "copy the whole folder again";

std::string link_path(const std::string& output_dir) { return output_dir + "/" + kLink; }

std::string id_text(uint64_t id) {
  char text[32];
  std::snprintf(text, sizeof text, "%0*llx", kIdDigits, static_cast<unsigned long long>(id));
  return text;
}

// CHECKPOINT-STEP-ID, as folder_name makes it.
std::string folder_name(const CheckpointNote& note) {
  char step[32];
  std::snprintf(step, sizeof step, "%08lld", static_cast<long long>(note.step));
  return std::string(kFolderBegin) + step + "-" + id_text(note.id);
}

bool is_folder_name(const std::string& name) {
  const std::string begin = kFolderBegin;
  if (!name.starts_with(begin)) return false;
  const size_t dash = name.find('-', begin.size());
  if (dash == std::string::npos || dash == begin.size()) return false;
  return name.find_first_not_of("0123456789", begin.size()) == dash &&
         name.size() == dash + 1 + kIdDigits &&
         name.find_first_not_of("0123456789abcdef", dash + 1) == std::string::npos;
}

std::string counts_text(const std::vector<int>& counts) {
  std::string text;
  for (const int count : counts) text += (text.empty() ? "" : ",") + std::to_string(count);
  return text;
}

std::vector<std::string> file_names(const std::vector<int>& counts) {
  std::vector<std::string> names;
  for (size_t rank = 0; rank < counts.size(); ++rank) {
    for (int k = 1; k <= counts[rank]; ++k) {
      names.push_back(io::shard_file_name(int(rank) + 1, k, counts[rank]));
    }
  }
  return names;
}

// The metadata of one file of a checkpoint.
class NoteReader {
 public:
  NoteReader(const io::Metadata& metadata, const std::string& path)
      : metadata_(metadata), path_(path) {}

  bool has(const char* key) const { return metadata_.contains(key); }
  const std::string& text(const char* key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) {
      throw bad_input(what(), std::string("metadata '") + key + "'", "none",
                      "it is no checkpoint of a training");
    }
    return found->second;
  }
  template <class T, class... Base>
  T number(const char* key, Base... base) const {
    const std::string& all = text(key);
    T value{};
    const auto [end, error] = std::from_chars(all.data(), all.data() + all.size(), value, base...);
    if (error != std::errc() || end != all.data() + all.size()) refuse(key);
    return value;
  }
  std::vector<int> file_counts() const {
    std::vector<int> counts;
    std::istringstream all(text(kShardFiles));
    for (std::string one; std::getline(all, one, ',');) {
      int count = 0;
      const auto [end, error] = std::from_chars(one.data(), one.data() + one.size(), count);
      const bool is_one = error == std::errc() && end == one.data() + one.size();
      if (!is_one || count < 0 || count > 999 || counts.size() > 99'999) {
        throw bad_input(what() + " metadata '" + kShardFiles + "'", "numbers of files",
                        "'" + one + "'");
      }
      counts.push_back(count);
    }
    return counts;
  }
  CheckpointNote note() const {
    CheckpointNote note;
    note.step = number<int64_t>(kStep);
    note.train_seconds = number<double>(kTrainSeconds);
    if (has(kCpuSeconds)) note.cpu_seconds = number<double>(kCpuSeconds);
    if (note.step < 0) refuse(kStep);
    if (!(note.train_seconds >= 0)) refuse(kTrainSeconds);
    if (!(note.cpu_seconds >= 0)) refuse(kCpuSeconds);
    note.fingerprint = text(kFingerprint);
    if (has(kId)) note.id = number<uint64_t>(kId, 16);
    return note;
  }

 private:
  [[noreturn]] void refuse(const char* key) const {
    throw bad_input(what() + " metadata '" + key + "'", "a number from 0 on",
                    "'" + text(key) + "'");
  }
  std::string what() const { return "checkpoint file '" + path_ + "'"; }
  const io::Metadata& metadata_;
  const std::string& path_;
};

// All files say the same of the checkpoint, and they are those that it consists of.
void check_files(const io::ShardedSafetensors& files, const std::string& folder) {
  const NoteReader first(files.metadata(0), files.paths()[0]);
  const std::string id = first.text(kId), step = first.text(kStep);
  std::set<std::string> missing;
  for (const std::string& name : file_names(first.file_counts())) missing.insert(name);
  for (size_t i = 0; i < files.paths().size(); ++i) {
    const std::string& path = files.paths()[i];
    const NoteReader one(files.metadata(i), path);
    for (const char* key : {kStep, kId, kTrainSeconds, kCpuSeconds, kFingerprint, kShardFiles}) {
      if (one.text(key) == first.text(key)) continue;
      throw bad_input("checkpoint file '" + path + "'",
                      "a part of the checkpoint of step " + step + " (" + id + ") as '" +
                          files.paths()[0] + "'",
                      "one of step " + one.text(kStep) + " (" + one.text(kId) + ")", kCopyAgain);
    }
    if (missing.erase(fs::path(path).filename().string()) == 0) {
      throw bad_input("checkpoint '" + folder + "'", "its own files",
                      "'" + fs::path(path).filename().string() + "' too", kCopyAgain);
    }
  }
  if (!missing.empty()) {
    throw bad_input("checkpoint '" + folder + "'",
                    std::to_string(missing.size() + files.paths().size()) + " files",
                    "no '" + *missing.begin() + "'", kCopyAgain);
  }
}

// The name of the folder or file behind a link, so that all is read of one checkpoint while another
// takes its place.
std::optional<std::string> resolved(const std::string& path) {
  std::error_code failure;
  if (!fs::exists(path, failure)) return std::nullopt;
  const fs::path real = fs::canonical(path, failure);
  return failure ? path : real.string();
}

// Copies what a box has in common with stored ones, whose pages are let go of.
void read_box(const std::vector<io::StoredBox>& boxes, const std::shared_ptr<const void>& owner,
              const std::string& name, const io::TensorBox& wanted, const at::Tensor& into) {
  for (const io::StoredBox& one : boxes) {
    const io::TensorBox common = io::common_box(one.box, wanted);
    if (io::element_count(common.sizes) == 0) continue;
    at::Tensor from = tensors::shared(one.view, owner, name), to = into;
    for (size_t k = 0; k < common.sizes.size(); ++k) {
      const auto axis = int64_t(k);
      from = from.narrow(axis, common.offsets[k] - one.box.offsets[k], common.sizes[k]);
      to = to.narrow(axis, common.offsets[k] - wanted.offsets[k], common.sizes[k]);
    }
    to.copy_(from);
    io::forget_pages({one.view.data, one.view.size_bytes});
  }
}

StoredTensors stored_in(const std::shared_ptr<const io::ShardedSafetensors>& files) {
  StoredTensors all;
  for (const auto& [name, tensor] : files->joined()) {
    all[name] = {
        tensors::scalar_type_of(tensor.dtype, name), tensor.shape,
        [files, boxes = tensor.boxes, name](const io::TensorBox& box, const at::Tensor& into) {
          read_box(boxes, files, name, box, into);
        }};
  }
  return all;
}

// Folders of checkpoints before, and of those that were never finished.
void remove_all_but(const std::string& output_dir, const std::string& kept) {
  std::error_code ignored;  // what stays only takes room
  std::vector<fs::path> stale;
  for (const auto& entry : fs::directory_iterator(output_dir, ignored)) {
    const std::string name = entry.path().filename().string();
    if (is_folder_name(name) && name != kept) stale.push_back(entry.path());
  }
  for (const fs::path& folder : stale) fs::remove_all(folder, ignored);
}

std::string link_target(const std::string& output_dir) {
  std::error_code failure;
  const fs::path target = fs::read_symlink(link_path(output_dir), failure);
  return failure ? "" : target.filename().string();
}

void put_in_place(const std::string& output_dir, const std::string& folder) {
  io::replace_link(link_path(output_dir), folder);
  std::error_code ignored;
  fs::remove(output_dir + "/" + kOldFile, ignored);
  remove_all_but(output_dir, folder);
}

}  // namespace

std::optional<std::string> checkpoint_in(const std::string& output_dir) {
  std::error_code failure;
  const std::string link = link_path(output_dir), old_file = output_dir + "/" + kOldFile;
  if (fs::exists(link, failure)) return link;
  if (fs::is_symlink(link, failure)) {
    throw bad_input("checkpoint '" + link + "'", "the folder that it is a link to", "none",
                    "put the folder back, or pass --fresh");
  }
  return fs::exists(old_file, failure) ? std::optional(old_file) : std::nullopt;
}

std::optional<Checkpoint> load_checkpoint(const std::string& path) {
  const auto real = resolved(path);
  if (!real) return std::nullopt;
  const auto files = std::make_shared<const io::ShardedSafetensors>(*real);
  const bool is_old_file = !fs::is_directory(*real);
  if (!is_old_file) check_files(*files, path);
  return Checkpoint{NoteReader(files->metadata(0), files->paths()[0]).note(), stored_in(files)};
}

StoredTensors stored_tensors(const std::string& path) {
  return stored_in(std::make_shared<const io::ShardedSafetensors>(resolved(path).value_or(path)));
}

std::optional<CheckpointNote> checkpoint_note(const std::string& path) {
  const auto real = resolved(path);
  if (!real) return std::nullopt;
  const io::ShardedSafetensors files(*real);
  return NoteReader(files.metadata(0), files.paths()[0]).note();
}

uint64_t new_checkpoint_id() {
  std::random_device random;
  const uint64_t both = uint64_t{random()} << 32 | random();
  return std::max<uint64_t>(1, both >> (64 - kIdBits));
}

std::string checkpoint_folder(const std::string& output_dir, const CheckpointNote& note) {
  return output_dir + "/" + folder_name(note);
}

int file_count(const std::vector<StatePart>& parts) {
  std::map<std::string, int> boxes;
  int most = 0;
  for (const StatePart& part : parts) most = std::max(most, ++boxes[part.name]);
  return most;
}

void write_parts(const std::string& output_dir, const CheckpointNote& note, int rank,
                 const std::vector<int>& file_counts, std::vector<StatePart> parts,
                 const std::atomic<bool>& stops) {
  const std::string folder = checkpoint_folder(output_dir, note);
  std::error_code failure;
  fs::create_directories(folder, failure);
  if (failure) throw io_error("cannot create", folder, failure.value());
  // By file, the first, second, ... boxes of tensors.
  std::vector<std::map<std::string, StatePart*>> files;
  std::map<std::string, size_t> boxes;
  for (StatePart& part : parts) {
    const size_t k = boxes[part.name]++;
    if (k >= files.size()) files.emplace_back();
    files[k][part.name] = &part;
  }
  for (size_t k = 0; k < files.size(); ++k) {
    std::vector<io::TensorPlan> plan;
    std::map<std::string, std::vector<int64_t>> offsets;
    for (const auto& [name, part] : files[k]) {
      plan.push_back({name, tensors::dtype_of(part->tensor.type, name), part->tensor.shape});
      offsets[name] = part->box.offsets;
    }
    io::Metadata metadata = io::sharding_metadata(offsets);
    metadata[kStep] = std::to_string(note.step);
    metadata[kTrainSeconds] = std::to_string(note.train_seconds);
    metadata[kCpuSeconds] = std::to_string(note.cpu_seconds);
    metadata[kFingerprint] = note.fingerprint;
    metadata[kId] = id_text(note.id);
    metadata[kShardFiles] = counts_text(file_counts);
    const std::string name = io::shard_file_name(rank + 1, int(k) + 1, int(files.size()));
    io::SafetensorsWriter writer(folder + "/" + name, plan, metadata);
    for (const std::string& tensor : writer.order()) {
      if (stops) return;
      LazyTensor& lazy = files[k].at(tensor)->tensor;
      const at::Tensor made = lazy.make();
      const io::TensorView view = tensors::bytes_of(made, tensor);
      writer.add(tensor, {view.data, view.size_bytes});
      lazy.make = nullptr;
    }
    writer.commit();
  }
}

void commit_checkpoint(const std::string& output_dir, const CheckpointNote& note,
                       const std::vector<int>& file_counts) {
  const std::string folder = checkpoint_folder(output_dir, note);
  for (const std::string& name : file_names(file_counts)) {
    std::error_code failure;
    if (!fs::exists(folder + "/" + name, failure)) {
      throw Error(ErrorCode::kIo, "checkpoint '" + folder + "': expected '" + name +
                                      "', found no such file. Hint: all machines must see one "
                                      "output_dir");
    }
  }
  put_in_place(output_dir, folder_name(note));
}

void adopt_checkpoint(const std::string& output_dir, const std::string& name) {
  const std::string folder = fs::path(name).parent_path().string();
  std::error_code ignored;
  if (folder.empty() && name == kOldFile) {
    fs::remove(link_path(output_dir), ignored);
    remove_all_but(output_dir, "");
  } else if (is_folder_name(folder) && load_checkpoint(output_dir + "/" + folder)) {
    put_in_place(output_dir, folder);
  } else {
    throw bad_input("state", "a checkpoint at its end", "'" + name + "'");
  }
}

void link_copied_checkpoint(const std::string& output_dir) {
  const std::string link = link_path(output_dir);
  if (!fs::is_directory(fs::symlink_status(link))) return;
  CheckpointNote note;
  try {
    note = checkpoint_note(link).value_or(note);
  } catch (const Error&) {  // a broken one: whoever goes on from it is told
  }
  if (note.id == 0) note.id = new_checkpoint_id();
  io::link_folder(link, folder_name(note));
}

void tidy_checkpoints(const std::string& output_dir) {
  const std::string link = link_path(output_dir);
  io::require_links(link);
  link_copied_checkpoint(output_dir);
  const std::string target = link_target(output_dir);
  if (!target.empty()) remove_all_but(output_dir, target);
  io::remove_stale_temporaries(link);
  io::remove_stale_temporaries(output_dir + "/" + kOldFile);
}

void remove_checkpoint(const std::string& output_dir) {
  for (const char* name : {kLink, kOldFile}) fs::remove_all(output_dir + "/" + name);
  remove_all_but(output_dir, "");
}

void write_weights(const std::string& path, const std::map<std::string, at::Tensor>& weights,
                   at::ScalarType dtype) {
  std::map<std::string, at::Tensor> converted;
  for (const auto& [name, t] : weights) converted[name] = t.cpu().to(dtype);
  tensors::save_safetensors(path, converted, {{"format", "pt"}});
}

}  // namespace pangu::train
