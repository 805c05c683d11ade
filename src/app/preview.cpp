#include "app/preview.h"

#include <torch/types.h>

#include <filesystem>
#include <utility>

#include "app/home.h"
#include "core/error.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

constexpr const char* kMark = "pangu-draw preview";  // its text says what it is
constexpr int kShare = 19;                           // of the time drawing gets, to one of previews
constexpr std::chrono::milliseconds kLeast{200};     // between two

bool is_preview(const std::string& path) {
  try {
    const io::MappedFile file(path);
    const auto bytes = file.bytes();
    return image::read_text({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()})
        .contains(kMark);
  } catch (const Error&) {
    return false;
  }
}

}  // namespace

Preview::Preview(std::string file, bool overwrite,
                 std::function<const pipeline::Model&(double sigma)> model_at)
    : file_(std::move(file)), model_at_(std::move(model_at)) {
  const auto format = image::format_of_name(file_);
  if (!format) {
    throw bad_input("--preview", "a name ending in .png, .jpg or .webp", "'" + file_ + "'");
  }
  format_ = *format;
  if (!overwrite && std::filesystem::exists(file_) && !is_preview(file_)) {
    throw bad_input("--preview", "a new file, or a preview from before", "'" + file_ + "'",
                    "--overwrite replaces it");
  }
  const io::AtomicWriter tried(file_);
  for (const auto& folder : tiny_autoencoder_folders(model_folders())) look_.add_folder(folder);
}

void Preview::show(const diffusion::StepInfo& step) {
  const auto start = std::chrono::steady_clock::now();
  if (start < next_) return;
  const pipeline::Model& model = model_at_(step.sigma);
  const at::NoGradGuard no_grad;
  const at::Tensor latents = step.x0[0].slice(0, 0, 1);
  look_.prepare(model, {});
  show(look_.has_tiny(model) ? look_.picture_of(model, latents[0])
                             : tensors::picture_of(model.latents.decode(latents, {})[0]));
  const auto end = std::chrono::steady_clock::now();
  next_ = end + std::max<std::chrono::steady_clock::duration>(kShare * (end - start), kLeast);
}

void Preview::show(const image::Image& picture) {
  const image::Bytes bytes = image::encode_image(picture, format_, {{kMark, "1"}});
  io::write_file_atomic(file_, std::as_bytes(std::span(bytes)));
}

}  // namespace pangu::app
