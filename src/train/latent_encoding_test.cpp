// Encoding with encoders of closed form: what is computed, what is found again, what a stop keeps.
#include "train/latent_encoding.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <memory>
#include <thread>

#include "core/testing.h"

namespace pangu::train {
namespace {

// Latents are the mean colour of 8 x 8 pixels; a caption has as many tokens as bytes, each its
// byte.
struct Encoding {
  TestFolder folder;
  TrainConfig config;
  std::vector<data::TrainingPicture> pictures;
  LatentEncoders encoders;
  int encoded = 0, read = 0;
  data::Report report;

  Encoding() {
    config.cache_dir = folder.file("cache");
    config.train_data_dir = {folder.file("data")};
    encoders.latents_maker = "vae 1";
    encoders.captions_maker = "bert 1";
    encoders.downscale = 8;
    encoders.encode = [this](const at::Tensor& pixels) {
      encoded += static_cast<int>(pixels.size(0));
      return at::avg_pool2d(pixels, 8);
    };
    encoders.read = [this](const std::vector<std::string>& captions) {
      read += static_cast<int>(captions.size());
      size_t longest = 1;
      for (const std::string& text : captions) longest = std::max(longest, text.size());
      diffusion::Conditions c;
      c.context = at::zeros({int64_t(captions.size()), int64_t(longest), 2});
      c.context_mask = at::zeros({int64_t(captions.size()), int64_t(longest)}, at::kBool);
      for (size_t r = 0; r < captions.size(); ++r) {
        for (size_t k = 0; k < std::max<size_t>(1, captions[r].size()); ++k) {
          const double byte = captions[r].empty() ? 0 : captions[r][k];
          c.context[int64_t(r)][int64_t(k)] = byte;
          c.context_mask[int64_t(r)][int64_t(k)] = true;
        }
      }
      return c;
    };
    add("red", {255, 0, 0}, {"ab", "c"});
    add("green", {0, 255, 0}, {"ab"});
  }

  void add(const std::string& key, image::Color color, std::vector<std::string> captions) {
    pictures.push_back({key,
                        [color](data::Report&) -> std::optional<image::Image> {
                          return image::filled(16, 16, color, 3);
                        },
                        16,
                        16,
                        {std::move(captions), {}}});
  }
  std::shared_ptr<LatentSet> run(const EncodingWatches& watches = {}) {
    encoded = read = 0;
    return encode_training_set(config, pictures, encoders, report, watches);
  }
};

TEST_CASE("pictures that are smaller than a latent pixel are refused before one is encoded") {
  Encoding e;
  e.pictures[1].height_px = 7;
  const std::string refusal = refusal_of([&] { e.run(); });
  CHECK(contains(refusal, "at least 8 px a side"));
  CHECK(contains(refusal, "16x7"));
  CHECK(e.encoded == 0);
}

TEST_CASE("a training set has the latents of every picture and the states of every caption once") {
  Encoding e;
  const auto set = e.run();
  REQUIRE(set->items.size() == 2);
  CHECK(e.encoded == 2);
  CHECK(e.read == 3);  // the empty one, "ab" and "c"
  CHECK(set->captions.count() == 3);
  CHECK(set->items[0].latent.sizes() == at::IntArrayRef({3, 2, 2}));
  CHECK(set->items[0].latent.load()[0][0][0].item<double>() == 1.0);
  CHECK(set->items[0].latent.load()[1][0][0].item<double>() == -1.0);
  CHECK(set->items[0].captions[0] == std::vector<int32_t>{1, 2});
  CHECK(set->items[1].captions[0] == std::vector<int32_t>{1});
  CHECK(set->captions.length(1) == 2);
  CHECK(set->captions.states[2].load()[0][0].item<double>() == 'c');
}

TEST_CASE("what was computed is found again, and only what is new is computed") {
  Encoding e;
  e.run();
  e.add("blue", {0, 0, 255}, {"ab", "d"});
  const auto set = e.run();
  CHECK(set->items.size() == 3);
  CHECK(e.encoded == 1);
  CHECK(e.read == 1);
}

TEST_CASE("runs with other data or encoders have caches of their own below one cache_dir") {
  Encoding e;
  e.run();
  const std::string first = cache_folder(e.config, e.encoders);
  e.encoders.latents_maker = "vae 2";
  CHECK(cache_folder(e.config, e.encoders) != first);
  e.run();
  CHECK(e.encoded == 2);
  e.encoders.latents_maker = "vae 1";
  e.config.train_data_dir = {e.folder.file("other")};
  CHECK(cache_folder(e.config, e.encoders) != first);
  e.config.train_data_dir = {e.folder.file("data/../data")};
  CHECK(cache_folder(e.config, e.encoders) == first);
  e.run();
  CHECK(e.encoded == 0);
}

TEST_CASE("without a cache_dir nothing is kept") {
  Encoding e;
  e.config.cache_dir.clear();
  CHECK(e.run()->items.size() == 2);
  CHECK(e.run()->captions.count() == 3);
  CHECK(e.encoded == 2);
  CHECK(std::filesystem::is_empty(e.folder.path));
}

TEST_CASE("a stop keeps the captions and latents that are there by then") {
  Encoding e;
  for (int i = 0; i < 40; ++i) {
    e.add("more " + std::to_string(i), {9, 9, 9}, {"caption " + std::to_string(i)});
  }
  int asked = 0;
  const auto second_time = [&] { return ++asked == 2; };
  const auto stopped = [&](const EncodingWatches& watches) -> std::string {
    try {
      e.run(watches);
    } catch (const Stopped& stop) {
      return stop.what();
    }
    return "not stopped";
  };
  CHECK(contains(stopped({.captions = {second_time}, .latents = {}}),
                 "captions: stopped after 32 of 43"));
  CHECK(e.read == 32);
  asked = -20;  // the 23rd picture is not begun
  CHECK(contains(stopped({.captions = {}, .latents = {second_time}}), "latents: stopped after"));
  CHECK(e.read == 11);
  const int before = e.encoded;
  CHECK(before > 0);
  CHECK(e.run()->items.size() == 42);
  CHECK(e.read == 0);
  CHECK(e.encoded == 42 - before);
}

TEST_CASE("whole pictures at the size of a crop are encoded beside them, and a crop must fit") {
  Encoding e;
  e.config.latent_crop = 1;
  const auto set = e.run();
  CHECK(set->items[0].small_latent.sizes() == at::IntArrayRef({3, 1, 1}));
  e.config.latent_crop = 3;
  CHECK(contains(refusal_of([&] { e.run(); }), "latent_crop"));
}

TEST_CASE("a picture that cannot be read is left out") {
  Encoding e;
  e.pictures[0].draw = [](data::Report& report) -> std::optional<image::Image> {
    report.skip("red", "broken");
    return std::nullopt;
  };
  const auto set = e.run();
  REQUIRE(set->items.size() == 1);
  CHECK(set->items[0].captions[0] == std::vector<int32_t>{1});
  CHECK(e.report.skipped == 1);
  // Another run knows it, names it the same and does not try again.
  e.pictures[0].draw = [](data::Report&) -> std::optional<image::Image> {
    FAIL("drawn again");
    return std::nullopt;
  };
  const std::string told = e.report.text();
  e.report = {};
  CHECK(e.run()->items.size() == 1);
  CHECK(e.report.text() == told);
}

TEST_CASE("a picture that cannot be read at present ends the run, and what was encoded is kept") {
  Encoding e;
  bool is_away = true;
  e.add("far", {1, 2, 3}, {"ab"});
  e.pictures[2].draw = [&](data::Report&) -> std::optional<image::Image> {
    if (is_away) throw Error(ErrorCode::kIo, "cannot read 'far'");
    return image::filled(16, 16, {1, 2, 3}, 3);
  };
  CHECK_THROWS_AS(e.run(), Error);
  CHECK(e.encoded == 2);
  is_away = false;
  CHECK(e.run()->items.size() == 3);
  CHECK(e.encoded == 1);
  CHECK(e.report.skipped == 0);
}

TEST_CASE("several processes encode every picture and caption once, and get one set") {
  Encoding e;
  for (int i = 0; i < 3000; ++i) {
    const auto level = static_cast<uint8_t>(i % 251);
    e.add(std::to_string(i), {level, level, 9}, {"caption " + std::to_string(i % 2100)});
  }
  // As in processes of their own: each with its counts and its caches, in one folder.
  std::vector<std::shared_ptr<LatentSet>> sets(3);
  std::vector<std::unique_ptr<Encoding>> all;
  std::vector<std::thread> threads;
  for (size_t p = 0; p < sets.size(); ++p) {
    all.push_back(std::make_unique<Encoding>());
    all[p]->config = e.config;
    all[p]->pictures = e.pictures;
  }
  for (size_t p = 0; p < sets.size(); ++p)
    threads.emplace_back([&, p] { sets[p] = all[p]->run(); });
  for (std::thread& thread : threads) thread.join();
  CHECK(all[0]->encoded + all[1]->encoded + all[2]->encoded == 3002);
  CHECK(all[0]->read + all[1]->read + all[2]->read == 2103);
  for (const auto& set : sets) {
    REQUIRE(set->items.size() == 3002);
    for (size_t i = 0; i < 3002; i += 97) {
      CHECK(at::equal(set->items[i].latent.load(), sets[0]->items[i].latent.load()));
      CHECK(set->items[i].captions == sets[0]->items[i].captions);
    }
  }
}

TEST_CASE(
    "what a denoiser is told beside the captions is made of the latent, when it is asked for") {
  Encoding e;
  int made = 0;
  e.encoders.read = {};
  e.encoders.control = [&](const at::Tensor& latent) {
    ++made;
    return latent.slice(0, 0, 1) * 2;
  };
  e.encoders.picture = [](const at::Tensor& latent) { return latent.mean({1, 2}); };
  const auto set = e.run();
  CHECK(made == 0);
  CHECK(set->items[0].control()[0][0][0].item<double>() == 2.0);
  CHECK(made == 1);
  CHECK(set->items[0].picture().sizes() == at::IntArrayRef({3}));
  CHECK((set->items[0].picture().scalar_type() == at::kBFloat16));
  CHECK_FALSE(set->items[0].own_mask);
}

TEST_CASE("control pictures and masks of their own are read when they are asked for, not before") {
  Encoding e;
  std::vector<std::string> read;
  e.encoders.hint = [&](const data::TrainingPicture& picture) {
    read.push_back(picture.key);
    return at::full({3, picture.height_px, picture.width_px}, 7, at::kByte);
  };
  const auto set = e.run();
  CHECK(read.empty());
  CHECK(set->items[1].control()[0][0][0].item<int>() == 7);
  CHECK(read == std::vector<std::string>{e.pictures[1].key});
}

TEST_CASE("pooled text and sizes come along, in the types that are asked for, and are kept") {
  Encoding e;
  const auto read = e.encoders.read;
  e.encoders.read = [read](const std::vector<std::string>& captions) {
    diffusion::Conditions c = read(captions);
    c.context = at::ones({int64_t(captions.size()), 3, 2});
    c.context_mask = at::Tensor();
    c.pooled = at::full({int64_t(captions.size()), 4}, 0.1);
    return c;
  };
  e.encoders.latents_type = e.encoders.states_type = at::kFloat;
  e.encoders.fills_captions_up = true;
  e.encoders.size_numbers = [](const data::TrainingPicture& picture) {
    return std::vector<float>{static_cast<float>(picture.width_px)};
  };
  for (int run = 0; run < 2; ++run) {
    const auto set = encode_training_set(e.config, e.pictures, e.encoders, e.report, {});
    CHECK((set->items[0].latent.scalar_type() == at::kFloat));
    CHECK(set->items[0].size_numbers.item<float>() == 16.0F);
    CHECK(set->captions.are_filled_up);
    REQUIRE(set->captions.pooled.size() == 3);
    CHECK(set->captions.pooled[0].load().sizes() == at::IntArrayRef({4}));
    CHECK(set->captions.pooled[0].load()[0].item<float>() == 0.1F);
    CHECK(set->captions.states[1].sizes() == at::IntArrayRef({3, 2}));
    CHECK(e.encoded == 2);
    CHECK(e.read == 3);
  }
}

}  // namespace
}  // namespace pangu::train
