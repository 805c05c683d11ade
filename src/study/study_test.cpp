// Tests studies on a dataset of coloured squares whose features count colours, with generators that
// draw what one member was asked, what the other was asked, or both.
#include "study/study.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <cmath>
#include <map>
#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "data/dataset.h"
#include "image/canny.h"
#include "study/page.h"

namespace pangu::study {
namespace {

constexpr int kConcepts = 6;
constexpr int kSide = 64;
constexpr image::Color kPalette[kConcepts] = {{220, 0, 0},   {0, 160, 0},   {0, 0, 220},
                                              {240, 220, 0}, {0, 200, 220}, {220, 0, 220}};

// A square of the concept's colour, at a place of its own.
image::Image square(int colour, int place) {
  image::Image picture = image::filled(kSide, kSide, {});
  image::paste(picture, image::filled(24, 24, kPalette[colour]),
               {6 * place, 4 * (place % 3) + 8, 24, 24}, image::Filter::kNearest);
  return picture;
}

// Returns the shares of the palette's colours.
eval::Features shares(const std::vector<image::Image>& pictures) {
  at::Tensor rows = at::zeros({int64_t(pictures.size()), kConcepts + 1});
  auto row = rows.accessor<float, 2>();
  for (size_t p = 0; p < pictures.size(); ++p) {
    const auto& pixels = pictures[p].pixels;
    for (size_t i = 0; i < pixels.size(); i += 3) {
      int best = 1 << 30, nearest = 0;
      for (int c = 0; c <= kConcepts; ++c) {
        const image::Color at = c < kConcepts ? kPalette[c] : image::Color{};
        const int far = std::abs(pixels[i] - at.r) + std::abs(pixels[i + 1] - at.g) +
                        std::abs(pixels[i + 2] - at.b);
        if (far < best) best = far, nearest = c;
      }
      row[int64_t(p)][nearest] += 3.0f / float(pixels.size());
    }
  }
  return {rows, rows.clone()};
}

struct World {
  TestFolder folder;
  std::vector<data::Item> items;
  eval::FeatureSource source{"shares",
                             [](const auto& pictures, bool with_final, const OnProgress&) {
                               eval::Features found = shares(pictures);
                               if (!with_final) found.final = at::Tensor();
                               return found;
                             }};
  eval::Names concepts;
  eval::Features real;
  eval::Probe probe;
  Plan plan;

  explicit World(Kind kind, bool others_prompt = false) {
    for (int c = 0; c < kConcepts; ++c) {
      for (const char* style : {"3d", "flat"}) {
        data::Item item;
        item.id = std::to_string(c) + style;
        item.concept_id = "c" + std::to_string(c);
        item.style = style;
        item.captions_en = {"thing" + std::to_string(c) + ", " + style};
        item.captions_zh = {"物" + std::to_string(c) + "，" + style};
        item.width = item.height = kSide;
        item.split = c >= 4 && style[0] == 'f' ? "heldout_pair" : "train";
        item.bytes.path = folder.write(item.id + ".png", image::encode_png(square(c, c)));
        items.push_back(item);
      }
    }
    concepts = eval::concepts_of(items);
    real = eval::real_features(source, items, folder.file("features.safetensors"));
    probe = eval::fit_concepts(items, concepts, real);
    plan.kind = kind;
    plan.id = "toys";
    plan.title = "Toys";
    plan.settings = {{"text alone", "alone", Role::kHubAlone, true},
                     {"other alone", "alone", Role::kOtherAlone, true},
                     {"both", "d", Role::kTogether, true},
                     {"neither", "d", Role::kTogether, false}};
    plan.cases = study_cases(items, concepts, 6, 10, others_prompt);
  }

  int concept_of(const std::string& prompt) const {
    for (int c = 0; c < kConcepts; ++c) {
      if (contains(prompt, "thing" + std::to_string(c)) ||
          contains(prompt, "物" + std::to_string(c))) {
        return c;
      }
    }
    return -1;
  }

  // The text decides the colour, the picture the place.
  std::vector<Picture> draw(size_t setting, const std::vector<Wish>& wishes) const {
    std::vector<Picture> drawn;
    for (const Wish& wish : wishes) {
      const int colour = concept_of(wish.prompt);
      int place = 0;
      for (int c = 0; wish.picture && c < kConcepts; ++c) {
        if (image::resize(square(c, c), eval::kPicturePx, eval::kPicturePx) == *wish.picture)
          place = c;
      }
      image::Image picture = square((colour + 1) % kConcepts, 5 - place);  // neither
      if (setting == 0) picture = square(colour, 5 - place);
      if (setting == 1) picture = square((place + 1) % kConcepts, place);
      if (setting == 2) picture = square(colour, place);
      drawn.push_back({image::resize(picture, eval::kPicturePx, eval::kPicturePx), 0.5});
    }
    return drawn;
  }

  Study run(size_t batch = 4) const {
    return run_study(
        plan, {items, source, real, probe},
        [&](size_t setting, const auto& wishes) { return draw(setting, wishes); }, batch);
  }
};

TEST_CASE("cases go through groups and languages by turns, each with a seed of its own") {
  const World world(Kind::kEdges);
  const auto& cases = world.plan.cases;
  REQUIRE(cases.size() == 6);
  std::map<std::string, int> splits;
  for (size_t i = 0; i < cases.size(); ++i) {
    ++splits[world.items[cases[i].item].split];
    CHECK(cases[i].seed == 10 + i);
    CHECK(world.concept_of(cases[i].prompt) == cases[i].label);
    CHECK(world.items[cases[i].item].concept_id == "c" + std::to_string(cases[i].label));
    CHECK(contains(cases[i].prompt, "thing") == (i / 2 % 2 == 0));
  }
  CHECK(splits["heldout_pair"] == 2);
}

TEST_CASE("another's prompt is the next case's, and so is its concept") {
  const World own(Kind::kVariation), others(Kind::kVariation, true);
  const auto &a = own.plan.cases, &b = others.plan.cases;
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CHECK(b[i].item == a[i].item);
    CHECK(b[i].label == a[(i + 1) % a.size()].label);
    CHECK(others.concept_of(b[i].prompt) == b[i].label);
  }
}

TEST_CASE("edges: who follows both is told from those that follow one or none") {
  const Study study = World(Kind::kEdges).run();
  REQUIRE(study.rows.size() == 4);
  const auto &text = study.rows[0], &edges = study.rows[1], &both = study.rows[2];
  CHECK(text.concept_hits.top1 == 6);
  CHECK(edges.concept_hits.top1 == 0);
  CHECK(both.concept_hits.top1 == 6);
  CHECK(edges.f1 > 0.95);
  CHECK(both.f1 > 0.95);
  CHECK(text.f1 < 0.5);
  CHECK(both.seconds == 0.5);
  CHECK(std::isnan(both.similarity));
  const Verdict verdict = verdict_of(study);
  CHECK(verdict.best == "both");
  CHECK(verdict.good_enough == std::vector<std::string>{"both"});
  CHECK(verdict.accuracy == 1.0);
}

TEST_CASE("variation: similarity is highest for the picture's own colour") {
  // The features of these pictures are colours, so only a picture of the same colour is similar.
  const Study own = World(Kind::kVariation).run();
  CHECK(own.rows[2].similarity == doctest::Approx(1.0).epsilon(0.05));
  CHECK(own.rows[1].similarity < 0.2);
  CHECK(own.same_concept == doctest::Approx(1.0).epsilon(0.05));
  CHECK(own.unrelated < 0.2);
  CHECK(verdict_of(own).best.empty());  // the other alone is no better than chance
  const Study others = World(Kind::kVariation, true).run();
  for (const Row& row : others.rows) CHECK(std::isnan(row.f1));
  CHECK(others.rows[2].similarity < 0.5);
}

TEST_CASE("low: distances are to real pictures that no case is about, nearer for right ones") {
  World world(Kind::kLow);
  world.plan.cases.resize(5);
  const Study study = world.run();
  CHECK(study.reference == 7);
  CHECK(std::isfinite(study.rows[0].mixed6));
  CHECK(std::isfinite(study.rows[0].final));
  CHECK(verdict_of(study).best.empty());
  CHECK(study.columns == std::vector<std::string>{"text alone", "other alone", "both"});
}

TEST_CASE("the size of a batch changes nothing") {
  const World world(Kind::kEdges);
  CHECK(to_json(world.run(1)) == to_json(world.run(6)));
  CHECK(world.run(1).sheet == world.run(4).sheet);
}

TEST_CASE("the section tells every row, and replaces itself in a page") {
  const Page page{"the command", "The setting.", {World(Kind::kEdges).run()}};
  const std::string section = section_of(page, "images");
  for (const char* part : {"the command", "The setting.", "| text alone |", "| neither |",
                           "images/coop_toys.svg", "images/coop_toys.webp", "asked edges"}) {
    CHECK(contains(section, part));
  }
  CHECK(with_section("", section, "p.md") == section);
  const std::string begin(kStudyBegin), end(kStudyEnd);
  CHECK(with_section("# A\n\n" + begin + "\nold\n" + end + "\n\n## B\n", section, "p.md") ==
        "# A\n\n" + section + "\n## B\n");
  CHECK(contains(refusal_of([&] { with_section("# Mine\n", section, "p.md"); }), "p.md"));
  CHECK(contains(refusal_of([&] { with_section(begin + " cut", section, "p.md"); }), "p.md"));
}

TEST_CASE("parts of the section that were not drawn again stay, in the order of studies") {
  Study edges = World(Kind::kEdges).run(), low = edges, other = edges;
  edges.id = "edges";
  low.id = "low";
  other.id = "variation";
  const std::string before = section_of({"first", "At night.", {edges, low}}, "images");
  const std::string both = section_of({"second", "By day.", {other}}, "images", before);
  const auto at = [&](const char* text) { return both.find(text); };
  CHECK(at("coop_edges.svg") < at("coop_variation.svg"));
  CHECK(at("coop_variation.svg") < at("coop_low.svg"));
  CHECK(contains(both, "At night."));
  CHECK(contains(both, "By day."));
  CHECK(section_of({"first", "At night.", {edges, low}}, "images", before) == before);
  const std::string renewed = section_of({"third", "At noon.", {low, edges}}, "images", both);
  CHECK_FALSE(contains(renewed, "At night."));
  CHECK(contains(renewed, "By day."));
  CHECK(section_of({"first", "At night.", {edges, low}}, "images", "# Page without one") == before);
}

TEST_CASE("the plot has a labelled dot for every setting") {
  const Study study = World(Kind::kEdges).run();
  const std::string svg = plot_of(study);
  for (const Row& row : study.rows) CHECK(contains(svg, ">" + row.setting.name + "<"));
}

TEST_CASE("a study without cases, and a generator that draws too few, are errors") {
  World world(Kind::kEdges);
  const Judge judge{world.items, world.source, world.real, world.probe};
  CHECK_THROWS_AS(
      run_study(
          world.plan, judge, [](size_t, const auto&) { return std::vector<Picture>{}; }, 2),
      Error);
  world.plan.cases.clear();
  CHECK(contains(refusal_of([&] { world.run(); }), "toys"));
}

}  // namespace
}  // namespace pangu::study
