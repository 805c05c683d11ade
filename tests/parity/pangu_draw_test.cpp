// Compares PanGu-Draw 3 with a second implementation in Python, written from its specification: the
// same pair of .ckpt files, prompt, size and seed must give the same conditions, the same expert at
// every step, the same latents after it, and the same bytes. The files are narrow and random, in
// the released names and wire format; tools/parity/dump_pangu.py makes them when the test runs, and
// needs the vocabularies of models/tokenizers. Without a Python that has the modules it imports,
// the case says so loudly and passes.
//   PANGU_FULL_PANGU   a folder of `dump_pangu.py --full`: one forward at the released width as
//   well
#include <ATen/ATen.h>
#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "core/testing.h"
#include "nn/unet/unet.h"
#include "nn/unet/unet_from_shapes.h"
#include "picture_case.h"
#include "pipeline/draw.h"
#include "pipeline/families/networks.h"
#include "pipeline/families/source.h"
#include "tensors/safetensors.h"

namespace pangu::pipeline {
namespace {

// One forward in f32 with another order of sums: the measured error is 2e-6. The tanh form of GELU
// would change the result by 1.5e-4, another epsilon of a norm by 5e-4, the index of a neighbouring
// size by 2e-2.
constexpr double kNetworkBound = 2e-5;
constexpr double kFullWidthBound = 1e-4;
// After n guided steps: guidance 6 and styles 4 multiply the error of one forward, and the
// schedule, which is f32 there and f64 here, changes sigma by 1e-5.
constexpr double kPathBound = 5e-5;
// The mean difference of bytes. Bytes are cut and not rounded, so one may differ where a value is
// close to a whole number.
constexpr double kBytesBound = 0.002;
constexpr double kUnequalBound = 0.002;

// The inputs and outputs of a model while it drew.
struct Recording {
  std::vector<std::string> experts;
  std::vector<at::Tensor> x_net;  // inputs of every step
  at::Tensor first_prediction, latents;
  Conditions conditions;
};

Model recorded(Model model, Recording& recording) {
  for (Expert& expert : model.denoising.experts) {
    expert.predict = [&recording, name = expert.name, predict = expert.predict](
                         const at::Tensor& x, double t, const NetInputs& inputs,
                         const Watch& watch) {
      recording.experts.push_back(name == "structure" ? "high" : "low");
      recording.x_net.push_back(x.slice(0, 0, 1).clone());
      at::Tensor out = predict(x, t, inputs, watch);
      if (!recording.first_prediction.defined()) recording.first_prediction = out.clone();
      return out;
    };
  }
  TextSide& side = model.denoising.text_sides.front();
  side.encode = [&recording, encode = side.encode](const PromptRows& rows, const Watch& watch) {
    return recording.conditions = encode(rows, watch);
  };
  model.latents.decode = [&recording, decode = model.latents.decode](const at::Tensor& latents,
                                                                     const Watch& watch) {
    recording.latents = latents.clone();
    return decode(latents, watch);
  };
  return model;
}

double unequal_bytes(const image::Image& got, const image::Image& want) {
  REQUIRE(got.pixels.size() == want.pixels.size());
  size_t unequal = 0;
  for (size_t i = 0; i < got.pixels.size(); ++i) unequal += got.pixels[i] != want.pixels[i];
  return static_cast<double>(unequal) / static_cast<double>(got.pixels.size());
}

// The size's index, as an angle, in the vector y that the network gets: the pooled text, then the
// sinusoid of the index.
at::Tensor index_of_size(const at::Tensor& y) {
  const at::Tensor angles = at::atan2(y.slice(1, -128, -127), y.slice(1, -256, -255));
  return angles;  // the angle of frequency 1, in (-pi, pi]
}

void compare_conditions(const std::string& name, const Conditions& got,
                        const nn::TensorMap& wanted) {
  const at::Tensor y = wanted.at("y");
  REQUIRE(got.pooled.size(1) + 256 == y.size(1));
  parity::Worst worst;
  worst.add("context", got.context, wanted.at("context"));
  worst.add("pooled", got.pooled, y.slice(1, 0, got.pooled.size(1)));
  const at::Tensor wrapped = at::atan2(got.size_numbers.sin(), got.size_numbers.cos());
  worst.add("size", wrapped, index_of_size(y));
  worst.report(name + ", conditions", kNetworkBound);
}

TEST_CASE("PanGu-Draw 3 draws what a second statement of it draws") {
  const parity::Dump dump("torch, numpy, safetensors, PIL, ftfy, regex", "dump_pangu.py");
  if (!dump.made()) return;
  LoadOptions options;
  options.dtype = "f32";
  options.tokenizers = std::string(kSourceDir) + "/models/tokenizers";
  const Model model = load_model((dump.folder() / "pair").string(), options);
  REQUIRE(model.denoising.experts.size() == 2);
  for (const auto& one : parity::read_json(dump.folder() / "cases.json")) {
    const std::string key = one["name"], name = "pangu-draw 3: " + key;
    const auto wanted =
        tensors::load_safetensors((dump.folder() / (key + ".safetensors")).string());
    Recording recording;
    const Request request = resolved(request_from_json(one["request"]), model.rules, 0);
    const Drawing drawing = draw(recorded(model, recording), request);

    CHECK(recording.experts == one["experts"].get<std::vector<std::string>>());
    compare_conditions(name, recording.conditions, wanted);
    parity::Worst first, path;
    first.add("eps", recording.first_prediction, wanted.at("eps"));
    first.report(name + ", first forward", kNetworkBound);
    const diffusion::Plan plan = plan_of(model, request);
    REQUIRE(recording.x_net.size() == plan.steps.size());
    const at::Tensor latents = wanted.at("path");
    for (size_t i = 0; i <= plan.steps.size(); ++i) {
      const at::Tensor got =
          i == plan.steps.size()
              ? recording.latents
              : recording.x_net[i] / model.denoising.schedule.input_scale(plan.steps[i].sigma);
      const auto row = static_cast<int64_t>(i);
      path.add("latents " + std::to_string(i), got, latents.slice(0, row, row + 1));
    }
    path.report(name + ", latents", kPathBound);
    REQUIRE(drawing.pictures.size() == 1);
    const image::Image want = image::read_image((dump.folder() / (key + ".png")).string());
    parity::report(name + ", share of unequal bytes", unequal_bytes(drawing.pictures[0], want),
                   kUnequalBound);
    nlohmann::json changed = one;
    changed.merge_patch(one["change"]["patch"]);
    const Request other = resolved(request_from_json(changed["request"]), model.rules, 0);
    const double sensitivity =
        parity::difference_of(drawing.pictures, draw(model, other).pictures).least;
    parity::report_picture("pangu3 text to image: " + key,
                           parity::mean_difference(drawing.pictures[0], want), sensitivity,
                           one["change"]["setting"], kBytesBound);
  }
}

TEST_CASE("a UNet of PanGu-Draw 3's released width is that of its second statement") {
  const char* folder = std::getenv("PANGU_FULL_PANGU");
  if (folder == nullptr) return;
  const at::NoGradGuard no_grad;
  const std::filesystem::path root = folder;
  io::Recognised what;
  const Component part = open_component((root / "unet.ckpt").string(), io::Part::kUnet, &what);
  CHECK(what.family == io::Family::kPanguDraw3);
  const Placement place;
  const auto unet = make_network<nn::UNet2DConditionModel>(
      nn::unet_config_from_shapes(shapes_of(part)), part, place, tensors_of(part), {});
  const auto given = tensors::load_safetensors((root / "full.safetensors").string());
  nn::UNetExtras extras;
  extras.text_embeds = given.at("pooled");
  extras.time_ids = given.at("size");
  const at::Tensor x = given.at("x").contiguous(at::MemoryFormat::ChannelsLast);
  parity::Worst worst;
  worst.add("eps", unet->forward(x, given.at("t"), given.at("context"), extras), given.at("eps"));
  worst.report("pangu-draw 3: UNet of 2.57 B parameters", kFullWidthBound, false);
}

}  // namespace
}  // namespace pangu::pipeline
