// `pangu-draw eval`: scores of a model, as tables, JSON and a page. What is measured is in eval/;
// here it meets a model that draws, a dataset, and files to write.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <chrono>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/commands.h"
#include "app/eval/eval_files.h"
#include "app/home.h"
#include "core/error.h"
#include "data/dataset.h"
#include "eval/evaluate.h"
#include "eval/page.h"
#include "io/atomic_file.h"
#include "pipeline/draw.h"
#include "tensors/pictures.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kLossFile = "mini_loss.svg";
constexpr const char* kLoss = "loss";

std::set<std::string> parts_of(const EvalArgs& args) {
  std::set<std::string> known(eval::eval_parts().begin(), eval::eval_parts().end());
  known.insert(kLoss);
  if (args.only.empty()) {
    if (args.runs.empty()) known.erase(kLoss);
    return known;
  }
  std::set<std::string> parts;
  std::istringstream words(args.only);
  for (std::string word; std::getline(words, word, ',');) {
    if (!known.count(word)) {
      throw bad_input("--only", "some of probe,frechet,scenes,loss", "'" + word + "'");
    }
    parts.insert(word);
  }
  return parts;
}

// Before hours of work: is there everything to read, and a place for everything to write?
void check_eval(const EvalArgs& args, const std::set<std::string>& parts) {
  if (parts.count(kLoss) && args.runs.empty()) {
    throw bad_input("--runs", "a folder of trainings for the part 'loss'", "nothing");
  }
  const bool draws = parts.size() > parts.count(kLoss);
  if (draws && args.data.empty()) {
    throw bad_input("--data", "a dataset folder", "nothing", "`pangu-draw data build` makes one");
  }
  if (draws && args.inception.empty()) {
    throw bad_input("--inception", "weights of the feature extractor", "nothing",
                    "`python tools/export_inception.py --out FILE` makes them");
  }
  if (!args.out.empty() && fs::path(args.out).extension() != ".md") {
    throw bad_input("--out", "a name ending in .md", "'" + args.out + "'");
  }
  check_folders_of({args.out, args.json, args.cache});
}

std::string command_of(const EvalArgs& args) {
  std::ostringstream out;
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) out << " " << flag << " " << value;
  };
  out << "./pangu-draw eval";
  add("--model", shown_path(args.model));
  add("--data", shown_path(args.data));
  add("--inception", shown_path(args.inception));
  add("--runs", shown_path(args.runs));
  add("--only", args.only);
  for (const std::string& lora : args.loras) add("--lora", shown_path(lora));
  add("--size", args.size);
  out << " --prompts " << args.prompts << " --scenes " << args.scenes;
  if (args.steps) out << " --steps " << *args.steps;
  if (args.guidance) out << " --guidance " << *args.guidance;
  if (args.guidance_low) out << " --guidance-low " << *args.guidance_low;
  out << " --seed " << args.seed << " --batch " << args.batch;
  add("--out", shown_path(args.out));
  add("--json", shown_path(args.json));
  return out.str();
}

eval::Setting setting_of(const pipeline::Model& model, const pipeline::Request& request) {
  eval::Setting s;
  s.model = model.name;
  s.fingerprint = model.fingerprint;
  s.sampler = *request.sampler;
  s.schedule = *request.schedule;
  s.steps = *request.steps;
  s.width_px = *request.width;
  s.height_px = *request.height;
  s.guidance = *request.guidance;
  s.guidance_low = *request.guidance_low;
  s.seed = *request.seed;
  s.dtype = model.cost.dtype;
  s.threads = at::get_num_threads();
  return s;
}

eval::Reconstruct reconstruction_by(const pipeline::LatentCodec& codec, int batch) {
  if (!codec.encode) return {};  // a decoder alone
  return [codec, batch](const std::vector<image::Image>& pictures) {
    const at::NoGradGuard no_grad;
    std::vector<image::Image> decoded;
    for (size_t first = 0; first < pictures.size(); first += size_t(batch)) {
      const at::Tensor real =
          batch_of(pictures, first, std::min(pictures.size(), first + size_t(batch)));
      const at::Tensor found = codec.decode(codec.encode(real, {}).mean, {});
      for (int64_t i = 0; i < found.size(0); ++i) decoded.push_back(tensors::picture_of(found[i]));
    }
    return decoded;
  };
}

eval::Evaluation draw_and_score(const EvalArgs& args, const std::set<std::string>& parts,
                                Bars& bars) {
  pipeline::LoadOptions load;
  load.device = args.device;
  if (!args.dtype.empty()) load.dtype = args.dtype;
  for (const std::string& text : args.loras) load.loras.push_back(pipeline::lora_use_from(text));
  const pipeline::Model model = pipeline::load_model(model_path(args.model).string(), load);
  pipeline::Request request;
  request.prompt = "-";  // every picture has its own
  if (!args.size.empty()) {
    const auto [width, height] = pipeline::size_from(args.size);
    request.width = width;
    request.height = height;
  }
  request.steps = args.steps;
  request.guidance = args.guidance;
  request.guidance_low = args.guidance_low;
  request = pipeline::resolved(request, model.rules, args.seed);

  data::Report report;
  const std::vector<data::Item> items = data::open_dataset(args.data, report);
  if (!report.is_clean()) std::cerr << report.text() << "\n";
  const eval::FeatureSource source = eval::inception_features(args.inception);

  eval::Setting setting = setting_of(model, request);
  double seconds = 0;
  const eval::Generator generate = [&](const std::vector<eval::Wish>& wishes) {
    std::vector<pipeline::Wish> asked;
    for (const eval::Wish& wish : wishes) asked.push_back({wish.prompt, wish.seed});
    pipeline::DrawHooks hooks;
    hooks.watch.on_progress = [&](const Progress& progress) {
      bars("draw " + std::to_string(wishes.size()), progress);
    };
    const auto start = std::chrono::steady_clock::now();
    pipeline::Drawing drawing = pipeline::draw_each(model, request, asked, args.batch, hooks);
    seconds += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
    setting.pictures_drawn += static_cast<int64_t>(drawing.pictures.size());
    return std::move(drawing.pictures);
  };
  eval::EvalOptions options;
  options.parts = parts;
  options.prompts = static_cast<size_t>(args.prompts);
  options.scenes = static_cast<size_t>(args.scenes);
  options.seed = args.seed;
  options.reconstruct = reconstruction_by(model.latents, args.batch);
  eval::Evaluation found =
      eval::evaluate(items, source, feature_cache(args.cache), generate, options,
                     [&](const std::string& phase, const Progress& p) { bars(phase, p); });
  if (setting.pictures_drawn > 0) setting.seconds_a_picture = seconds / setting.pictures_drawn;
  found.scores.setting = setting;
  return found;
}

void write_page(const EvalArgs& args, const eval::Evaluation& found) {
  const fs::path images = fs::path(args.out).parent_path() / "images";
  std::error_code failed;
  fs::create_directories(images, failed);
  if (failed) throw io_error("cannot make", images.string(), failed.value());
  for (const auto& [grid, picture] : found.sheets) {
    const image::Bytes webp = small_webp(picture);
    io::write_file_atomic((images / grid.file).string(), std::as_bytes(std::span(webp)));
  }
  const std::string svg = eval::loss_svg(found.scores.runs);
  if (!svg.empty()) io::write_file_atomic((images / kLossFile).string(), svg);
  // Last: a page shows nothing that is not there.
  io::write_file_atomic(args.out,
                        eval::page_of(found.scores, "images", svg.empty() ? "" : kLossFile));
}

}  // namespace

int run_eval(const EvalArgs& args) {
  const std::set<std::string> parts = parts_of(args);
  check_eval(args, parts);
  std::vector<eval::TrainingRun> runs;
  if (parts.count(kLoss)) runs = eval::read_runs(args.runs);

  Bars bars(args.quiet);
  eval::Evaluation found;
  found.scores.setting.model = fs::path(model_path(args.model)).filename().string();
  if (parts.size() > parts.count(kLoss)) found = draw_and_score(args, parts, bars);
  bars.finish();
  found.scores.setting.command = command_of(args);
  found.scores.runs = std::move(runs);

  print_tables(eval::tables_of(found.scores));
  if (!args.json.empty()) {
    io::write_file_atomic(args.json, eval::to_json(found.scores).dump(2) + "\n");
  }
  if (!args.out.empty()) {
    write_page(args, found);
    std::cout << args.out << "\n";
  }
  return 0;
}

}  // namespace pangu::app
