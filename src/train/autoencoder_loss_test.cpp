#include "train/autoencoder_loss.h"

#include <ATen/ATen.h>
#include <doctest/doctest.h>

#include <atomic>
#include <cmath>
#include <set>
#include <thread>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu::train;

namespace {

constexpr int64_t kSide = 8, kChannels = 2, kGrid = 32;

PicturePool pool_of(const std::vector<at::Tensor>& pictures) {
  PicturePool pool;
  for (size_t i = 0; i < pictures.size(); ++i) pool.shown.push_back(static_cast<uint32_t>(i));
  pool.read = [pictures](uint32_t picture) { return pictures[picture]; };
  return pool;
}

// What the decoder is given for samples [first, first + count) of a batch of 256 pictures that all
// encode to zero without deviation.
at::Tensor latents_seen(TrainConfig config, double latent_unit, int64_t first, int64_t count) {
  config.resolution = kSide;
  config.train_batch_size = 256;
  config.mixed_precision = "no";
  config.train_encoder = false;
  config.equivariance_probability = 0;
  at::Tensor seen;
  const AutoencoderCalls calls{[](const at::Tensor& x) {
                                 const at::Tensor zero =
                                     at::zeros({x.size(0), kChannels, kGrid, kGrid});
                                 return std::pair(zero, zero - 200);
                               },
                               [&seen](const at::Tensor& z) {
                                 seen = z.clone();
                                 return at::zeros({z.size(0), 3, kSide, kSide});
                               },
                               latent_unit};
  const at::Tensor picture = at::full({kSide, kSide, 4}, 255, at::kByte);
  autoencoder_loss(config, {calls}, {}, pool_of({picture}))({0, 0, first, count});
  return seen;
}

}  // namespace

TEST_CASE("latent noise has a level of |N(0, tau^2)| for each sample, in latent units") {
  TrainConfig config;
  CHECK(latents_seen(config, 1, 0, 4).abs().max().item<double>() < 1e-30);
  config.latent_noise = 0.3;
  const at::Tensor z = latents_seen(config, 5, 0, 256);
  const at::Tensor level = z.square().mean({1, 2, 3}).sqrt() / 5;
  // Of a half-normal: root mean square tau, mean tau sqrt(2/pi); 256 samples, four sigmas.
  CHECK(level.square().mean().sqrt().item<double>() == doctest::Approx(0.3).epsilon(0.18));
  CHECK(level.mean().item<double>() ==
        doctest::Approx(0.3 * std::sqrt(2 / std::acos(-1.0))).epsilon(0.19));
  CHECK(z.mean({1, 2, 3}).abs().max().item<double>() < 0.5);
  CHECK(latents_seen(config, 5, 0, 256).equal(z));
}

TEST_CASE("latent noise does not depend on how a batch is cut into slices") {
  TrainConfig config;
  config.latent_noise = 0.3;
  const at::Tensor whole = latents_seen(config, 1, 0, 8);
  CHECK(latents_seen(config, 1, 0, 3).equal(whole.slice(0, 0, 3)));
  CHECK(latents_seen(config, 1, 3, 5).equal(whole.slice(0, 3)));
}

TEST_CASE("sizes without whole latents, or too small for what looks at them, are refused") {
  TrainConfig config;
  const auto refusal = [&](int64_t resolution, double halved, int64_t least_seen_px) {
    config.resolution = resolution;
    config.equivariance_probability = halved;
    return pangu::refusal_of([&] { check_autoencoder_sizes(config, 8, least_seen_px); });
  };
  CHECK(refusal(8, 0, 0) == "accepted");
  CHECK(refusal(16, 0.3, 4) == "accepted");
  // One latent pixel cannot be halved; half of three is none.
  CHECK(pangu::contains(refusal(8, 0.3, 0), "a multiple of 16 px"));
  CHECK(pangu::contains(refusal(24, 0.3, 0), "found 24"));
  CHECK(pangu::contains(refusal(24, 0.3, 0), "equivariance_probability = 0"));
  CHECK(pangu::contains(refusal(20, 0, 0), "a multiple of 8 px"));
  CHECK(pangu::contains(refusal(8, 0, 16), "at least 16 px for perceptual_weights"));
  CHECK(pangu::contains(refusal(16, 0.3, 16), "at least 32 px"));
}

// Calls that pass on what they are given, so that the loss is 0 and `seen` gets the samples.
AutoencoderCalls mirror(std::vector<at::Tensor>& seen) {
  return {[&seen](const at::Tensor& x) {
            seen.push_back(x.clone());
            return std::pair(x, at::zeros_like(x) - 200);
          },
          [](const at::Tensor& z) { return z; }};
}

TrainConfig plain_config(int64_t batch_size) {
  TrainConfig config;
  config.resolution = kSide;
  config.train_batch_size = batch_size;
  config.mixed_precision = "no";
  config.equivariance_probability = 0;
  return config;
}

TEST_CASE("a picture that is smaller than the crops of it is refused") {
  const auto refusal = [&](int64_t height, int64_t width) {
    std::vector<at::Tensor> seen;
    const auto loss = autoencoder_loss(plain_config(1), {mirror(seen)}, {},
                                       pool_of({at::zeros({height, width, 4}, at::kByte)}));
    return pangu::refusal_of([&] { loss({0, 0, 0, 1}); });
  };
  CHECK(refusal(kSide, kSide + 3) == "accepted");
  CHECK(pangu::contains(refusal(kSide, kSide - 1), "found 7 x 8"));
  CHECK(pangu::contains(refusal(kSide - 2, kSide), "resolution = 8 px"));
}

TEST_CASE("an epoch shows every picture once, alike in one slice or several, from any batch on") {
  constexpr int64_t kPictures = 12, kBatch = 4;
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < kPictures; ++i) {
    pictures.push_back(at::full({2 * kSide, 2 * kSide, 4}, 255, at::kByte));
    pictures.back().slice(2, 0, 3).fill_(i);
  }
  const TrainConfig config = plain_config(kBatch);
  std::vector<at::Tensor> whole, parts, later;
  const auto all = autoencoder_loss(config, {mirror(whole)}, {}, pool_of(pictures));
  for (int64_t b = 0; b < kPictures / kBatch; ++b) all({0, b, 0, kBatch});
  std::set<double> values;
  const at::Tensor samples = at::cat(whole);
  for (int64_t i = 0; i < kPictures; ++i) values.insert(samples[i].max().item<double>());
  CHECK(values.size() == kPictures);

  const auto cut = autoencoder_loss(config, {mirror(parts)}, {}, pool_of(pictures));
  for (int64_t b = 0; b < kPictures / kBatch; ++b) {
    cut({0, b, 0, 1});
    cut({0, b, 1, kBatch - 1});
  }
  CHECK(at::cat(parts).equal(samples));
  autoencoder_loss(config, {mirror(later)}, {}, pool_of(pictures))({0, 2, 0, kBatch});
  CHECK(later.front().equal(samples.slice(0, 2 * kBatch)));
}

TEST_CASE("a broken picture's place is taken by the next one, and the others keep theirs") {
  constexpr int64_t kPictures = 6;
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < kPictures; ++i) {
    pictures.push_back(at::full({kSide, kSide, 4}, 255, at::kByte));
    pictures.back().slice(2, 0, 3).fill_(10 * i);
  }
  const auto samples_of = [&](const PicturePool& pool) {
    std::vector<at::Tensor> seen;
    autoencoder_loss(plain_config(kPictures), {mirror(seen)}, {}, pool)({0, 0, 0, kPictures});
    return seen.front();
  };
  const at::Tensor before = samples_of(pool_of(pictures));
  const at::Tensor fifth = pictures[4];
  pictures[3] = pictures[4] = at::Tensor();
  const at::Tensor after = samples_of(pool_of(pictures));
  int64_t changed = 0;
  const double last = (50.0 / 255 - 0.5) * 2;
  for (int64_t i = 0; i < kPictures; ++i) {
    if (after[i].equal(before[i])) continue;
    ++changed;
    CHECK(after[i].max().item<double>() == doctest::Approx(last));
  }
  CHECK(changed == 2);
  // From the end on to the first.
  PicturePool pool = pool_of({at::Tensor(), fifth, at::Tensor()});
  CHECK(picture_at(pool, 2).equal(fifth));
  pool = pool_of({at::Tensor(), at::Tensor()});
  CHECK(pangu::contains(pangu::refusal_of([&] { picture_at(pool, 0); }), "at least one picture"));
}

TEST_CASE("pictures are read beside the step, and no more of them than the next batches need") {
  constexpr int64_t kBatch = 2, kBatches = 10;
  std::atomic<int64_t> reads = 0;
  PicturePool pool;
  for (uint32_t i = 0; i < 1000; ++i) pool.shown.push_back(i);
  pool.read = [&](uint32_t) {
    ++reads;
    return at::full({kSide, kSide, 4}, 255, at::kByte);
  };
  std::vector<at::Tensor> seen;
  const auto wait = std::make_shared<DataWait>();
  {
    const auto loss = autoencoder_loss(plain_config(kBatch), {mirror(seen)}, {}, pool, wait);
    loss({0, 0, 0, kBatch});
    // The next two batches are read though nobody asks for them.
    for (int tries = 0; reads < 3 * kBatch && tries < 2000; ++tries) {
      std::this_thread::sleep_for(std::chrono::milliseconds(5));
    }
    CHECK(reads == 3 * kBatch);
    for (int64_t b = 1; b < kBatches; ++b) loss({0, b, 0, kBatch});
  }
  CHECK(reads >= kBatches * kBatch);
  CHECK(reads <= (kBatches + 2) * kBatch);
  CHECK(wait->seconds() > 0);
}

TEST_CASE("what cannot be read at present ends the training with its own error") {
  PicturePool pool = pool_of({at::full({kSide, kSide, 4}, 255, at::kByte)});
  pool.read = [](uint32_t) -> at::Tensor {
    throw pangu::Error(pangu::ErrorCode::kIo, "the server is away");
  };
  std::vector<at::Tensor> seen;
  const auto loss = autoencoder_loss(plain_config(1), {mirror(seen)}, {}, pool);
  CHECK_THROWS_WITH(loss({0, 0, 0, 1}), "the server is away");
}

// Calls whose one weight scales what is decoded, and a discriminator that likes bright places. What
// looks at the pictures is the pictures themselves.
struct Judged {
  at::Tensor weight = at::full({1}, 0.5).requires_grad_();
  at::Tensor taste = at::full({1}, 0.3).requires_grad_();

  AutoencoderCalls calls() const {
    AutoencoderCalls calls{
        [](const at::Tensor& x) { return std::pair(x, at::zeros_like(x) - 200); },
        [w = weight](const at::Tensor& z) { return z * w; }};
    calls.discriminate = [t = taste](const LayerFeatures& features, bool learns) {
      const at::Tensor bright = features[0].mean(1, /*keepdim=*/true);
      return std::vector<at::Tensor>{bright * (learns ? t : t.detach())};
    };
    return calls;
  }
};

struct Found {
  double loss, weight, taste;  // the value, and the gradients; NaN: none
};

Found judged_loss(TrainConfig config, const std::vector<Slice>& slices,
                  const std::shared_ptr<Gauges>& gauges = nullptr) {
  config.train_encoder = false;
  config.perceptual_weight = 0;
  const Judged net;
  std::vector<at::Tensor> pictures;
  for (int64_t i = 0; i < 4; ++i) {
    pictures.push_back(at::full({2 * kSide, 2 * kSide, 4}, 255, at::kByte));
    pictures.back().slice(2, 0, 3).fill_(20 + 60 * i);
  }
  const auto loss = autoencoder_loss(
      config, {net.calls()}, [](const at::Tensor& x) { return std::vector<at::Tensor>{x}; },
      pool_of(pictures), nullptr, gauges);
  Found found{};
  for (const Slice& slice : slices) {
    const at::Tensor sum = loss(slice);
    sum.backward();
    found.loss += sum.item<double>();
  }
  const auto gradient = [](const at::Tensor& p) {
    return p.grad().defined() ? p.grad().item<double>() : std::nan("");
  };
  found.weight = gradient(net.weight);
  found.taste = gradient(net.taste);
  return found;
}

TEST_CASE("a discriminator learns from its start on, and the decoder from it later") {
  TrainConfig config = plain_config(4);
  config.gradient_accumulation_steps = 2;
  const auto at_batch = [&](int64_t batch, const std::shared_ptr<Gauges>& gauges = nullptr) {
    return judged_loss(config, {{0, batch, 0, 4}}, gauges);
  };
  config.discriminator_start = config.adversarial_start = 100;
  const Found plain = at_batch(4);  // of step 2
  CHECK(std::isnan(plain.taste));

  config.discriminator_start = 2;
  const Found learning = at_batch(4);
  CHECK(std::isnan(at_batch(3).taste));
  CHECK(std::abs(learning.taste) > 1e-6);
  CHECK(learning.loss == doctest::Approx(plain.loss));
  CHECK(learning.weight == doctest::Approx(plain.weight));

  config.adversarial_start = 2;
  const auto listening = [&](double weight, const std::shared_ptr<Gauges>& gauges = nullptr) {
    config.adversarial_weight = weight;
    return at_batch(4, gauges);
  };
  const auto gauges = std::make_shared<Gauges>();
  const Found once = listening(0.5, gauges), twice = listening(1);
  CHECK(once.taste == doctest::Approx(learning.taste));
  const std::map<std::string, double> means = gauges->take();
  CHECK(means.size() == 2);
  CHECK(once.loss == doctest::Approx(plain.loss + 0.5 * 4 * means.at("adversarial_loss")));
  CHECK(std::abs(once.weight - plain.weight) > 1e-4);
  CHECK(twice.weight - plain.weight == doctest::Approx(2 * (once.weight - plain.weight)));
  CHECK(means.at("discriminator_loss") > 0);
  CHECK(gauges->take().empty());
}

TEST_CASE("adversarial gradients do not depend on how a batch is cut into slices") {
  TrainConfig config = plain_config(4);
  config.adversarial_weight = 0.5;
  const Found whole = judged_loss(config, {{0, 0, 0, 4}});
  const Found parts = judged_loss(config, {{0, 0, 0, 1}, {0, 0, 1, 3}});
  CHECK(parts.loss == doctest::Approx(whole.loss).epsilon(1e-6));
  CHECK(parts.weight == doctest::Approx(whole.weight).epsilon(1e-5));
  CHECK(parts.taste == doctest::Approx(whole.taste).epsilon(1e-5));
}
