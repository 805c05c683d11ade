// What denoisers that fill masks are told, by an encoder of closed form: latents are the mean
// colour of 8 x 8 pixels.
#include "train/masked_pictures.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <atomic>

#include "core/testing.h"
#include "train/denoiser_loss.h"
#include "train/latent_encoding.h"

namespace pangu::train {
namespace {

constexpr int64_t kFactor = 8, kHeight = 2, kWidth = 3;  // of a latent

at::Tensor mean_colours(const at::Tensor& pixels) { return at::avg_pool2d(pixels, kFactor); }

// Two pictures, of one colour each, and how often pictures were read and encoded.
struct Masked {
  std::shared_ptr<LatentSet> set = std::make_shared<LatentSet>();
  std::atomic<int> read = 0, encoded = 0;

  Masked() {
    set->downscale = kFactor;
    set->encode = [this](const at::Tensor& pixels) {
      ++encoded;
      return mean_colours(pixels);
    };
    set->grey[{kHeight, kWidth}] = at::full({3, kHeight, kWidth}, 0.125);
    for (const double colour : {0.5, -0.25}) {
      LatentItem& item = set->items.emplace_back();
      item.latent = at::full({3, kHeight, kWidth}, colour);
      item.captions = {{0}};
      item.pixels = [this, colour] {
        ++read;
        return at::full({1, 3, kHeight * kFactor, kWidth * kFactor}, colour);
      };
    }
    set->captions.states = {at::zeros({1, 3})};
  }
};

TEST_CASE("a picture that is masked as a whole is neither read nor encoded") {
  Masked m;
  Rng rng(1, 1);
  const MaskedPicture whole = masked_picture(*m.set, m.set->items[0], 1.0, rng);
  CHECK(at::equal(whole.mask, at::ones({1, kHeight, kWidth})));
  CHECK(!whole.pixels.defined());
  const at::Tensor channels = mask_channels(*m.set, {whole});
  CHECK(channels.sizes() == at::IntArrayRef({1, 4, kHeight, kWidth}));
  CHECK(at::equal(channels[0][0], at::ones({kHeight, kWidth})));
  CHECK(at::equal(channels[0].slice(0, 1), m.set->grey.begin()->second.load()));
  CHECK(m.read == 0);
  CHECK(m.encoded == 0);
}

TEST_CASE("an own mask takes the random one's place, and its corners are the latent's") {
  Masked m;
  at::Tensor mask = at::zeros({kHeight * kFactor, kWidth * kFactor}, at::kByte);
  mask.slice(0, 0, 8).slice(1, 8, 24).fill_(1);  // the first row's last two latent pixels
  mask.slice(0, 9, 16).slice(1, 1, 8).fill_(1);  // without the corner of its latent pixel
  m.set->items[0].own_mask = [mask] { return mask; };
  Rng rng(1, 1);
  const MaskedPicture one = masked_picture(*m.set, m.set->items[0], 0.0, rng);
  CHECK(at::equal(one.mask[0], at::tensor({0.0F, 1.0F, 1.0F, 0.0F, 0.0F, 0.0F}).view({2, 3})));
  const at::Tensor seen = mask_channels(*m.set, {one})[0].slice(0, 1);
  // Grey is 0 in [-1,1]. Of the first latent pixel of the second row 7 x 7 of 8 x 8 are masked.
  CHECK(seen[0][0][0].item<double>() == doctest::Approx(0.5));
  CHECK(seen[0][0][1].item<double>() == doctest::Approx(0.0));
  CHECK(seen[2][1][0].item<double>() == doctest::Approx(0.5 * 15 / 64));
  CHECK(seen[1][1][2].item<double>() == doctest::Approx(0.5));
}

TEST_CASE("masks follow from their sample, and as many are of all as asked") {
  Masked m;
  const auto mask_of = [&](uint64_t sample, double whole) {
    Rng rng(4, sample);
    return masked_picture(*m.set, m.set->items[1], whole, rng);
  };
  int whole = 0;
  constexpr int kSamples = 400;
  for (uint64_t sample = 0; sample < kSamples; ++sample) {
    const MaskedPicture one = mask_of(sample, 0.25);
    CHECK(at::equal(one.mask, mask_of(sample, 0.25).mask));
    if (!one.pixels.defined()) {
      ++whole;
      continue;
    }
    CHECK(at::equal(one.pixels, mask_of(sample, 0.0).pixels));
    CHECK(one.pixels.sizes() == at::IntArrayRef({1, 3, kHeight * kFactor, kWidth * kFactor}));
  }
  // Of 400: 100, and a deviation of 9.
  CHECK(whole > 60);
  CHECK(whole < 140);
}

TEST_CASE("a loss tells masks behind the latent, the same however a batch is cut into slices") {
  Masked m;
  TrainConfig config;
  config.train_batch_size = 4;
  config.mixed_precision = "no";
  config.caption_dropout_rate = 0;
  std::vector<at::Tensor> told;
  const DenoiserCall net = [&](const at::Tensor& x, const at::Tensor&,
                               const diffusion::Conditions& conditions) {
    CHECK(x.size(1) == 3);
    told.push_back(conditions.extra_channels);
    return x * 0.5 + conditions.extra_channels.slice(1, 0, 1);
  };
  const LossFunction loss =
      denoiser_loss(config, schedule_of(config), loss_config_of(config), {net}, m.set);
  double whole = 0, parts = 0;
  for (int64_t batch = 0; batch < 3; ++batch) {
    whole += loss({0, batch, 0, 4}).item<double>();
  }
  for (int64_t batch = 0; batch < 3; ++batch) {
    for (const int64_t first : {0, 1, 2, 3}) {
      parts += loss({0, batch, first, 1}).item<double>();
    }
  }
  REQUIRE(told.size() == 15);
  CHECK(told[0].sizes() == at::IntArrayRef({4, 4, kHeight, kWidth}));
  for (size_t batch = 0; batch < 3; ++batch) {
    for (size_t i = 0; i < 4; ++i) {
      CHECK(at::equal(told[batch][static_cast<int64_t>(i)], told[3 + 4 * batch + i][0]));
    }
  }
  CHECK(!at::equal(told[0], told[1]));
  CHECK(parts == doctest::Approx(whole));
}

TEST_CASE("a validation has one mask for each picture, whatever the noise level") {
  Masked m;
  TrainConfig config;
  config.whole_mask_probability = 0;
  std::vector<at::Tensor> told;
  const DenoiserCall net = [&](const at::Tensor& x, const at::Tensor&,
                               const diffusion::Conditions& conditions) {
    told.push_back(conditions.extra_channels);
    return at::zeros_like(x);
  };
  loss_at(config, schedule_of(config), loss_config_of(config), net, *m.set, {100, 900}, 2);
  REQUIRE(told.size() == 2);
  CHECK(told[0].sizes() == at::IntArrayRef({2, 4, kHeight, kWidth}));
  CHECK(at::equal(told[0], told[1]));
  CHECK(m.encoded == 2);
}

// A dataset of one picture that can be read as often as `reads` says.
struct Dataset {
  TestFolder folder;
  TrainConfig config;
  LatentEncoders encoders;
  data::Report report;
  int encoded = 0, reads = 2;
  std::vector<data::TrainingPicture> pictures;

  Dataset() {
    config.cache_dir = folder.file("cache");
    config.train_data_dir = {folder.file("data")};
    encoders.latents_maker = "vae";
    encoders.downscale = kFactor;
    encoders.tells_masks = true;
    encoders.latents_type = at::kFloat;
    encoders.encode = [this](const at::Tensor& pixels) {
      ++encoded;
      return mean_colours(pixels);
    };
    pictures.push_back({.key = "red",
                        .draw = [this](data::Report& report_) -> std::optional<image::Image> {
                          if (reads-- > 0) return image::filled(24, 16, {255, 0, 0});
                          report_.skip("red.png", "cut short");
                          return std::nullopt;
                        },
                        .width_px = 24,
                        .height_px = 16});
  }
};

TEST_CASE(
    "a set that tells masks reads its pictures again, and keeps a grey latent for each size") {
  Dataset d;
  const auto set = encode_training_set(d.config, d.pictures, d.encoders, d.report, {});
  REQUIRE(has_masks(*set));
  CHECK(set->downscale == kFactor);
  REQUIRE(set->grey.size() == 1);
  CHECK(set->grey.begin()->first == std::pair<int64_t, int64_t>{2, 3});
  CHECK(at::equal(set->grey.begin()->second.load(), at::zeros({3, 2, 3})));
  CHECK(d.encoded == 2);
  const at::Tensor pixels = set->items[0].pixels();
  CHECK(pixels.sizes() == at::IntArrayRef({1, 3, 16, 24}));
  CHECK(at::equal(mean_colours(pixels)[0], set->items[0].latent.load()));
  // The third reading finds a picture that is broken now.
  CHECK(contains(refusal_of([&] { set->items[0].pixels(); }), "cut short"));
  // What is in the cache is not encoded again.
  const auto again = encode_training_set(d.config, d.pictures, d.encoders, d.report, {});
  CHECK(d.encoded == 2);
  CHECK(again->grey.size() == 1);
  d.encoders.tells_masks = false;
  CHECK(!has_masks(*encode_training_set(d.config, d.pictures, d.encoders, d.report, {})));
}

}  // namespace
}  // namespace pangu::train
