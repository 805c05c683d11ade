// Drawing with a model made of closed forms: the callables stand in for networks.
#include "pipeline/draw.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "diffusion/image_noise.h"
#include "diffusion/samplers/samplers.h"
#include "pipeline/picture_story.h"
#include "pipeline/picture_text.h"
#include "pipeline/toy_model.h"

using namespace pangu;
using namespace pangu::pipeline;
using nlohmann::json;
using pangu::pipeline::toys::Toy;

namespace {

double mean(const image::Image& picture) {
  double sum = 0;
  for (const uint8_t p : picture.pixels) sum += p;
  return sum / double(picture.pixels.size());
}

TEST_CASE(
    "residuals of ControlNets made for other networks are refused, not added past their end") {
  const auto one = [] { return at::ones({1, 2, 4, 4}); };
  Residuals sum;
  sum.add({{one(), one()}, one()}, 0.5).add({{one(), one()}, one()}, 2.0);
  CHECK(at::equal(sum.down[1], one() * 2.5));
  CHECK(contains(refusal_of([&] { sum.add({{one()}, one()}, 1.0); }), "same network"));
}

}  // namespace

TEST_CASE("each step is served by the expert that the plan names") {
  Toy toy;
  const Request r = toy.request("cat");
  const diffusion::Plan plan = plan_of(toy.model, r);
  draw(toy.model, r);
  REQUIRE(toy.calls.size() == plan.steps.size());
  for (size_t i = 0; i < plan.steps.size(); ++i) {
    CHECK(toy.calls[i].first == toy.model.denoising.experts[plan.steps[i].expert].name);
    CHECK((plan.steps[i].expert == 0) == (plan.steps[i].t_index >= 500));
  }
}

TEST_CASE("only ddim ends where the model's files say, and there the picture has its last noise") {
  Toy toy;
  Request r = toy.request("cat");
  const auto end_of = [&] { return plan_of(toy.model, r).sigmas().back(); };
  r.sampler = "ddim";
  CHECK(end_of() == 0.0);
  toy.model.denoising.sigma_options.final_sigma = diffusion::FinalSigma::kSigmaMin;
  toy.model.denoising.sigma_options.spacing =
      diffusion::Spacing::kLeading;  // linspace ends there itself
  CHECK(end_of() == toy.model.denoising.schedule.sigma_min());
  CHECK(plan_of(toy.model, r).steps.size() == 10);
  r.schedule = "karras";
  CHECK(end_of() == 0.0);
  r.schedule = "normal";
  r.sampler = "euler";
  CHECK(end_of() == 0.0);
  // Behind a mask the picture comes back as it was.
  r = toy.request("cat");
  r.sampler = "ddim";
  r.init_image = "init.png";
  r.mask_image = "mask.png";
  r.strength = 0.5;
  r.composite = false;
  Pictures pictures;
  pictures.init = image::Image{64, 64, 3, std::vector<uint8_t>(64 * 64 * 3, 200)};
  pictures.mask = image::Image{64, 64, 3, std::vector<uint8_t>(64 * 64 * 3, 0)};
  CHECK(draw(toy.model, r, {}, pictures).pictures[0] == *pictures.init);
}

TEST_CASE("a request's spacing is stronger than the model's, and travels in its JSON") {
  Toy toy;
  toy.model.rules.defaults.spacing = "leading";
  const auto first_of = [&](const Request& r) { return plan_of(toy.model, r).steps[0].t_index; };
  Request r = toy.request("cat");
  CHECK(r.spacing == "leading");
  CHECK(first_of(r) == doctest::Approx(901));
  r.spacing = "trailing";
  CHECK(first_of(r) == doctest::Approx(999));
  CHECK(request_from_json(to_json(r)) == r);
  r.spacing = "even";
  CHECK_THROWS_WITH_AS(validate(r, toy.model.rules), doctest::Contains("trailing"), Error);
}

TEST_CASE("a picture does not depend on how many are drawn with it, for every sampler") {
  for (const auto& sampler : diffusion::samplers()) {
    Toy toy;
    Request many = toy.request("cat", 5);
    many.sampler = sampler.name;
    many.count = 3;
    toy.model.denoising.latent_pixels_a_forward = 1 << 20;
    const auto together = draw(toy.model, many).pictures;
    REQUIRE(together.size() == 3);
    Request one = many;
    one.count = 1;
    one.seed = 7;
    CHECK(draw(toy.model, one).pictures[0] == together[2]);
    CHECK(!(together[0] == together[1]));
  }
}

TEST_CASE("the batch of a picture depends on request and model, and is in the picture's text") {
  Toy toy;
  Request r = toy.request("cat", 5);
  r.count = 5;
  toy.model.denoising.latent_pixels_a_forward = 2 * 2 * 8 * 8;  // two pictures of two rows
  const auto batch = [&](int index) {
    const Batch b = batch_of(toy.model, r, index);
    return std::pair(b.first, b.count);
  };
  CHECK(batch(0) == std::pair(0, 2));
  CHECK(batch(3) == std::pair(2, 2));
  CHECK(batch(4) == std::pair(4, 1));
  const auto text_of = [&](int index) {
    return nlohmann::json::parse(png_text(toy.model, r, index).at("pangu-draw"));
  };
  CHECK(text_of(3)["batch"] == nlohmann::json({{"first_seed", 7}, {"count", 2}}));
  CHECK_FALSE(text_of(4).contains("batch"));
  r.styles = {"flat"};  // a third row: one picture a forward
  CHECK(batch(3) == std::pair(3, 1));
  draw(toy.model, r);
  CHECK(toy.rows.front() == 3);
}

TEST_CASE("guidance leans away from the negative prompt and styles pull towards theirs") {
  Toy toy;
  Request r = toy.request("a long prompt");
  const double base = mean(draw(toy.model, r).pictures[0]);
  r.negative = "no";
  CHECK(mean(draw(toy.model, r).pictures[0]) < base);
  r.negative = "";
  r.styles = {"flat"};
  CHECK(mean(draw(toy.model, r).pictures[0]) > base);
}

TEST_CASE("guidance that ends at a noise level costs one row below it") {
  Toy toy;
  Request r = toy.request("cat");
  r.guidance_low = toy.model.denoising.boundaries[0];
  draw(toy.model, r);
  std::vector<int64_t> expected;
  for (const auto& [expert, t] : toy.calls) expected.push_back(expert == "structure" ? 2 : 1);
  CHECK(toy.rows == expected);

  Toy by_default;
  by_default.model.rules.defaults.guidance_low = r.guidance_low;
  draw(by_default.model, by_default.request("cat"));
  CHECK(by_default.rows == expected);

  r.guidance_low = 2.0;
  r.guidance_high = 1.0;
  CHECK_THROWS_WITH_AS(draw(toy.model, r), doctest::Contains("guidance_low"), Error);
  Request negative = toy.request("cat");
  negative.guidance_low = -1.0;
  CHECK_THROWS_WITH_AS(draw(toy.model, negative), doctest::Contains("-1 to infinity"), Error);
}

TEST_CASE("a ControlNet acts in the steps of its share, whatever the list and the sampler") {
  for (const char* list : {"normal", "karras"}) {
    for (const char* sampler : {"euler", "heun", "dpm2", "dpmpp_2s_a", "dpmpp_sde"}) {
      for (const int steps : {10, 25, 40}) {
        Toy toy;
        std::vector<double> acted;  // t_index
        const auto predict = [&](const at::Tensor&, double t, const Conditions&, const at::Tensor&,
                                 int64_t, const Watch&) {
          acted.push_back(t);
          return Residuals{{}, at::zeros({1})};
        };
        toy.model.denoising.controls.push_back({"net", [](const Watch&) {}, predict});
        Request r = toy.request("cat");
        r.schedule = list;
        r.sampler = sampler;
        r.steps = steps;
        r.controls = {{"lines.png", 1.0, 0.2, 0.7}};
        Pictures pictures;
        pictures.controls = {image::Image{64, 64, 3, std::vector<uint8_t>(64 * 64 * 3, 200)}};
        draw(toy.model, r, {}, pictures);
        // The level at which the share ends belongs to the step that begins there.
        const diffusion::Plan plan = plan_of(toy.model, r);
        const auto last = static_cast<size_t>(0.7 * steps);
        const double high = plan.steps[static_cast<size_t>(0.2 * steps)].t_index;
        const double low = plan.steps[last].t_index;
        std::vector<double> expected;
        for (const auto& [expert, t] : toy.calls) {
          if (t < high + 1e-3 && t > low + 1e-3) expected.push_back(t);
        }
        CAPTURE(list);
        CAPTURE(sampler);
        CAPTURE(steps);
        CHECK(acted == expected);
      }
    }
  }
}

TEST_CASE("a style is a name in the prompt's own language, or words") {
  Toy toy;
  CHECK(styled_prompt(toy.model, "flat", "a cat").find("flat icon") != std::string::npos);
  CHECK(styled_prompt(toy.model, "flat", "猫").find("扁平图标") != std::string::npos);
  CHECK(styled_prompt(toy.model, "oil painting", "a cat").find("oil painting") !=
        std::string::npos);
}

TEST_CASE("the watch hears every step and may stop the drawing") {
  Toy toy;
  Request r = toy.request("cat");
  std::vector<int64_t> seen;
  DrawHooks hooks;
  hooks.watch.on_progress = [&](const Progress& progress) {
    CHECK(progress.total == 10);
    seen.push_back(progress.done);
  };
  hooks.watch.wants_stop = [&] { return !seen.empty() && seen.back() >= 4; };
  const Drawing drawing = draw(toy.model, r, hooks);
  CHECK(drawing.pictures.empty());
  CHECK(drawing.stopped);
  CHECK(seen == std::vector<int64_t>{0, 1, 2, 3, 4});
  CHECK_FALSE(draw(toy.model, r).stopped);
}

TEST_CASE("a stopped drawing keeps the pictures that were finished") {
  Toy toy;
  Request r = toy.request("cat");
  r.count = 3;
  toy.model.denoising.latent_pixels_a_forward = 0;  // one after the other
  DrawHooks hooks;
  bool stops = false;
  hooks.watch.on_progress = [&](const Progress& p) { stops = p.done > 20; };  // in the third
  hooks.watch.wants_stop = [&] { return stops; };
  const Drawing drawing = draw(toy.model, r, hooks);
  CHECK(drawing.stopped);
  CHECK(drawing.pictures.size() == 2);
}

TEST_CASE(
    "a last drawing lets go of encoders before it loads experts, and of these before it decodes") {
  Toy toy;
  std::vector<std::string> events;
  toy.model.denoising.text_sides.front().release = [&] { events.push_back("encoders"); };
  toy.model.denoising.experts.front().load = [&](const Watch&) { events.push_back("load"); };
  toy.model.denoising.release = [&] { events.push_back("experts"); };
  toy.model.latents.decode = [&](const at::Tensor& z, const Watch&) {
    events.push_back("decode");
    return at::upsample_nearest2d(z, {z.size(2) * 8, z.size(3) * 8});
  };
  Request r = toy.request("cat");
  r.count = 2;
  toy.model.denoising.latent_pixels_a_forward = 0;  // one after the other
  DrawHooks hooks;
  const auto kept = draw(toy.model, r, hooks).pictures;
  CHECK(events == std::vector<std::string>{"load", "decode", "decode"});
  events.clear();
  hooks.last = true;
  CHECK((draw(toy.model, r, hooks).pictures == kept));
  CHECK(events == std::vector<std::string>{"encoders", "load", "decode", "experts", "decode"});
}

TEST_CASE("who takes the pictures gets each when it is done, before the next is begun") {
  Toy toy;
  Request r = toy.request("cat");
  r.count = 3;
  const auto kept = draw(toy.model, r).pictures;
  toy.model.denoising.latent_pixels_a_forward = 0;  // one after the other
  std::vector<image::Image> taken;
  int64_t done = 0;
  DrawHooks hooks;
  hooks.watch.on_progress = [&](const Progress& p) { done = p.done; };
  hooks.on_picture = [&](int index, image::Image picture) {
    CHECK(index == static_cast<int>(taken.size()));
    CHECK(done == 10 * (index + 1));
    taken.push_back(std::move(picture));
  };
  CHECK(draw(toy.model, r, hooks).pictures.empty());
  CHECK((taken == kept));
}

TEST_CASE("a drawing is stopped in whatever phase it is, and a part that fails is no stop") {
  for (const char* phase : {"load", "text", "predict", "encode", "decode"}) {
    CAPTURE(phase);
    Toy toy;
    bool in_phase = false;
    // As a long phase does: it asks its watch while it works.
    const auto here = [&](const char* name, const Watch& watch) {
      in_phase = in_phase || name == std::string(phase);
      watch.check();
    };
    Model& m = toy.model;
    for (Expert& expert : m.denoising.experts) {
      expert.load = [&](const Watch& w) { here("load", w); };
      expert.predict = [&, inner = expert.predict](const auto& x, double t, const auto& in,
                                                   const Watch& w) {
        here("predict", w);
        return inner(x, t, in, w);
      };
    }
    TextSide& side = m.denoising.text_sides.front();
    side.encode = [&, inner = side.encode](const PromptRows& rows, const Watch& w) {
      here("text", w);
      return inner(rows, w);
    };
    m.latents.encode = [&, inner = m.latents.encode](const at::Tensor& x, const Watch& w) {
      here("encode", w);
      return inner(x, w);
    };
    m.latents.decode = [&, inner = m.latents.decode](const at::Tensor& x, const Watch& w) {
      here("decode", w);
      return inner(x, w);
    };
    Request r = toy.request("cat");
    r.init_image = "x.png";
    r.strength = 0.5;
    Pictures pictures;
    pictures.init = image::filled(64, 64, {});
    DrawHooks hooks;
    hooks.watch.wants_stop = [&] { return in_phase; };
    const Drawing drawing = draw(m, r, hooks, pictures);
    CHECK(in_phase);
    CHECK(drawing.stopped);
    CHECK(drawing.pictures.empty());
  }
  Toy broken;
  broken.model.latents.load = [](const Watch&) { throw bad_input("vae", "weights", "none"); };
  CHECK_THROWS_AS(draw(broken.model, broken.request("cat")), Error);
}

TEST_CASE("the text of a PNG holds the request of that one picture") {
  Toy toy;
  Request r = toy.request("一只猫", 10);
  r.count = 4;
  const auto text = png_text(toy.model, r, 2);
  CHECK(text.at("parameters").find("Seed: 12") != std::string::npos);
  const Request back = request_from_json(nlohmann::json::parse(text.at("pangu-draw"))["request"]);
  CHECK(back.seed == 12);
  CHECK(back.count == 1);
  CHECK(back.prompt == "一只猫");
}

TEST_CASE("s_noise scales the noise of the steps, and 0 leaves it out") {
  Toy toy;
  Request r = toy.request("cat");
  r.sampler = "euler_a";
  const auto drawn = [&](double s_noise) {
    r.s_noise = s_noise;
    return draw(toy.model, r).pictures[0];
  };
  const image::Image usual = drawn(1.0), none = drawn(0.0);
  CHECK(!(usual == none));
  CHECK(!(drawn(0.5) == usual));
  for (const double wrong : {-1.0, double(NAN)}) {
    CHECK_THROWS_WITH_AS(drawn(wrong), doctest::Contains("s_noise"), Error);
  }
  r.s_noise = 0.5;
  CHECK(request_from_json(to_json(r)) == r);
}

TEST_CASE("eta and the order of a sampler change its picture, and are refused by those without") {
  Toy toy;
  const auto drawn = [&](const char* sampler, std::optional<double> eta, std::optional<int> order) {
    Request r = toy.request("cat");
    r.sampler = sampler;
    r.eta = eta;
    r.sampler_order = order;
    return draw(toy.model, r).pictures[0];
  };
  CHECK(!(drawn("ddim", 1.0, {}) == drawn("ddim", {}, {})));
  CHECK(drawn("ddim", 1.0, {}) == drawn("euler_a", {}, {}));
  CHECK(drawn("euler_a", 0.0, {}) == drawn("euler", {}, {}));
  CHECK(!(drawn("lms", {}, 1) == drawn("lms", {}, {})));
  CHECK(drawn("lms", {}, 1) == drawn("euler", {}, {}));
  CHECK(contains(refusal_of([&] { drawn("euler", 0.5, {}); }), "eta"));
  CHECK(contains(refusal_of([&] { drawn("euler_a", NAN, {}); }), "nan"));
  CHECK(contains(refusal_of([&] { drawn("euler_a", HUGE_VAL, {}); }), "infinity"));
  CHECK(contains(refusal_of([&] { drawn("euler", {}, 2); }), "order"));
  CHECK(contains(refusal_of([&] { drawn("unipc", {}, 4); }), "1 to 3"));
  Request r = toy.request("cat");
  r.sampler = "ddim";
  r.eta = 0.5;
  r.s_noise = 1.1;
  CHECK(request_from_json(to_json(r)) == r);
  const std::string parameters = png_text(toy.model, r, 0).at("parameters");
  CHECK(contains(parameters, ", Eta: 0.5, Sigma noise: 1.1"));
}

TEST_CASE("styles have scales of their own, or that of all") {
  const auto is = [](const char* text, const std::string& words, std::optional<double> scale) {
    const StyleUse use = style_use_from(text);
    return use.words == words && use.scale == scale;
  };
  CHECK(is("flat", "flat", {}));
  CHECK(is("flat:1.5", "flat", 1.5));
  CHECK(is("in ink: by hand", "in ink: by hand", {}));
  Toy toy;
  const auto drawn = [&](std::vector<std::string> styles, double all) {
    Request r = toy.request("cat");
    r.styles = std::move(styles);
    r.style_scale = all;
    return draw(toy.model, r).pictures[0];
  };
  const image::Image two = drawn({"flat:3", "oil:0.5"}, 2.0);
  CHECK(two == drawn({"flat:3", "oil"}, 0.5));
  CHECK(!(two == drawn({"flat", "oil"}, 2.0)));
  CHECK(drawn({"flat:0"}, 2.0) == drawn({}, 2.0));
  CHECK(contains(refusal_of([&] { drawn({":2"}, 2.0); }), "style"));
  CHECK(contains(refusal_of([&] { drawn({"flat:nan"}, 2.0); }), "found nan"));
}

TEST_CASE("a PNG whose sampler added noise of another version says so") {
  Toy toy;
  const TestFolder folder;
  const auto difference = [&](const char* sampler, const char* noise, const json& version) {
    Request r = toy.request("cat");
    r.sampler = sampler;
    r.noise = noise;
    auto text = png_text(toy.model, r, 0);
    json body = json::parse(text.at("pangu-draw"));
    CHECK(body["noise_version"] == diffusion::kStepNoiseVersion);
    if (version.is_null()) body.erase("noise_version");
    if (!version.is_null()) body["noise_version"] = version;
    text["pangu-draw"] = body.dump();
    const image::Image picture{8, 8, 3, std::vector<uint8_t>(8 * 8 * 3)};
    return story_of_picture(folder.write("a.png", image::encode_png(picture, text))).difference;
  };
  CHECK(difference("euler_a", "philox", diffusion::kStepNoiseVersion) == "");
  CHECK(contains(difference("euler_a", "philox", nullptr), "version 1"));
  CHECK(contains(difference("dpmpp_sde", "philox", "odd"), "odd"));
  CHECK(difference("euler", "philox", nullptr) == "");
  CHECK(difference("euler_a", "torch-cpu", nullptr) == "");
}

TEST_CASE("image-to-image takes the last steps of the plan, and keeps their numbers") {
  Toy toy;
  Request r = toy.request("cat");
  r.init_image = "init.png";
  for (const double strength : {1.0, 0.6, 0.2}) {
    r.strength = strength;
    const diffusion::Plan plan = plan_of(toy.model, r);
    CHECK(plan.first_step + plan.steps.size() == 10);
  }
  // The noise of the last step is the same, so that where the guess forgets what was before it the
  // picture is the same.
  Pictures pictures;
  pictures.init = image::Image{64, 64, 3, std::vector<uint8_t>(64 * 64 * 3, 128)};
  r.sampler = "lcm";
  const auto drawn = [&](double share) {
    r.strength = share;
    Toy forgetful;
    for (Expert& expert : forgetful.model.denoising.experts) {
      expert.predict = [](const at::Tensor& x, double, const NetInputs&, const Watch&) {
        return at::zeros_like(x);
      };
    }
    forgetful.model.denoising.sigma_options = toy.model.denoising.sigma_options;
    std::vector<at::Tensor> latents;
    DrawHooks hooks;
    hooks.on_latents = [&](const diffusion::StepInfo& info) {
      latents.push_back((info.x.one() - info.x0.one()).clone());
    };
    draw(forgetful.model, r, hooks, pictures);
    return latents;
  };
  const auto whole = drawn(1.0), part = drawn(0.5);
  REQUIRE(whole.size() == 10);
  REQUIRE(part.size() == 5);
  for (size_t i = 0; i < part.size(); ++i) CHECK(at::equal(part[i], whole[i + 5]));
}

TEST_CASE("what a model does not allow is refused by name") {
  Toy toy;
  const auto with = [&](auto change) {
    Request r;
    r.prompt = "cat";
    change(r);
    return [=, rules = toy.model.rules] { resolved(r, rules, 1); };
  };
  CHECK_THROWS_WITH_AS(with([](Request& r) { r.width = 100; })(), doctest::Contains("96"), Error);
  CHECK_THROWS_WITH_AS(with([](Request& r) { r.width = 100; })(), doctest::Contains("104"), Error);
  CHECK_THROWS_WITH_AS(with([](Request& r) { r.steps = 0; })(), doctest::Contains("steps"), Error);
  CHECK_THROWS_WITH_AS(with([](Request& r) { r.sampler = "magic"; })(), doctest::Contains("euler"),
                       Error);
  CHECK_THROWS_AS(size_from("12x"), Error);
  CHECK(size_from("256x192") == std::pair{256, 192});
  CHECK(size_from("256") == std::pair{256, 256});
}

TEST_CASE("a model with a list of sizes draws at these only, and names the nearest") {
  Toy toy;
  toy.model.rules.sizes = {{64, 128}, {128, 64}, {64, 64}, {128, 128}};
  Request request;
  request.prompt = "cat";
  CHECK(resolved(request, toy.model.rules, 1).width == 64);
  request.width = 120;
  request.height = 112;
  CHECK_THROWS_WITH_AS(resolved(request, toy.model.rules, 1),
                       doctest::Contains("similar shape is 128x128"), Error);
  CHECK(nearest_size(1000, 400, toy.model.rules) == std::pair(128, 64));
  CHECK(nearest_size(80, 80, toy.model.rules) == std::pair(64, 64));
  image::Image picture{30, 50, 3, std::vector<uint8_t>(30 * 50 * 3)};
  CHECK(size_near(picture, toy.model.rules) == std::pair(64, 128));
}

TEST_CASE("pictures of many prompts in one forward are those that each prompt gives alone") {
  Toy toy;
  Request shared = toy.request("not read");
  shared.styles = {"flat"};
  const std::vector<Wish> wishes = {{"cat", 3}, {"a very long prompt", 4}, {"dog in fog", 3}};
  for (const int at_once : {1, 2, 8}) {
    const Drawing together = draw_each(toy.model, shared, wishes, at_once);
    REQUIRE(together.pictures.size() == wishes.size());
    for (size_t i = 0; i < wishes.size(); ++i) {
      Request alone = toy.request(wishes[i].prompt, wishes[i].seed);
      alone.styles = shared.styles;
      CHECK(together.pictures[i] == draw(toy.model, alone).pictures[0]);
    }
  }
  CHECK(draw_each(toy.model, shared, {}, 4).pictures.empty());
}
