// Tests the whole evaluation on a dataset of coloured squares, with features that count colours,
// for a generator that draws exactly what it is asked and one that never does.
#include "eval/evaluate.h"

#include <doctest/doctest.h>
#include <torch/types.h>
#include <unistd.h>

#include <array>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "core/error.h"
#include "data/dataset.h"
#include "data/scenes.h"

namespace pangu::eval {
namespace {

namespace fs = std::filesystem;

constexpr int kConcepts = 10;
constexpr const char* kStyles[] = {"3d", "flat", "shaded"};
constexpr std::array<image::Color, kConcepts> kPalette = {{{220, 0, 0},
                                                           {0, 160, 0},
                                                           {0, 0, 220},
                                                           {240, 220, 0},
                                                           {0, 200, 220},
                                                           {220, 0, 220},
                                                           {0, 0, 0},
                                                           {120, 60, 0},
                                                           {255, 140, 0},
                                                           {90, 90, 90}}};

// A concept is a colour, a style is how much of the picture the square covers.
image::Image square_picture(int concept_number, int style) {
  const int side = 24 + 16 * style;
  image::Image picture = image::filled(64, 64, {}, 4);
  for (size_t i = 3; i < picture.pixels.size(); i += 4) picture.pixels[i] = 0;
  image::paste(picture, image::filled(side, side, kPalette[size_t(concept_number)]),
               {(64 - side) / 2, (64 - side) / 2, side, side});
  return picture;
}

struct World {
  fs::path folder = fs::temp_directory_path() / ("pangu-eval-test-" + std::to_string(getpid()));
  std::vector<data::Item> items;
  int64_t pictures_looked_at = 0;
  FeatureSource source;

  World() {
    fs::create_directories(folder);
    for (int c = 0; c < kConcepts; ++c) {
      for (int s = 0; s < 3; ++s) add_item(c, s);
    }
    source.fingerprint = "shares of colours";
    source.features_of = [this](const std::vector<image::Image>& pictures, bool with_final,
                                const OnProgress&) {
      pictures_looked_at += int64_t(pictures.size());
      const Features found = shares(pictures);
      return Features{found.mixed6, with_final ? found.final : at::Tensor()};
    };
  }
  ~World() { fs::remove_all(folder); }

  void add_item(int c, int s) {
    data::Item item;
    item.id = std::to_string(c) + kStyles[s];
    item.concept_id = item.concept_name = "c" + std::to_string(c);
    item.name_en = "thing" + std::to_string(c);
    item.name_zh = "物" + std::to_string(c);
    item.measure_zh = "个";
    item.style = kStyles[s];
    item.captions_en = {item.name_en + ", " + item.style};
    item.captions_zh = {item.name_zh + "，" + item.style};
    item.width = item.height = 64;
    item.has_alpha = true;
    item.split = c == 9 ? "heldout_concept" : c % 3 == s && c < 6 ? "heldout_pair" : "train";
    item.bytes.path = (folder / (item.id + ".png")).string();
    const image::Bytes png = image::encode_png(square_picture(c, s));
    std::ofstream(item.bytes.path, std::ios::binary)
        .write(reinterpret_cast<const char*>(png.data()), long(png.size()));
    items.push_back(item);
  }

  // Returns the share of each colour of the palette and of white among the pixels.
  static Features shares(const std::vector<image::Image>& pictures) {
    at::Tensor rows = at::zeros({int64_t(pictures.size()), kConcepts + 1});
    for (size_t p = 0; p < pictures.size(); ++p) {
      const image::Image& picture = pictures[p];
      std::array<float, kConcepts + 1> count{};
      for (size_t i = 0; i < picture.pixels.size(); i += 3 * 7) {
        int best = 1 << 30, nearest = 0;
        for (int c = 0; c <= kConcepts; ++c) {
          const image::Color at = c < kConcepts ? kPalette[size_t(c)] : image::Color{};
          const int dr = picture.pixels[i] - at.r, dg = picture.pixels[i + 1] - at.g,
                    db = picture.pixels[i + 2] - at.b, far = dr * dr + dg * dg + db * db;
          if (far < best) best = far, nearest = c;
        }
        count[size_t(nearest)] += 21.0f / float(picture.pixels.size());
      }
      rows[int64_t(p)].copy_(at::tensor(at::ArrayRef<float>(count.data(), count.size())));
    }
    return {rows, rows.sqrt()};
  }

  // Draws what a prompt says; `wrong` draws the next concept instead, in one style.
  Generator generator(bool wrong) const {
    std::map<std::string, image::Image> known;
    for (int c = 0; c < kConcepts; ++c) {
      for (int s = 0; s < 3; ++s) {
        const data::Item& item = items[size_t(3 * c + s)];
        const data::Item& shown = items[size_t(wrong ? 3 * ((c + 1) % kConcepts) : 3 * c + s)];
        const image::Image picture = data::render_item(shown, kPicturePx);
        known[item.captions_en[0]] = known[item.captions_zh[0]] = picture;
      }
    }
    for (const data::ScenePlan& plan : data::SceneBook(items, {}).held_out_scenes(8)) {
      const image::Image picture =
          data::draw_scene(plan, [&](size_t i) { return data::load_image(items[i]); }).picture;
      known[plan.captions_en.back()] = known[plan.captions_zh.back()] =
          wrong ? image::filled(256, 256, {}) : picture;
    }
    return [known](const std::vector<Wish>& wishes) {
      std::vector<image::Image> pictures;
      for (const Wish& wish : wishes) pictures.push_back(known.at(wish.prompt));
      return pictures;
    };
  }

  Evaluation evaluated(bool wrong) const {
    EvalOptions options;
    options.parts = {"probe", "frechet", "scenes"};
    options.prompts = 6;
    options.scenes = 8;
    options.reconstruct = [](const std::vector<image::Image>& pictures) { return pictures; };
    return evaluate(items, source, (folder / "features.safetensors").string(), generator(wrong),
                    options);
  }
};

TEST_CASE(
    "a generator that draws exactly what it is asked has every hit and the floor's distance") {
  World world;
  const Scores scores = world.evaluated(false).scores;
  CHECK(scores.probe.pictures == 30);
  // A size in which a colour was never trained may confuse the first guess, but not the first five.
  CHECK(scores.probe.own_concept.count == 6);
  CHECK(scores.probe.own_concept.top5 == 6);
  REQUIRE(scores.groups.size() == 6);
  for (const GroupScore& g : scores.groups) {
    CHECK(g.concept_hits.count == (g.group == "heldout_concept" ? 1 : 6));
    CHECK(g.concept_hits.top1 == g.concept_hits.count);
    CHECK(g.style_hits.top1 == g.style_hits.count);
  }
  REQUIRE(scores.styles.size() == 3);
  int64_t asked = 0;
  for (const StyleScore& s : scores.styles) {
    for (const auto& [style, count] : s.seen) {
      CHECK((style == s.asked || count == 0));
      asked += count;
    }
  }
  CHECK(asked == 26);  // 13 pictures in each language
  for (const LanguageScore& l : scores.languages) {
    CHECK(l.top1_points == 0);
    CHECK(l.only_en + l.only_zh == 0);
  }
  CHECK(scores.probe.coded_concept == scores.probe.own_concept);
  CHECK(scores.probe.coded_style == scores.probe.own_style);
  REQUIRE(scores.frechet.size() == 5);
  CHECK(scores.frechet[0].count == 13);
  CHECK(scores.frechet[0].reference == 17);
  CHECK(scores.frechet[0].mixed6 == doctest::Approx(scores.frechet[4].mixed6));
  CHECK(scores.frechet[3].mixed6 == doctest::Approx(scores.frechet[4].mixed6));
  for (const size_t row : {0, 1, 3, 4}) {
    CHECK(scores.frechet[row].middle_detail == doctest::Approx(1));
    CHECK(scores.frechet[row].fine_detail == doctest::Approx(1));
  }
  REQUIRE(scores.scenes.size() == 4);
  const SceneScore &drawn = scores.scenes[0], &composed = scores.scenes[3];
  CHECK(drawn.scenes == 8);
  CHECK(drawn.in_top5 == composed.in_top5);
  CHECK(drawn.position_fits == drawn.positions);
  CHECK(drawn.in_top5 == drawn.things);
}

TEST_CASE("a generator that always draws something else has no hit and lies far away") {
  World world;
  const Evaluation found = world.evaluated(true);
  for (const GroupScore& g : found.scores.groups) {
    CHECK(g.concept_hits.top1 == 0);
    CHECK(g.style_hits.top1 < g.style_hits.count + (g.concept_hits.count == 1));
  }
  // Everything was drawn in the first style, and is seen so whatever was asked for.
  for (const StyleScore& s : found.scores.styles) CHECK(s.seen[1].second + s.seen[2].second == 0);
  CHECK(found.scores.frechet[0].mixed6 > 1.25 * found.scores.frechet[4].mixed6);
  CHECK(found.scores.scenes[0].position_fits == 0);
  SUBCASE("and its grids show what was asked") {
    REQUIRE(found.sheets.size() == found.scores.grids.size());
    REQUIRE(found.sheets.size() == 6);
    for (const auto& [grid, picture] : found.sheets) {
      CHECK(!grid.prompts.empty());
      CHECK(picture.width > picture.height / 2);
    }
    CHECK(found.sheets[0].first.prompts.size() == 9);  // three concepts have every style
  }
}

TEST_CASE("real pictures are looked at once, until one of them changes") {
  World world;
  const FeatureSource& source = world.source;
  const std::string cache = (world.folder / "kept.safetensors").string();
  const Features first = real_features(source, world.items, cache);
  CHECK(world.pictures_looked_at == 30 * kViews);
  const Features again = real_features(source, world.items, cache);
  CHECK(world.pictures_looked_at == 30 * kViews);
  CHECK(at::equal(first.mixed6, again.mixed6));
  CHECK(at::equal(first.final, again.final));
  fs::copy_file(world.items[0].bytes.path, world.items[5].bytes.path,
                fs::copy_options::overwrite_existing);
  const Features changed = real_features(source, world.items, cache);
  CHECK(world.pictures_looked_at == 2 * 30 * kViews);
  CHECK(at::equal(changed.mixed6[5], first.mixed6[0]));
  std::ofstream(cache) << "not a cache";
  CHECK(at::equal(real_features(source, world.items, cache).mixed6, changed.mixed6));
}

TEST_CASE("features that were interrupted go on where they were") {
  World world;
  const std::string cache = (world.folder / "cut.safetensors").string();
  const auto look = world.source.features_of;
  world.source.features_of = [&](const std::vector<image::Image>& pictures, bool with_final,
                                 const OnProgress& progress) {
    if (world.pictures_looked_at >= 46) throw std::runtime_error("power cut");
    return look(pictures, with_final, progress);
  };
  CHECK_THROWS_AS(real_features(world.source, world.items, cache, {}, 16), std::runtime_error);
  const int64_t before = world.pictures_looked_at;
  world.source.features_of = look;
  const Features found = real_features(world.source, world.items, cache, {}, 16);
  CHECK(world.pictures_looked_at - before < 60 - 30);
  const Features whole = real_features(world.source, world.items, cache + ".whole");
  CHECK(at::equal(found.mixed6, whole.mixed6));
  CHECK(at::equal(found.final, whole.final));
}

TEST_CASE("a softened view is a function of its key, of the picture's size, and softer") {
  image::Image checks = image::filled(kPicturePx, kPicturePx, {});
  for (int y = 0; y < kPicturePx; ++y) {
    for (int x = 0; x < kPicturePx; ++x) {
      if ((x / 2 + y / 2) % 2) std::fill_n(checks.at(x, y), 3, uint8_t{0});
    }
  }
  const image::Image soft = softened(checks, "a");
  CHECK(soft == softened(checks, "a"));
  CHECK(soft != softened(checks, "b"));
  CHECK(soft.width == kPicturePx);
  int black = 0;
  for (const uint8_t p : soft.pixels) black += p < 32;
  CHECK(black == 0);
}

TEST_CASE("a generator that stops early is our own mistake, not a score") {
  World world;
  EvalOptions options;
  options.parts = {"probe"};
  options.prompts = 2;
  const Generator none = [](const std::vector<Wish>&) { return std::vector<image::Image>{}; };
  CHECK_THROWS_WITH_AS(
      evaluate(world.items, world.source, (world.folder / "f.safetensors").string(), none, options),
      doctest::Contains("0 of 10"), Error);
}

}  // namespace
}  // namespace pangu::eval
