#include "app/draw_many.h"

#include <doctest/doctest.h>

#include <utility>

#include "core/testing.h"

using namespace pangu;
using namespace pangu::app;

namespace {

pipeline::Request shared_request() {
  pipeline::Request request;
  request.seed = 5;
  request.steps = 3;
  return request;
}

Many lines(std::vector<std::string> prompts, const std::string& wildcards = "") {
  Many many;
  many.prompts = std::move(prompts);
  many.wildcards = wildcards;
  return many;
}

std::string refusal(const ManyArgs& args, const pipeline::RequestWords& said = {},
                    const std::string& model = "",
                    const std::optional<pipeline::Grid>& of_picture = {}) {
  return refusal_of([&] { many_of(args, said, model, of_picture); });
}

}  // namespace

TEST_CASE("every line of prompts is drawn, with seeds that count up and its own flags") {
  const TestFolder folder;
  folder.write("animal.txt", std::string("wolf\n"));
  const auto wanted = wanted_of(
      lines({"a __animal__", "a fox --steps 9 --model low --seed 40 --count 2", "a pig --seed -1"},
            folder.path.string()),
      shared_request());
  REQUIRE(wanted.size() == 4);
  CHECK(wanted[0].request.prompt == "a wolf");
  CHECK(wanted[0].request.seed == 5);
  CHECK(wanted[0].request.steps == 3);
  CHECK(wanted[0].model.empty());
  CHECK(wanted[1].request.steps == 9);
  CHECK(wanted[1].model == "low");
  CHECK(wanted[1].request.seed == 40);
  CHECK(wanted[2].request.seed == 41);
  CHECK(wanted[2].request.count == 1);
  CHECK(wanted[3].request.seed == 6);  // any seed is the next one
}

TEST_CASE("a line of prompts that cannot be drawn is named") {
  const auto refused = [](const std::string& line) {
    return refusal_of([&] { wanted_of(lines({line}), shared_request()); });
  };
  CHECK(contains(refused("a fox --steps many"), "reading prompt 'a fox --steps many'"));
  CHECK(contains(refused("a fox --count 0"), "count: expected 1 to"));
  CHECK(contains(refused("a __beast__"), "beast.txt"));
}

TEST_CASE("cells of a grid have their models, and those of one model are drawn together") {
  Many many;
  many.grid = pipeline::grid_from("model=a,b steps=1,2");
  const auto wanted = wanted_of(many, shared_request());
  REQUIRE(wanted.size() == 4);
  CHECK(wanted[1].model == "b");
  CHECK(wanted[2].request.steps == 2);
  CHECK(order_of(wanted) == std::vector<size_t>{0, 2, 1, 3});
  pipeline::Request two = shared_request();
  two.count = 2;
  CHECK(contains(refusal_of([&] { wanted_of(many, two); }), "--count 1"));
}

TEST_CASE("pictures keep their indices in whatever order they are drawn, with one progress") {
  const DrawOne draw_one = [](size_t index, const pipeline::DrawHooks& hooks) {
    hooks.watch.report({.done = 1, .total = 2, .text = ""});
    hooks.on_picture(0, image::filled(1, 1, {static_cast<uint8_t>(index), 0, 0}));
    pipeline::Drawing drawing;
    drawing.timings = {{"step", 1.0}};
    drawing.stopped = index == 1;
    return drawing;
  };
  std::vector<std::pair<int, int>> seen;
  std::vector<std::pair<int64_t, int64_t>> told;
  pipeline::DrawHooks hooks;
  hooks.on_picture = [&](int index, const image::Image& picture) {
    seen.emplace_back(index, picture.pixels[0]);
  };
  hooks.watch.on_progress = [&](const Progress& p) { told.emplace_back(p.done, p.total); };
  const pipeline::Drawing drawing = draw_all({2, 0, 1, 3}, draw_one, hooks);
  CHECK(seen == std::vector<std::pair<int, int>>{{2, 2}, {0, 0}, {1, 1}});
  CHECK(told == std::vector<std::pair<int64_t, int64_t>>{{1, 8}, {3, 8}, {5, 8}});
  CHECK(drawing.stopped);
  CHECK(drawing.timings == pipeline::Timings{{"step", 3.0}});
}

TEST_CASE("the grid of a repeated picture holds unless another is said, or none") {
  const pipeline::Grid old = pipeline::grid_from("steps=1,2");
  CHECK(many_of({}, {}, "", old).grid == old);
  CHECK_FALSE(many_of({.grid = "none"}, {}, "", old).grid);
  CHECK(many_of({.grid = "seed=3,4"}, {}, "", old).grid == pipeline::grid_from("seed=3,4"));
}

TEST_CASE("what means nothing together is refused") {
  const TestFolder folder;
  const std::string file = folder.write("p.txt", std::string("a cat\n"));
  CHECK(contains(refusal({.prompts = file}, {{"prompt", {"a dog"}}}), "'a dog'"));
  CHECK(contains(refusal({.grid = "steps=1,2", .prompts = file}), "--grid"));
  CHECK(contains(refusal({.prompts = file}, {}, "", pipeline::grid_from("steps=1,2")),
                 "--grid none"));
  CHECK(contains(refusal({.grid = "model=a,b"}, {}, "mini"), "'mini'"));
  CHECK(contains(refusal({.grid = "prompt=a cat<lora:x:1>,a cat"}), "--lora FILE"));
  CHECK(contains(refusal({.wildcards = "lists"}), "--prompts"));
  CHECK(contains(refusal({.prompts = folder.write("e.txt", std::string("# no\n"))}), "none"));
  CHECK(contains(refusal({.prompts = folder.write("l.txt", std::string("a <lora:x:1>\n"))}),
                 "--lora FILE"));
}
