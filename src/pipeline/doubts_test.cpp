#include "pipeline/doubts.h"

#include <doctest/doctest.h>

namespace pangu::pipeline {
namespace {

using Sentences = std::vector<std::string>;

// A model that was trained at 256x256, and knows the styles "flat" and "shaded".
Model doubtful_model() {
  Model model;
  model.name = "toy";
  Request& usual = model.rules.defaults;
  usual.width = usual.height = 256;
  usual.steps = 4;
  usual.guidance = 4.0;
  usual.style_scale = 1.0;
  usual.sampler = "euler";
  usual.schedule = "normal";
  usual.noise = "philox";
  model.styles = {{"flat", {}}, {"shaded", {}}};
  return model;
}

Sentences doubts_of(const RequestWords& said, const Model& model = doubtful_model()) {
  Sentences told;
  Request request;
  request.prompt = "a cat";
  apply(said, request);
  warn_of_doubts(model, resolved(request, model.rules, 1), said,
                 {.on_warning = [&](const std::string& sentence) { told.push_back(sentence); }});
  return told;
}

void check_one(const Sentences& told, std::initializer_list<const char*> words) {
  REQUIRE(told.size() == 1);
  for (const char* word : words) {
    CHECK_MESSAGE(told.front().find(word) != std::string::npos, told.front());
  }
}

TEST_CASE("nobody is warned of what a model was made for") {
  CHECK(doubts_of({}).empty());
  CHECK(doubts_of({{"size", {"320x256"}}, {"styles", {"flat:2"}}, {"style_scale", {"2"}}}).empty());
  CHECK(doubts_of({{"prompt", {"a (red:1.4) cat"}}, {"negative", {"dogs"}}}).empty());
  CHECK(doubts_of({{"sampler", {"euler_a"}}, {"s_noise", {"0.5"}}}).empty());
}

TEST_CASE("a size or a shape far from the model's own is warned of") {
  check_one(doubts_of({{"size", {"512"}}}), {"512x512", "256x256", "'toy'", "repeated"});
  check_one(doubts_of({{"size", {"128"}}}), {"128x128", "fall apart"});
  check_one(doubts_of({{"size", {"512x128"}}}), {"512x128", "3 times"});
  Model listed = doubtful_model();
  listed.rules.sizes = {{512, 512}};
  CHECK(doubts_of({{"size", {"512"}}}, listed).empty());
}

TEST_CASE("a style that the model does not know is warned of, with the nearest") {
  check_one(doubts_of({{"styles", {"shadde"}}}), {"'shadde'", "flat, shaded", "mean 'shaded'?"});
  Model without = doubtful_model();
  without.styles.clear();
  CHECK(doubts_of({{"styles", {"oil painting"}}}, without).empty());
}

TEST_CASE("weights that break pictures are warned of where they are read") {
  check_one(doubts_of({{"prompt", {"a (red:12) cat"}}}), {"'red' weighs 12"});
  check_one(doubts_of({{"negative", {"(dogs:-7)"}}}), {"negative prompt", "weighs -7"});
  Model without = doubtful_model();
  without.rules.takes_clip_skip = false;
  CHECK(doubts_of({{"prompt", {"a (red:12) cat"}}}, without).empty());
  Sentences told;
  const Watch watch{.on_warning = [&](const std::string& text) { told.push_back(text); }};
  LoadOptions options;
  options.loras = {{"a.safetensors", 0.8, {}}, {"b.safetensors", 50, {}}};
  warn_of_doubts(options, watch);
  REQUIRE(told.size() == 2);  // for the network and for the text encoder
  CHECK(told.front().find("'b.safetensors': its weight is 50") != std::string::npos);
}

TEST_CASE("words that change nothing are warned of") {
  check_one(doubts_of({{"style_scale", {"2"}}}), {"--style-scale", "no --style"});
  check_one(doubts_of({{"mask_blur", {"8"}}}), {"--mask-blur", "no --mask"});
  check_one(doubts_of({{"guidance", {"1"}}, {"guidance_low", {"2"}}}), {"--guidance-low"});
  check_one(doubts_of({{"guidance", {"1"}}, {"negative", {"dogs"}}}), {"negative prompt"});
  check_one(doubts_of({{"s_noise", {"0.5"}}}), {"--s-noise", "euler adds no noise"});
  Model penultimate = doubtful_model();
  penultimate.rules.own_clip_skip = 2;
  check_one(doubts_of({{"clip_skip", {"2"}}}, penultimate), {"--clip-skip", "by itself"});
  CHECK(doubts_of({{"clip_skip", {"3"}}}, penultimate).empty());
  check_one(doubts_of({{"schedule", {"karras"}}, {"spacing", {"leading"}}}), {"--spacing"});
}

}  // namespace
}  // namespace pangu::pipeline
