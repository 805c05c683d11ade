// Tests the page of fixed scores, and scores as JSON.
#include "eval/page.h"

#include <doctest/doctest.h>

#include <cmath>
#include <nlohmann/json.hpp>

namespace pangu::eval {
namespace {

Scores made_scores() {
  Scores s;
  s.setting.command = "pangu-draw eval --prompts 4";
  s.setting.model = "toy";
  s.setting.steps = 8;
  s.setting.pictures_drawn = 12;
  s.setting.seconds_a_picture = 0.456;
  s.probe = {100,         50,         4,           2,          80,         {10, 7, 9},
             {10, 8, 10}, {10, 5, 8}, {10, 6, 10}, {10, 3, 4}, {10, 2, 10}};
  s.groups = {{"train", "en", {4, 1, 3}, {4, 4, 4}}, {"train", "zh", {4, 1, 2}, {4, 3, 4}}};
  s.styles = {{"3d", {{"3d", 3}, {"flat", 1}}}, {"flat", {{"3d", 4}, {"flat", 0}}}};
  s.languages = {compare_languages(s.groups[0], s.groups[1], {true, true, true, false},
                                   {false, false, true, true})};
  s.frechet = {{"drawn, en", 4, 90, 12.3456, 78.9, 0.7, 0.4567}, {"soft", 4, 90, 3, std::nan("")}};
  s.scenes = {{"drawn, en", 5, 11, 6, 2, 3, 1}};
  s.runs = {{"structure", {{1, 0.5, 60}, {2, 0.4, 120}}, {{500, 1.618, 0.12345}}, 40}};
  s.grids = {{"grid.webp", "Pairs", 2, {"a | b", "c", "d"}}};
  return s;
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

TEST_CASE("the page says every score with its counts") {
  const std::string page = page_of(made_scores(), "images", "loss.svg");
  CHECK(
      has(page,
          "| training concepts | en | 1 of 4 (25.0 %, 4.6 to 69.9) | 3 of 4 (75.0 %, 30.1 to 95.4) "
          "| 4 of 4 (100.0 %, 51.0 to 100.0) |"));
  CHECK(has(page, "| asked for | seen as 3d | seen as flat |"));
  CHECK(has(page, "| flat | 4 | 0 |"));
  CHECK(has(page, "| training concepts | 4 | 0.0 | -25.0 | -25.0 | 2 | 1 |"));
  CHECK(has(page, "| as they are | 7 of 10 (70.0 %) | 9 of 10 (90.0 %) | 8 of 10 (80.0 %) |"));
  CHECK(has(page,
            "| decoded by the model's autoencoder | 3 of 10 (30.0 %) | 4 of 10 (40.0 %) | 2 of 10 "
            "(20.0 %) |"));
  CHECK(has(page, "reach 10.0 % of the top-5 and 25.0 % of the styles"));
  CHECK(has(page, "| drawn, en | 4 | 90 | 12.346 | 78.900 | 0.70 | 0.46 |"));
  CHECK(has(page, "| soft | 4 | 90 | 3.000 | - | - | - |"));
  CHECK(has(
      page,
      "| drawn, en | 5 | 6 of 11 (54.5 %, 28.0 to 78.7) | 2 of 5 (40.0 %, 11.8 to 76.9) | 1 of 3 "
      "(33.3 %, 6.1 to 79.2) |"));
  CHECK(has(page, "| structure | 500 | 1.618 | 0.1235 |"));
  CHECK(has(page, "![loss curves](images/loss.svg)"));
  CHECK(has(page, "![Pairs](images/grid.webp)"));
  CHECK(has(page, "1. a \\| b; c\n2. d\n"));
  CHECK(has(page, "```sh\npangu-draw eval --prompts 4\n```"));
  CHECK(has(page, "12 pictures drawn in 0.46 s each"));
}

TEST_CASE("a share's interval is Wilson's") {
  // Of the closed form, at z = 1.959964.
  CHECK(share_with_interval(81, 100) == "81 of 100 (81.0 %, 72.2 to 87.5)");
  CHECK(share_with_interval(0, 10) == "0 of 10 (0.0 %, 0.0 to 27.8)");
  CHECK(share_with_interval(10, 10) == "10 of 10 (100.0 %, 72.2 to 100.0)");
  CHECK(share_with_interval(0, 0) == "-");
}

TEST_CASE("what was not measured is not on the page, and not in the JSON") {
  Scores s;
  s.setting.model = "toy";
  const std::string page = page_of(s, "images", "");
  CHECK_FALSE(has(page, "##"));
  CHECK_FALSE(has(page, "!["));
  CHECK(tables_of(s).empty());
  CHECK(loss_svg({}).empty());
  CHECK(to_json(s).size() == 1);
}

TEST_CASE("the JSON holds the counts that the tables are made of") {
  const nlohmann::json json = to_json(made_scores());
  CHECK(json["groups"][1]["concept"] == nlohmann::json({{"count", 4}, {"top1", 1}, {"top5", 2}}));
  CHECK(json["styles"][0]["seen"] == nlohmann::json({{"3d", 3}, {"flat", 1}}));
  CHECK(json["zh_minus_en"][0]["top5_points"] == -25.0);
  CHECK(json["scenes"][0]["position_fits"] == 1);
  CHECK(json["runs"][0]["last_loss"] == 0.4);
}

TEST_CASE("a training without losses by sigma is drawn as another curve") {
  auto runs = made_scores().runs;
  CHECK_FALSE(has(loss_svg(runs), "Other trainings"));
  runs.push_back({"vae", {{1, 0.5, 60}}, {}, 3});
  CHECK(has(loss_svg(runs), "Other trainings"));
}

}  // namespace
}  // namespace pangu::eval
