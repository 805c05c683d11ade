// This program as an engine of bench/peers: it reads one request a line from standard input, JSON,
// and answers each by one line (child.py has the protocol). Weights come by the loader of
// `pangu-draw draw`, networks are called as a drawing calls them, and the process is started as the
// program is (src/main.cpp, which this library is loaded by).
#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <ATen/record_function.h>

#include <chrono>
#include <cstdio>
#include <iostream>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <utility>
#include <vector>

#include "core/error.h"
#include "kernels/level.h"
#include "pipeline/draw.h"
#include "tensors/large_blocks.h"

namespace pangu::bench {
namespace {

using nlohmann::json;
using Clock = std::chrono::steady_clock;

constexpr const char* kPrompt = "a red fox in the snow, oil painting";

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

void answer(const json& line) { std::cout << line.dump() << std::endl; }

json next_request() {
  std::string line;
  if (!std::getline(std::cin, line)) return {{"do", "quit"}};
  return json::parse(line);
}

// What an ATen operator does, or a call of nn/ that records itself; null: it is not told apart.
const char* kind_of(const std::string& name) {
  static const std::map<std::string, const char*> kinds = {
      {"pangu::conv2d", "convolution"},
      {"pangu::linear", "linear"},
      {"pangu::attention", "attention"},
      {"pangu::norm", "norm and activation"},
      {"pangu::geglu", "norm and activation"},
      {"aten::conv2d", "convolution"},
      {"aten::convolution", "convolution"},
      {"aten::linear", "linear"},
      {"aten::matmul", "linear"},
      {"aten::scaled_dot_product_attention", "attention"},
      {"aten::group_norm", "norm and activation"},
      {"aten::layer_norm", "norm and activation"},
      {"aten::silu", "norm and activation"},
      {"aten::gelu", "norm and activation"},
      {"aten::cat", "copies"},
      {"aten::copy_", "copies"},
      {"aten::to", "copies"},
      {"aten::contiguous", "copies"},
      {"aten::upsample_nearest2d", "copies"},
      {"aten::add", "sums"},
      {"aten::add_", "sums"},
  };
  const auto found = kinds.find(name);
  return found == kinds.end() ? nullptr : found->second;
}

struct OperatorStart : at::ObserverContext {
  const char* kind;
  Clock::time_point start;
  OperatorStart* around;         // that this one runs in, or null
  double seconds_of_others = 0;  // that run in this one and are told apart
};

// Seconds by kind of operator on the calling thread.
struct Profile {
  std::map<std::string, double> seconds;
  OperatorStart* running = nullptr;  // the innermost one that is told apart
};
thread_local Profile* running_profile = nullptr;

// A product is a product whatever it is made of, but the norm before it and the sum after it, which
// other engines do in operators of their own, are told apart.
bool is_told_apart(const std::string& kind, const OperatorStart* around) {
  if (!around) return true;
  const std::string outer = around->kind;
  return (outer == "convolution" || outer == "linear") &&
         (kind == "norm and activation" || kind == "sums");
}

std::unique_ptr<at::ObserverContext> operator_begins(const at::RecordFunction& call) {
  const char* kind = kind_of(call.name());
  if (!running_profile || !kind || !is_told_apart(kind, running_profile->running)) return nullptr;
  auto begun = std::make_unique<OperatorStart>();
  begun->kind = kind;
  begun->around = std::exchange(running_profile->running, begun.get());
  begun->start = Clock::now();
  return begun;
}

void operator_ends(const at::RecordFunction&, at::ObserverContext* context) {
  const auto* begun = static_cast<const OperatorStart*>(context);
  if (!begun || !running_profile) return;
  const double all = seconds_since(begun->start);
  running_profile->seconds[begun->kind] += all - begun->seconds_of_others;
  running_profile->running = begun->around;
  if (begun->around) begun->around->seconds_of_others += all;
}

template <class Run>
json profile_of(const Run& run) {
  Profile profile;
  running_profile = &profile;
  const auto handle = at::addThreadLocalCallback(
      at::RecordFunctionCallback(operator_begins, operator_ends)
          .scopes({at::RecordScope::FUNCTION, at::RecordScope::USER_SCOPE}));
  const auto start = Clock::now();
  run();
  const double all = seconds_since(start);
  at::removeCallback(handle);
  running_profile = nullptr;
  double known = 0;
  for (const auto& [kind, seconds] : profile.seconds) known += seconds;
  profile.seconds["other"] = all - known;
  return {{"seconds", all}, {"kinds", profile.seconds}};
}

// A loaded model with the inputs of a step and of a decoding, the same at every call.
class Engine {
 public:
  explicit Engine(const json& asked) {
    at::set_num_threads(asked.at("threads"));
    pipeline::LoadOptions options;
    options.device = asked.value("device", "cpu");
    options.dtype = asked.value("dtype", "bf16");
    options.vae_dtype = options.dtype;
    options.precision = asked.value("precision", pipeline::kExactPrecision);
    options.tokenizers = asked.at("tokenizers");
    options.experts_in_memory = asked.value("experts_in_memory", 0);
    options.packed_weights = asked.value("packed_weights", "");
    model_ = pipeline::load_model(asked.at("folder"), options);
    pipeline::Request request;
    request.prompt = kPrompt;
    request.width = asked.at("width").get<int>();
    request.height = asked.at("height").get<int>();
    request.guidance_low = 0.0;  // every step is guided
    request_ = pipeline::resolved(request, model_.rules, 1);
    images_ = asked.value("batch", 1);
    for (const std::string part : asked.at("parts")) load_part(part);
  }

  json facts() const {
    const auto cost = [&](const auto& of) {
      return of ? of(*request_.width, *request_.height) : 0.0;
    };
    return {{"row_gflop", cost(model_.cost.row_gflop)},
            {"decode_gflop", cost(model_.cost.decode_gflop)},
            {"kernels", std::string(kernels::to_string(kernels::chosen_level()))}};
  }

  // One forward of the first expert, two rows a picture.
  void step() {
    if (!latents_.defined()) make_inputs();
    expert().predict(latents_, 500.0, inputs_, {});
  }

  void decode() {
    if (!decoded_.defined()) decoded_ = at::randn(latent_shape(images_));
    model_.latents.decode(decoded_, {});
  }

  // Whole pictures. After every part it tells the part's seconds, and goes on when it is told to.
  void picture(int steps) {
    held_.reset();  // or a drawing would wait for room for the second expert
    pipeline::Request request = request_;
    request.steps = steps;
    request.count = images_;
    const int64_t pixels = at::Tensor(at::empty(latent_shape(1))).numel() / model_.latents.channels;
    model_.denoising.latent_pixels_a_forward = 2 * pixels * images_;
    auto start = Clock::now();
    const auto tell = [&](const char* part) {
      answer({{"part", part}, {"seconds", seconds_since(start)}});
      next_request();
      start = Clock::now();
    };
    pipeline::DrawHooks hooks;
    hooks.last = true;  // as in a process that draws one picture
    hooks.watch.on_progress = [&](const Progress& progress) {
      tell(progress.done == 0 ? "prepare" : "step");
    };
    const auto drawing = pipeline::draw(model_, request, hooks);
    for (const auto& picture : drawing.pictures) image::encode_png(picture);
    tell("decode");
  }

 private:
  const pipeline::Expert& expert() const { return model_.denoising.experts.front(); }

  void load_part(const std::string& part) {
    if (part == "denoiser" && expert().hold) held_ = expert().hold(true, {});
    if (part == "denoiser") expert().load({});
    if (part == "decoder") model_.latents.load({});
    if (part == "text") model_.denoising.text_sides.at(expert().text_side).load({});
  }

  std::vector<int64_t> latent_shape(int64_t rows) const {
    return {rows, model_.latents.channels, *request_.height / model_.latents.downscale,
            *request_.width / model_.latents.downscale};
  }

  void make_inputs() {
    pipeline::PromptRows rows;
    rows.prompts = {kPrompt, ""};
    rows.negative = {false, true};
    rows.width = *request_.width;
    rows.height = *request_.height;
    const auto& side = model_.denoising.text_sides.at(expert().text_side);
    std::vector<int64_t> numbers;
    for (int64_t row = 0; row < 2; ++row) numbers.insert(numbers.end(), images_, row);
    inputs_.conditions = side.encode(rows, {}).rows(numbers);
    if (expert().prepare) inputs_.prepared = expert().prepare(inputs_.conditions, {});
    latents_ = at::randn(latent_shape(2 * images_));
  }

  pipeline::Model model_;
  pipeline::Request request_;
  int images_ = 1;
  std::shared_ptr<const void> held_;
  pipeline::NetInputs inputs_;
  at::Tensor latents_, decoded_;
};

template <class Run>
json timed(const Run& run) {
  const auto start = Clock::now();
  run();
  return {{"seconds", seconds_since(start)}};
}

json answer_to(const json& asked, std::unique_ptr<Engine>& engine) {
  const at::NoGradGuard no_grad;
  const std::string what = asked.at("do");
  if (what == "load") {
    json told = timed([&] { engine = std::make_unique<Engine>(asked); });
    told.update(engine->facts());
    return told;
  }
  if (!engine) throw bad_input("do", "'load' first", what);
  if (what == "step" || what == "decode") {
    return timed([&] {
      for (int i = asked.value("calls", 1); i > 0; --i) {
        what == "step" ? engine->step() : engine->decode();
      }
    });
  }
  if (what == "profile" && asked.at("of") == "step") return profile_of([&] { engine->step(); });
  if (what == "profile") return profile_of([&] { engine->decode(); });
  if (what == "picture") return timed([&] { engine->picture(asked.at("steps")); });
  if (what == "unload") return timed([&] { engine.reset(); });  // a file that is written is whole
  throw bad_input("do", "load, step, decode, picture, profile, unload or quit", what);
}

}  // namespace
}  // namespace pangu::bench

extern "C" __attribute__((visibility("default"))) int pangu_run(int, const char* const*) {
  using namespace pangu::bench;
  pangu::tensors::keep_large_blocks();  // as the program does
  std::unique_ptr<Engine> engine;
  answer({{"ready", true}});
  for (json asked = next_request(); asked.value("do", "quit") != "quit"; asked = next_request()) {
    try {
      answer(answer_to(asked, engine));
    } catch (const std::exception& error) {
      answer({{"error", error.what()}});
    }
  }
  // Networks of gigabytes are not taken down one tensor after another.
  std::fflush(stdout);
  std::_Exit(0);
}
