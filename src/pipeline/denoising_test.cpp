// Which prompt a network is told at which step, and what is said of prompts before.
#include "pipeline/denoising.h"

#include <cmath>

#include "pipeline/coop/toy_models.h"

namespace pangu::pipeline {
namespace {

struct Told {
  Model model = toys::toy("toy", 64);
  int reads = 0;
  std::vector<int> lengths;  // of the prompt that each call was told

  Told() {
    TextSide& side = model.denoising.text_sides.front();
    side.reads_syntax = true;
    side.encode = [this, inner = side.encode](const PromptRows& rows, const Watch& watch) {
      ++reads;
      return inner(rows, watch);
    };
    Expert& expert = model.denoising.experts.front();
    expert.predict = [this, inner = expert.predict](const at::Tensor& x, double t,
                                                    const NetInputs& inputs, const Watch& watch) {
      const at::Tensor context = inputs.conditions.context;  // a tenth of the length
      lengths.push_back(static_cast<int>(std::lround(context[-1].item<double>() * 10)));
      return inner(x, t, inputs, watch);
    };
  }

  Request request(const std::string& prompt) const {
    Request r;
    r.prompt = prompt;
    r.steps = 10;
    return resolved(r, model.rules, 1);
  }

  std::vector<int> drawn(const std::string& prompt) {
    reads = 0;
    lengths.clear();
    draw(model, request(prompt));
    return lengths;
  }
};

TEST_CASE("a prompt that changes is read once for each of its states, and changes at its step") {
  Told told;
  CHECK(told.drawn("cat") == std::vector<int>(10, 3));
  CHECK(told.reads == 1);
  CHECK(told.drawn("[cat:horse:0.3]") == std::vector<int>{3, 3, 3, 5, 5, 5, 5, 5, 5, 5});
  CHECK(told.reads == 2);
  CHECK(told.drawn("[cat|horse]s") == std::vector<int>{4, 6, 4, 6, 4, 6, 4, 6, 4, 6});
  CHECK(told.reads == 2);
  // Whoever takes every word as it is has one prompt.
  told.model.denoising.text_sides.front().reads_syntax = false;
  CHECK(told.drawn("[cat:horse:0.3]") == std::vector<int>(10, 15));
}

TEST_CASE("prompts that AND joins are drawn together, each by its weight") {
  Told told;
  const auto picture = [&](const std::string& prompt, double guidance) {
    Request r = told.request(prompt);
    r.guidance = guidance;
    return draw(told.model, r).pictures.at(0);
  };
  const double rounding = 1;  // of a byte: the sums are taken in another order
  // Twice the same prompt is twice its guidance; half of it twice is it once.
  CHECK(toys::most_off(picture("cat AND cat", 2), picture("cat", 4)) <= rounding);
  CHECK(toys::most_off(picture("cat :0.5 AND cat :0.5", 2), picture("cat", 2)) <= rounding);
  CHECK(toys::most_off(picture("cat AND horses :0", 2), picture("cat", 2)) <= rounding);
  CHECK(toys::most_off(picture("cat AND horses :0.4", 2), picture("cat", 2)) > 2);
  // In what the toy's network adds to a picture lengths count: 3 + 6 are 9.
  CHECK(toys::most_off(picture("cat AND horses", 2), picture("catdogfox", 2)) <= rounding);
}

TEST_CASE("with image-to-image a share is one of the steps that are drawn") {
  Told told;
  Request r = told.request("[cat:horse:0.5]");
  r.init_image = "start.png";
  r.strength = 0.4;
  Pictures pictures;
  pictures.init = toys::half_white(32);
  draw(told.model, r, {}, pictures);
  CHECK(told.lengths == std::vector<int>{3, 3, 5, 5});
}

TEST_CASE("a text side reviews all prompts of a drawing, and its warnings reach who watches") {
  Told told;
  told.model.denoising.text_sides.front().review = [](const auto& prompts, const Watch& watch) {
    watch.warn(prompts.at(0) + "|" + prompts.at(1));
  };
  Request r = told.request("cat");
  r.negative = "dog";
  std::vector<std::string> heard;
  DrawHooks hooks;
  hooks.watch.on_warning = [&](const std::string& sentence) { heard.push_back(sentence); };
  draw(told.model, r, hooks);
  CHECK(heard == std::vector<std::string>{"dog|cat"});
}

}  // namespace
}  // namespace pangu::pipeline
