#include "pipeline/families/packed_files.h"

#include <torch/nn.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/error.h"
#include "core/hash.h"
#include "io/atomic_file.h"
#include "io/safetensors.h"
#include "nn/packed_tensors.h"
#include "tensors/bytes.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

namespace fs = std::filesystem;

constexpr const char* kPackedSuffix = ".packed";
constexpr const char* kPackedFormat = "pangu-packed-1";
constexpr uintmax_t kMostFolderBytes = uintmax_t{24} << 30;
constexpr size_t kFewestBytes = size_t{128} << 20;  // of a component's weights
constexpr size_t kDataAlignment = 64;               // that kernels ask of packed weights
constexpr size_t kDigits = 32;

size_t weight_bytes_of(const Component& component) {
  size_t bytes = 0;
  for (const auto& [name, named] : component.tensors) bytes += named.view.size_bytes;
  return bytes;
}

// Numbers of packed weights go in front, as I64, whose size keeps all of them aligned; the header
// is filled up to the alignment of the first.
struct PackedContent {
  nn::TensorMap tensors;
  io::TensorViews views;  // of the tensors
  io::Metadata metadata;
};

PackedContent content_of(const torch::nn::Module& network) {
  PackedContent content;
  content.metadata = {{"format", kPackedFormat}, {"fill", ""}};
  for (auto& [name, tensor] : nn::packed_tensors(network)) {
    const bool is_packed = name.find(':') != std::string::npos;
    const at::Tensor kept = is_packed ? tensor.view(at::kLong) : tensor.contiguous();
    content.views[name] = tensors::bytes_of(kept, name);
    content.tensors[name] = kept;
  }
  const size_t header = io::safetensors_layout(content.views, content.metadata).header.size();
  content.metadata["fill"].assign((kDataAlignment - header % kDataAlignment) % kDataAlignment, ' ');
  return content;
}

// Removes the files that were used longest ago until `more` bytes find room.
void make_room(const fs::path& folder, uintmax_t more) {
  struct Kept {
    fs::file_time_type used;
    uintmax_t size;
    fs::path path;
  };
  std::vector<Kept> all;
  std::error_code failed;
  for (const auto& entry : fs::directory_iterator(folder, failed)) {
    if (entry.path().extension() != kPackedSuffix) continue;
    all.push_back({entry.last_write_time(failed), entry.file_size(failed), entry.path()});
    more += all.back().size;
  }
  std::sort(all.begin(), all.end(), [](const Kept& a, const Kept& b) { return a.used < b.used; });
  for (const Kept& oldest : all) {
    if (more <= kMostFolderBytes) return;
    if (fs::remove(oldest.path, failed)) more -= oldest.size;
  }
}

void write_file(const torch::nn::Module& network, const std::string& path) {
  const PackedContent content = content_of(network);
  const auto layout = io::safetensors_layout(content.views, content.metadata);
  uintmax_t size = layout.header.size();
  for (const auto& [name, view] : content.views) size += view.size_bytes;
  const fs::path folder = fs::path(path).parent_path();
  fs::create_directories(folder);
  io::remove_stale_temporaries(path);
  make_room(folder, size);
  if (fs::space(folder).available / 2 < size) return;
  io::AtomicWriter writer(path);
  writer.write(layout.header);
  for (const auto* tensor : layout.order) {
    writer.write({tensor->second.data, tensor->second.size_bytes});
  }
  writer.commit();
}

}  // namespace

std::string packed_file_of(const std::string& folder, const Component& component,
                           at::ScalarType dtype) {
  if (folder.empty() || !component.files || weight_bytes_of(component) < kFewestBytes) return "";
  if (!nn::has_packed_products()) return "";
  Sha256 key;
  key.update(fingerprint_of(component) + " " + component.config.dump() + " " +
             c10::toString(dtype) + " " + nn::packing_mark(nn::Packing::kBf16));
  for (const io::WeightsFile& file : *component.files) {
    for (const std::string& path : file.paths()) {
      std::error_code failed;
      key.update(" " + std::to_string(fs::file_size(path, failed)) + " " +
                 std::to_string(fs::last_write_time(path, failed).time_since_epoch().count()));
    }
  }
  return (fs::path(folder) / (hex_of(key.digest()).substr(0, kDigits) + kPackedSuffix)).string();
}

bool read_packed_file(torch::nn::Module& network, const std::string& path, at::ScalarType dtype) {
  std::error_code failed;
  if (path.empty() || !fs::is_regular_file(path, failed)) return false;
  try {
    nn::TensorMap tensors = tensors::load_safetensors(path, /*copy=*/false);
    for (auto& [name, tensor] : tensors) {
      if (name.find(':') != std::string::npos) tensor = tensor.view(at::kBFloat16);
    }
    if (!nn::assign_packed(network, std::move(tensors), dtype, nn::Packing::kBf16)) return false;
  } catch (const Error&) {
    return false;
  }
  network.eval();
  // When it was used, for make_room.
  fs::last_write_time(path, fs::file_time_type::clock::now(), failed);
  return true;
}

struct PackedFileWriter::Work {
  std::shared_ptr<const torch::nn::Module> network;
  std::string path;
  std::jthread thread;  // the last member: it uses the others
};

PackedFileWriter::PackedFileWriter(std::shared_ptr<const torch::nn::Module> network,
                                   std::string path) {
  if (path.empty()) return;
  work_ = std::make_unique<Work>(Work{std::move(network), std::move(path), {}});
  work_->thread = std::jthread([work = work_.get()] {
    try {
      write_file(*work->network, work->path);
    } catch (const std::exception&) {  // a full disk, a folder that cannot be written
    }
  });
}

PackedFileWriter::~PackedFileWriter() = default;

}  // namespace pangu::pipeline
