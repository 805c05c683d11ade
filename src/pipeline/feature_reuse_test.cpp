// When deep features are used again: told by an expert that counts its whole forwards.
#include "pipeline/feature_reuse.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "pipeline/coop/coop.h"
#include "pipeline/coop/toy_models.h"
#include "pipeline/draw.h"

namespace pangu::pipeline {
namespace {

using namespace toys;

// A toy whose deep part gives the mean of the latent, 'W' for each whole forward and 'r' for one
// that uses features again. Where guidance has several rows it notes their number too.
struct Reuser {
  Toy toy;
  std::string calls;
  std::vector<std::vector<int64_t>> shapes;  // of the states that were used again

  Reuser() {
    toy.model.rules.most_reuse_depth = 5;
    for (Expert& expert : toy.model.denoising.experts) {
      expert.predict = [this, inner = expert.predict](const at::Tensor& x, double t,
                                                      const NetInputs& inputs, const Watch& watch) {
        at::Tensor out = inner(x, t, inputs, watch);
        if (!inputs.deep) {
          calls += '-';
          return out;
        }
        const bool is_whole = !inputs.deep->state.defined();
        calls += is_whole ? 'W' : 'r';
        if (is_whole) inputs.deep->state = x.mean({2, 3}, /*keepdim=*/true).clone();
        if (!is_whole) shapes.push_back(inputs.deep->state.sizes().vec());
        REQUIRE(inputs.deep->state.size(0) == x.size(0));
        return out + 0.01 * inputs.deep->state;
      };
    }
  }

  Request request(const std::string& reuse) {
    Request r = toy.request("cat");
    r.reuse_features = reuse;
    return r;
  }
  std::string calls_of(const Request& r, const Pictures& pictures = {}) {
    calls.clear();
    shapes.clear();
    draw(toy.model, r, {}, pictures);
    return calls;
  }
};

TEST_CASE("words of --reuse-features are read, and refused with what they may be") {
  CHECK(feature_reuse_from("off") == FeatureReuse{});
  CHECK(feature_reuse_from("1").interval == 1);
  CHECK(feature_reuse_from("on") == FeatureReuse{.interval = 2});
  const FeatureReuse all = feature_reuse_from("3,depth=2,order=1,from=0.25,to=0.75");
  CHECK(all == FeatureReuse{3, 2, 1, 0.25, 0.75});
  for (const char* text :
       {"", "0", "-1", "2.5", "yes", "2,", "2,depth", "2,depth=0", "2,depth=x", "2,order=2",
        "2,from=0.5,to=0.5", "2,to=1.1", "2,from=nan", "2,deep=1", "on,depth=2", "9999999999"}) {
    CHECK_MESSAGE(contains(refusal_of([&] { feature_reuse_from(text); }), "reuse_features"), text);
  }
  CHECK(contains(refusal_of([] { feature_reuse_from("2,dept=1"); }), "depth"));
}

TEST_CASE("a request says reuse as words, as true, or as a number") {
  const auto read = [](const nlohmann::json& value) {
    return request_from_json({{"reuse_features", value}}).reuse_features;
  };
  CHECK(read("3,depth=2") == "3,depth=2");
  CHECK(read(true) == "on");
  CHECK(read(false) == "off");
  CHECK(read(4) == "4");
  CHECK(request_from_json(nlohmann::json::object()).reuse_features == "off");
  Request request;
  CHECK(to_json(request)["reuse_features"].is_null());
  request.reuse_features = "3,order=1";
  CHECK(request_from_json(to_json(request)) == request);
  CHECK(contains(refusal_of([&] { read(nlohmann::json::array()); }), "reuse_features"));
}

TEST_CASE("without reuse, and at interval 1, a network is told nothing and draws the same") {
  Reuser reuser;
  CHECK(reuser.calls_of(reuser.request("off")) == "----------");
  CHECK(reuser.calls_of(reuser.request("1,depth=3")) == "----------");
  const auto picture = [&](const std::string& reuse) {
    return draw(reuser.toy.model, reuser.request(reuse)).pictures.at(0);
  };
  CHECK(picture("off") == picture("1"));
}

TEST_CASE("one forward in an interval is whole, and the first of each expert") {
  Reuser reuser;  // five steps an expert
  CHECK(reuser.calls_of(reuser.request("2")) == "WrWrWWrWrW");
  CHECK(reuser.calls_of(reuser.request("3")) == "WrrWrWrrWr");
  CHECK(reuser.calls_of(reuser.request("100,from=0.2,to=0.9")) == "WWrrrWrrrW");
}

TEST_CASE("a sampler of two calls a step makes one whole forward in an interval") {
  Reuser reuser;
  Request r = reuser.request("100");
  for (const char* sampler : {"heun", "dpm2", "dpmpp_2s_a", "dpmpp_sde"}) {
    r.sampler = sampler;
    const std::string calls = reuser.calls_of(r);
    CHECK_MESSAGE(calls.size() > 15, sampler);
    CHECK_MESSAGE(std::count(calls.begin(), calls.end(), 'W') == 2, sampler);
  }
  // Heun's second call of a step is at the level where the next one begins.
  r.sampler = "heun";
  r.reuse_features = "2";
  CHECK(reuser.calls_of(r) == "WrrWrrrWrWrrrWrrrWr");
}

TEST_CASE("where guidance is off, its row's features are left out, and are made where it begins") {
  Reuser reuser;
  Request r = reuser.request("100");
  const diffusion::Plan plan = plan_of(reuser.toy.model, r);
  r.guidance_low = plan.steps[2].sigma;
  CHECK(reuser.calls_of(r) == "WrrrrWrrrr");
  CHECK(reuser.shapes.at(0)[0] == 2);
  CHECK(reuser.shapes.at(1)[0] == 1);
  r.guidance_low = 0.0;
  r.guidance_high = plan.steps[2].sigma;
  CHECK(reuser.calls_of(r) == "WrWrrWrrrr");
}

TEST_CASE("features are not kept over a change of the prompt or of the ControlNets that act") {
  Reuser reuser;
  reuser.toy.model.denoising.text_sides.front().reads_syntax = true;
  Request r = reuser.request("100");
  r.prompt = "a [cat:horse:0.3]";
  CHECK(reuser.calls_of(r) == "WrrWrWrrrr");
  // Words that take turns keep features of their own.
  r.prompt = "a [cat|horse]";
  CHECK(reuser.calls_of(r) == "WWrrrWWrrr");

  std::vector<int64_t> shallow_states;
  reuser.toy.model.denoising.controls.push_back(
      {"net", [](const Watch&) {},
       [&](const at::Tensor&, double, const Conditions&, const at::Tensor&, int64_t states,
           const Watch&) {
         shallow_states.push_back(states);
         Residuals residuals{{at::zeros({1})}, {}};
         if (states == 0) residuals.mid = at::zeros({1});
         return residuals;
       }});
  r = reuser.request("100,depth=4");
  r.controls = {{"lines.png", 1.0, 0.2, 0.7}};
  Pictures pictures;
  pictures.controls = {half_white(8)};
  CHECK(reuser.calls_of(r, pictures) == "WrWrrWrWrr");
  CHECK(shallow_states == std::vector<int64_t>{0, 4, 4, 0, 4});
}

TEST_CASE("pictures of a batch have features of their own") {
  Reuser reuser;
  Request shared = reuser.request("3,order=1");
  const std::vector<Wish> wishes = {{"cat", 3}, {"a longer prompt", 4}, {"fox", 5}};
  const auto together = draw_each(reuser.toy.model, shared, wishes, 3).pictures;
  for (size_t i = 0; i < wishes.size(); ++i) {
    shared.prompt = wishes[i].prompt;
    shared.seed = wishes[i].seed;
    CHECK(most_off(together[i], draw(reuser.toy.model, shared).pictures.at(0)) <= kMostOff);
  }
}

TEST_CASE("the larger size of hires begins with features of its own") {
  Reuser reuser;
  Request r = reuser.request("100");
  r.hires_scale = 2.0;
  r.hires_strength = 0.7;
  // The first stage ends with a guess at the level where the second begins.
  CHECK(reuser.calls_of(r) == "WrrrWrWrrrr");
}

TEST_CASE("members that draw together keep features of their own, each as its request says") {
  std::vector<std::string> calls(2);
  CoopSetup s = setup();
  s.open_model = [&](const std::string& path, const LoadOptions&) {
    Model m = toy(path, 64);
    m.rules.most_reuse_depth = 3;
    m.denoising.experts[0].predict = [&calls, path, inner = m.denoising.experts[0].predict](
                                         const at::Tensor& x, double t, const NetInputs& in,
                                         const Watch& watch) {
      std::string& own = calls[path == "text" ? 0 : 1];
      const bool is_whole = !in.deep || !in.deep->state.defined();
      own += !in.deep ? '-' : is_whole ? 'W' : 'r';
      if (in.deep && is_whole) in.deep->state = at::zeros({x.size(0), 1, 1, 1});
      return inner(x, t, in, watch);
    };
    return m;
  };
  const auto recipe = [](const char* first, const char* second) {
    return recipe_from_json(
        {{"prompt", "cat"},
         {"steps", 6},
         {"member",
          {{{"name", "text"}, {"model", "text"}, {"hub", true}, {"reuse_features", first}},
           {{"name", "other"}, {"model", "more"}, {"reuse_features", second}}}}});
  };
  draw(assemble(recipe("3", "2"), s));
  CHECK(calls[0] == "WrrWrr");
  CHECK(calls[1].substr(0, 5) == "WrWrW");
  calls = {"", ""};
  draw(assemble(recipe("off", "2"), s));
  CHECK(calls[0] == "------");
}

TEST_CASE("the depth is the model's and the order the sampler's unless they are said") {
  Reuser reuser;
  reuser.toy.model.rules.reuse_depth = 4;
  const auto read = [&](const std::string& reuse, const char* sampler, std::optional<double> eta) {
    Request r = reuser.request(reuse);
    r.sampler = sampler;
    r.eta = eta;
    return reuse_of(r, reuser.toy.model.rules);
  };
  CHECK(read("on", "euler", {}) == FeatureReuse{2, 4, 1});
  CHECK(read("on", "euler_a", {}).order == 0);
  CHECK(read("on", "euler_a", 0.0).order == 1);
  CHECK(read("on", "ddim", 0.5).order == 0);
  CHECK(read("3,depth=2,order=1", "euler_a", {}) == FeatureReuse{3, 2, 1});
}

TEST_CASE("features are extrapolated through those of the last whole forwards") {
  diffusion::Plan plan;
  for (const double sigma : {8.0, 7.0, 6.0, 5.0, 4.0, 3.0})
    plan.steps.push_back({sigma, sigma - 1});
  for (const size_t i : {1u, 3u, 5u}) plan.steps[i].reuses_features = true;
  const auto quadratic = [](double t) { return at::full({2, 1, 1, 1}, t * t); };
  for (const int order : {0, 1}) {
    KeptFeatures kept({.interval = 2, .depth = 1, .order = order}, plan);
    for (const double sigma : {8.0, 6.0, 4.0}) {
      CHECK_FALSE(kept.at(sigma, 10 * sigma, {0, 1}, {}).state.defined());
      kept.keep({1, quadratic(10 * sigma)}, sigma, 10 * sigma, {0, 1}, {});
    }
    const double found = kept.at(3.0, 30.0, {1}, {}).state.item<double>();
    const double expected[] = {1600.0, 600.0};
    CHECK(found == doctest::Approx(expected[order]));
    CHECK_FALSE(kept.at(3.0, 30.0, {1}, {7}).state.defined());
    CHECK_FALSE(kept.at(3.0, 30.0, {2}, {}).state.defined());
  }
}

TEST_CASE("a depth that the networks do not have is refused, and reuse where there is no UNet") {
  Reuser reuser;
  CHECK(contains(refusal_of([&] { validate(reuser.request("2,depth=6"), reuser.toy.model.rules); }),
                 "1 to 5"));
  Toy plain;
  Request r = plain.request("cat");
  r.reuse_features = "2";
  CHECK(contains(refusal_of([&] { validate(r, plain.model.rules); }), "no UNet"));
}

}  // namespace
}  // namespace pangu::pipeline
