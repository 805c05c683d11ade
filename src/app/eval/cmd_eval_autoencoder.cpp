// `pangu-draw eval autoencoder`: what an autoencoder makes of real pictures, and of their latents
// with the noise that a generator leaves in its own.
#include <torch/types.h>

#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/eval/eval_files.h"
#include "app/home.h"
#include "core/error.h"
#include "core/rng.h"
#include "data/dataset.h"
#include "eval/detail.h"
#include "eval/features.h"
#include "eval/frechet.h"
#include "eval/reconstruction.h"
#include "io/atomic_file.h"
#include "nn/features/vgg.h"
#include "pipeline/families/autoencoders.h"
#include "tensors/pictures.h"
#include "tensors/safetensors.h"
#include "train/autoencoder_loss.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using nlohmann::json;

constexpr uint64_t kEvalNoiseStream = 0x6e6f;

void check_eval_autoencoder(const EvalAutoencoderArgs& args) {
  if (args.data.empty()) {
    throw bad_input("--data", "a dataset folder", "nothing", "`pangu-draw data build` makes one");
  }
  check_folders_of({args.json});
}

// A model's folder, or its autoencoder's.
std::string folder_of_autoencoder(const std::string& said) {
  const fs::path model = model_path(said);
  return (fs::exists(model / "vae") ? model / "vae" : model).string();
}

// Pictures spread over those of the split, as the networks read them.
std::vector<image::Image> pictures_to_encode(const EvalAutoencoderArgs& args) {
  data::Report report;
  std::vector<data::Item> items = data::open_dataset(args.data, report);
  if (!report.is_clean()) std::cerr << report.text() << "\n";
  std::erase_if(items, [&](const data::Item& item) { return item.split != args.split; });
  if (items.size() < 2) {
    throw bad_input("--split", "a split of two pictures at least",
                    "'" + args.split + "' with " + std::to_string(items.size()));
  }
  const size_t count = std::min(items.size(), static_cast<size_t>(args.pictures));
  std::vector<image::Image> pictures;
  for (size_t i = 0; i < count; ++i) {
    pictures.push_back(data::render_item(items[i * items.size() / count], args.size_px));
  }
  return pictures;
}

// What is measured of pictures that were decoded, beside the real ones.
class DecoderRuler {
 public:
  DecoderRuler(const EvalAutoencoderArgs& args, const std::vector<image::Image>& real)
      : real_(real), batch_(static_cast<size_t>(args.batch)) {
    if (!args.vgg.empty()) {
      vgg_ = std::make_unique<nn::Vgg16>(nn::VggConfig{nn::kPerceptualDepth},
                                         tensors::load_safetensors(args.vgg));
    }
    if (!args.inception.empty()) {
      inception_ = eval::inception_features(args.inception);
      features_ = inception_->features_of(real, /*with_final=*/false, {});
    }
    for (size_t i = 0; i < real.size(); i += batch_) detail_ += eval::detail_of(reals(i));
  }

  json measure(const std::function<at::Tensor(size_t first, size_t end)>& drawn,
               const OnProgress& progress) const {
    double psnr = 0, distance = 0;
    eval::Detail detail;
    std::vector<image::Image> pictures;
    Progress now;
    now.total = static_cast<int64_t>(real_.size());
    now.unit = "pictures";
    for (size_t i = 0; i < real_.size(); i += batch_) {
      const at::Tensor found = drawn(i, end_of(i)), wanted = reals(i);
      psnr += eval::psnr_db(found, wanted).sum().item<double>();
      detail += eval::detail_of(found.clamp(-1, 1));
      if (vgg_) {
        distance += train::perceptual_distance(vgg_->features(found), vgg_->features(wanted))
                        .sum()
                        .item<double>();
      }
      for (int64_t k = 0; k < found.size(0); ++k) {
        pictures.push_back(tensors::picture_of(found[k]));
      }
      now.done = static_cast<int64_t>(pictures.size());
      progress(now);
    }
    const auto count = static_cast<double>(real_.size());
    json result = {{"psnr_db", psnr / count},
                   {"middle_detail", detail.middle / detail_.middle},
                   {"fine_detail", detail.fine / detail_.fine}};
    if (vgg_) result["vgg_distance"] = distance / count;
    if (inception_) {
      const eval::Features features =
          inception_->features_of(pictures, /*with_final=*/false, progress);
      result["mixed6_distance"] =
          (features.mixed6 - features_.mixed6).norm(2, 1).mean().item<double>();
      result["mixed6_frechet"] = eval::frechet_distance(features.mixed6, features_.mixed6);
    }
    return result;
  }

  at::Tensor reals(size_t first) const { return batch_of(real_, first, end_of(first)); }

 private:
  size_t end_of(size_t first) const { return std::min(real_.size(), first + batch_); }

  const std::vector<image::Image>& real_;
  size_t batch_;
  std::unique_ptr<nn::Vgg16> vgg_;
  std::optional<eval::FeatureSource> inception_;
  eval::Features features_;
  eval::Detail detail_;
};

eval::Table reconstruction_table(const json& scores) {
  eval::Table table;
  table.title = "Autoencoder: " + scores["autoencoder"].get<std::string>();
  table.note =
      "Of " + scores["pictures"].dump() +
      " real pictures, encoded and decoded; noise is on the latents, by their deviation. Detail is "
      "the energy of decoded pictures by that of the real ones, of 1/8 to 1/4 cycles a pixel and "
      "above. Distances are means over pictures, but Frechet's.";
  table.header = {"latent noise",    "PSNR, dB",      "VGG distance", "mixed6 distance",
                  "Frechet, mixed6", "middle detail", "fine detail"};
  for (const json& row : scores["rows"]) {
    const auto number = [&](const char* key, int digits) {
      return row.contains(key) ? eval::fixed(row[key].get<double>(), digits) : "-";
    };
    table.rows.push_back({number("latent_noise", 2), number("psnr_db", 2),
                          number("vgg_distance", 4), number("mixed6_distance", 3),
                          number("mixed6_frechet", 3), number("middle_detail", 3),
                          number("fine_detail", 3)});
  }
  return table;
}

}  // namespace

int run_eval_autoencoder(const EvalAutoencoderArgs& args) {
  check_eval_autoencoder(args);
  const at::NoGradGuard no_grad;
  pipeline::LoadOptions load;
  load.dtype = load.vae_dtype = "f32";
  const std::string folder = folder_of_autoencoder(args.model);
  const pipeline::LatentCodec codec = pipeline::open_latent_codec(folder, load);
  if (!codec.encode) {
    throw bad_input("--model", "an autoencoder that encodes", "'" + folder + "', a decoder");
  }
  if (args.size_px % codec.downscale != 0) {
    throw bad_input("--size", "a multiple of " + std::to_string(codec.downscale),
                    std::to_string(args.size_px));
  }
  const std::vector<image::Image> real = pictures_to_encode(args);
  Bars bars(args.quiet);
  const DecoderRuler ruler(args, real);
  std::vector<at::Tensor> latents;
  for (size_t i = 0; i < real.size(); i += static_cast<size_t>(args.batch)) {
    latents.push_back(codec.encode(ruler.reals(i), {}).mean);
  }
  const at::Tensor all = at::cat(latents);
  const double deviation = all.std().item<double>();
  json scores = {{"autoencoder", shown_path(folder)},
                 {"data", shown_path(args.data)},
                 {"split", args.split},
                 {"pictures", real.size()},
                 {"rows", json::array()}};
  for (const double level : args.noise) {
    at::Tensor noise = at::empty(all.sizes());
    fill_normal(args.seed, kEvalNoiseStream, 0, noise.data_ptr<float>(),
                static_cast<size_t>(noise.numel()));
    const at::Tensor seen = all + noise * (level * deviation);
    json row = ruler.measure(
        [&](size_t first, size_t end) {
          return codec.decode(seen.slice(0, int64_t(first), int64_t(end)), {});
        },
        [&](const Progress& progress) { bars("noise " + eval::fixed(level, 2), progress); });
    row["latent_noise"] = level;
    scores["rows"].push_back(row);
  }
  bars.finish();
  print_tables({reconstruction_table(scores)});
  if (!args.json.empty()) io::write_file_atomic(args.json, scores.dump(2) + "\n");
  return 0;
}

}  // namespace pangu::app
