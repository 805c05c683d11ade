// `pangu-draw eval model`: a picture for each of many prompts, by several processes if need be, and
// their scores. What is drawn already is not drawn again; how it was drawn is kept beside it, so
// that pictures of two settings never come together.
#include <torch/types.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/eval/picture_scores.h"
#include "app/eval/shards.h"
#include "app/home.h"
#include "app/interrupt.h"
#include "core/error.h"
#include "core/hash.h"
#include "eval/coco_presets.h"
#include "io/atomic_file.h"
#include "io/json_file.h"
#include "pipeline/draw.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kDrawnBy = "drawn_by.json";

void check_eval_model(const EvalModelArgs& args) {
  if (args.prompts.empty() == args.preset.empty()) {
    throw bad_input("eval model", "--prompts FILE or --preset NAME", "neither");
  }
  check_folders_of({args.rulers.json});
}

eval::Benchmark prompts_of(const EvalModelArgs& args) {
  if (!args.preset.empty()) return eval::open_benchmark(args.preset, args.data);
  return {eval::read_prompt_list(args.prompts), "", 0, {}};
}

pipeline::Request request_of(const EvalModelArgs& args, const pipeline::Model& model) {
  pipeline::Request request;
  request.prompt = "-";  // every picture has its own
  request.steps = args.steps;
  request.guidance = args.guidance;
  if (!args.sampler.empty()) request.sampler = args.sampler;
  if (!args.size.empty()) {
    const auto [width, height] = pipeline::size_from(args.size);
    request.width = width;
    request.height = height;
  }
  request.seed = args.seed;
  return pipeline::resolved(request, model.rules, args.seed);
}

// What decides the pictures, apart from the rounding of a batch.
nlohmann::json drawn_by(const pipeline::Model& model, const pipeline::Request& request,
                        const std::vector<eval::NamedPrompt>& prompts) {
  Sha256 hash;
  for (const eval::NamedPrompt& one : prompts) {
    hash.update(one.name).update("\n").update(one.prompt).update("\n");
    if (one.seed) hash.update(std::to_string(*one.seed)).update("\n");
  }
  return {{"model", model.name},
          {"weights", model.fingerprint},
          {"dtype", model.cost.dtype},
          {"request", pipeline::to_json(request)},
          {"prompts", static_cast<int64_t>(prompts.size())},
          {"prompts_sha256", hex_of(hash.digest())}};
}

// Whoever comes first writes it; all others must mean the same.
void claim_folder(const fs::path& folder, const nlohmann::json& by) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw io_error("cannot make", folder.string(), failed.value());
  const std::string file = (folder / kDrawnBy).string();
  const std::string text = by.dump(2) + "\n";
  if (io::write_new_file_atomic(file, std::as_bytes(std::span(text)))) return;
  if (io::read_json_file(file) == by) return;
  throw bad_input("--out '" + folder.string() + "'",
                  "pictures of this model, these prompts and settings",
                  std::string("those of others, says ") + kDrawnBy, "choose another folder");
}

fs::path file_of(const fs::path& folder, const eval::NamedPrompt& prompt) {
  return folder / (prompt.name + ".png");
}

// Draws what is missing of a range. Throws Stopped with every finished picture written.
void draw_missing(const EvalModelArgs& args, const pipeline::Model& model,
                  const pipeline::Request& request, const std::vector<eval::NamedPrompt>& prompts,
                  const eval::PictureRange& range, const Watch& watch) {
  std::vector<int64_t> missing;
  for (int64_t i = range.begin; i < range.end; ++i) {
    if (!fs::exists(file_of(args.out, prompts[size_t(i)]))) missing.push_back(i);
  }
  const auto batch = static_cast<size_t>(args.draw_batch);
  const int64_t there = range.end - range.begin - static_cast<int64_t>(missing.size());
  for (size_t first = 0; first < missing.size(); first += batch) {
    const std::vector<int64_t> now(
        missing.begin() + static_cast<std::ptrdiff_t>(first),
        missing.begin() + static_cast<std::ptrdiff_t>(std::min(first + batch, missing.size())));
    std::vector<pipeline::Wish> wishes;
    for (const int64_t i : now) {
      const eval::NamedPrompt& one = prompts[size_t(i)];
      wishes.push_back({one.prompt, one.seed.value_or(args.seed + static_cast<uint64_t>(i))});
    }
    pipeline::DrawHooks hooks;
    hooks.watch.wants_stop = watch.wants_stop;
    hooks.on_picture = [&](int index, image::Image picture) {
      const image::Bytes png = image::encode_png(picture);
      io::write_file_atomic(file_of(args.out, prompts[size_t(now[size_t(index)])]).string(),
                            std::as_bytes(std::span(png)));
    };
    const pipeline::Drawing drawing =
        pipeline::draw_each(model, request, wishes, args.draw_batch, hooks);
    if (drawing.stopped) throw Stopped("stopped while drawing");
    Progress told;
    told.done = there + static_cast<int64_t>(first + now.size());
    told.total = range.end - range.begin;
    told.unit = "pictures";
    watch.report(told);
  }
}

int64_t count_missing(const fs::path& folder, const std::vector<eval::NamedPrompt>& prompts) {
  int64_t missing = 0;
  for (const eval::NamedPrompt& one : prompts) missing += !fs::exists(file_of(folder, one));
  return missing;
}

// Other pictures in the folder would count along.
void check_only_ours(const fs::path& folder, const std::vector<eval::NamedPrompt>& prompts) {
  const int64_t found = eval::picture_set(folder.string()).size();
  if (found != static_cast<int64_t>(prompts.size())) {
    throw bad_input("--out '" + folder.string() + "'",
                    "the pictures of the " + std::to_string(prompts.size()) + " prompts alone",
                    std::to_string(found) + " pictures");
  }
}

}  // namespace

int run_eval_model(const EvalModelArgs& args) {
  check_eval_model(args);
  const auto shard = shard_numbers(args.shard);
  const eval::Benchmark benchmark = prompts_of(args);
  RulerArgs said = args.rulers;
  if (said.reference.empty()) said.reference = benchmark.reference;
  if (said.size_px == 0) said.size_px = benchmark.size_px;
  const bool measures = !shard && (!said.fid_weights.empty() || !said.clip.empty());
  std::optional<OpenRulers> rulers;  // before hours of drawing
  if (measures) {
    rulers = open_rulers(said, benchmark.prompts);
    std::cout << rulers_text(rulers->about) << std::flush;
  }
  Interrupt interrupt;
  Bars bars(said.quiet);
  const auto watch = [&](const char* phase) {
    Watch w;
    w.wants_stop = [&interrupt] { return interrupt.wanted(); };
    w.on_progress = [&bars, phase](const Progress& progress) { bars(phase, progress); };
    return w;
  };
  try {
    nlohmann::json by;
    {
      pipeline::LoadOptions load;
      load.device = args.device;
      if (!args.dtype.empty()) load.dtype = args.dtype;
      const pipeline::Model model = pipeline::load_model(model_path(args.model).string(), load);
      const pipeline::Request request = request_of(args, model);
      by = drawn_by(model, request, benchmark.prompts);
      claim_folder(args.out, by);
      const auto total = static_cast<int64_t>(benchmark.prompts.size());
      const eval::PictureRange range =
          shard ? eval::shard_of(total, shard->first, shard->second) : eval::PictureRange{0, total};
      draw_missing(args, model, request, benchmark.prompts, range, watch("draw"));
    }
    bars.finish();
    const int64_t missing = count_missing(args.out, benchmark.prompts);
    std::cout << args.out << ": " << static_cast<int64_t>(benchmark.prompts.size()) - missing
              << " of " << benchmark.prompts.size() << " pictures\n";
    if (!measures) return 0;
    check_only_ours(args.out, benchmark.prompts);
    const Side drawn =
        side_of(measured_folder(args.out, *rulers, std::nullopt, "", watch("pictures")), args.out);
    std::optional<Side> reference;
    if (!said.reference.empty() && !said.fid_weights.empty()) {
      reference = is_statistics(said.reference)
                      ? kept_side({said.reference})
                      : side_of(measured_folder(said.reference, without_clip(*rulers), std::nullopt,
                                                "", watch("reference")),
                                said.reference);
    }
    nlohmann::json scores = scores_of(drawn, reference ? &*reference : nullptr, said,
                                      [&](const Progress& progress) { bars("KID", progress); });
    bars.finish();
    scores["drawn_by"] = by;
    scores["measured_by"] = rulers->about;
    print_tables({score_table(scores)});
    if (!benchmark.published.rows.empty()) print_tables({benchmark.published});
    if (!said.json.empty()) io::write_file_atomic(said.json, scores.dump(2) + "\n");
    return 0;
  } catch (const Stopped&) {
    bars.finish();
    std::fprintf(stderr, "stopped; the same command goes on from here\n");
    return interrupt.exit_code();
  }
}

}  // namespace pangu::app
