// `pangu-draw eval coop`: does cooperation do what was asked? The studies are those of the room
// study/; here they meet models, a dataset, and files to write.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/commands.h"
#include "app/coop_setup.h"
#include "app/eval/eval_files.h"
#include "app/home.h"
#include "core/error.h"
#include "data/dataset.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "study/drawer.h"
#include "study/experiments.h"
#include "study/page.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

using study::kExperimentKinds;

const std::string& member_path(const EvalCoopArgs& args, const std::string& kind) {
  if (kind == "edges") return args.edges;
  return kind == "variation" ? args.variation : args.low;
}

std::vector<std::string> words_of(const std::string& list) {
  std::vector<std::string> words;
  std::istringstream stream(list);
  for (std::string word; std::getline(stream, word, ',');) words.push_back(word);
  return words;
}

bool exists(const std::string& model) {
  try {
    const fs::path path = model_path(model);
    return fs::is_regular_file(path) || fs::exists(path / "model_index.json");
  } catch (const Error&) {
    return false;
  }
}

// Those asked for; without --only those whose member is there.
std::vector<std::string> kinds_of(const EvalCoopArgs& args) {
  std::vector<std::string> kinds;
  for (const std::string& word : words_of(args.only)) {
    if (std::find(std::begin(kExperimentKinds), std::end(kExperimentKinds), word) ==
        std::end(kExperimentKinds)) {
      throw bad_input("--only", "some of edges,variation,low", "'" + word + "'");
    }
    model_path(member_path(args, word));  // says what is missing
    kinds.push_back(word);
  }
  if (!kinds.empty()) return kinds;
  for (const std::string kind : kExperimentKinds) {
    if (exists(member_path(args, kind))) {
      kinds.push_back(kind);
    } else {
      std::cerr << "no " << kind << " member at '" << member_path(args, kind)
                << "': its study is left out\n";
    }
  }
  if (kinds.empty()) throw bad_input("eval coop", "a member beside the hub", "none of the three");
  return kinds;
}

constexpr const char* kPage = "out/coop/study.md";

// What was not said is in its usual place.
EvalCoopArgs completed(EvalCoopArgs args) {
  args.data = usual_data(args.data);
  args.inception = usual_inception(args.inception);
  if (!args.out.empty()) return args;
  const fs::path page = home() / kPage;
  std::error_code failed;
  fs::create_directories(page.parent_path(), failed);
  if (failed) throw io_error("cannot make", page.parent_path().string(), failed.value());
  args.out = page.string();
  return args;
}

void check_eval_coop(const EvalCoopArgs& args) {
  if (fs::path(args.out).extension() != ".md") {
    throw bad_input("--out", "a name ending in .md", "'" + args.out + "'");
  }
  check_folders_of({args.out, args.json, args.cache});
}

std::string file_text(const std::string& file) {
  if (!fs::exists(file)) return "";
  const io::MappedFile mapped(file);
  const auto bytes = mapped.bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string coop_command_of(const EvalCoopArgs& args) {
  std::ostringstream out;
  const auto add = [&](const char* flag, const std::string& value) {
    if (!value.empty()) out << " " << flag << " " << value;
  };
  out << "./pangu-draw eval coop";
  add("--data", shown_path(args.data));
  add("--inception", shown_path(args.inception));
  add("--only", args.only);
  const EvalCoopArgs usual;
  const auto differs = [&](const char* flag, const std::string& value, const std::string& is) {
    if (value != is) add(flag, shown_path(value));
  };
  differs("--hub", args.hub, usual.hub);
  differs("--edges", args.edges, usual.edges);
  differs("--variation", args.variation, usual.variation);
  differs("--low", args.low, usual.low);
  differs("--form", args.form, usual.form);
  differs("--bridge", args.bridge, usual.bridge);
  if (!args.settings.empty()) out << " --settings \"" << args.settings << "\"";
  out << " --prompts " << args.prompts << " --steps " << args.steps << " --seed " << args.seed
      << " --batch " << args.batch;
  add("--out", shown_path(args.out));
  return out.str();
}

pipeline::CoopSetup setup_of(const EvalCoopArgs& args) {
  pipeline::LoadOptions load;
  load.device = args.device;
  if (!args.dtype.empty()) load.dtype = args.dtype;
  return coop_setup({}, load);
}

std::vector<study::Experiment> experiments_of(const EvalCoopArgs& args, const std::string& kind,
                                              study::Drawer& drawer,
                                              const std::vector<data::Item>& items,
                                              const eval::Names& concepts) {
  study::Shared shared;
  shared.hub = args.hub;
  shared.other = member_path(args, kind);
  shared.steps = args.steps;
  shared.form = args.form;
  shared.bridge = args.bridge;
  const auto cases = [&](bool others_prompt) {
    return study::study_cases(items, concepts, size_t(args.prompts), args.seed, others_prompt);
  };
  return study::experiments_of(kind, shared, drawer.model(args.hub).denoising.schedule, cases,
                               words_of(args.settings));
}

std::string setting_text(const EvalCoopArgs& args, study::Drawer& drawer,
                         const std::vector<std::string>& kinds) {
  const auto told = [&](const std::string& path) {
    const pipeline::Model& m = drawer.model(path);
    return "`" + m.name + "` (weights " + m.fingerprint + ")";
  };
  std::string text = "The hub is " + told(args.hub) + "; with it draw";
  for (size_t i = 0; i < kinds.size(); ++i) {
    text += (i ? ", " : " ") + told(member_path(args, kinds[i]));
  }
  return text + ". " + std::to_string(args.steps) +
         " steps, the hub guided at all noise levels, form `" + args.form + "`, bridge `" +
         args.bridge + "`, seeds from " + std::to_string(args.seed) + ", " +
         drawer.model(args.hub).cost.dtype + "; seconds on " +
         std::to_string(at::get_num_threads()) + " threads of the machine that made this page, " +
         std::to_string(args.batch) +
         " prompts in one forward, all settings by turns. d is the other member's share; t is "
         "the training index, high at much noise.";
}

void write_study_page(const EvalCoopArgs& args, const study::Page& page) {
  const std::string old = file_text(args.out);
  const std::string text =
      study::with_section(old, study::section_of(page, "images", old), args.out);
  const fs::path images = fs::path(args.out).parent_path() / "images";
  std::error_code failed;
  fs::create_directories(images, failed);
  if (failed) throw io_error("cannot make", images.string(), failed.value());
  for (const study::Study& study : page.studies) {
    io::write_file_atomic((images / study::plot_file(study)).string(), study::plot_of(study));
    if (study.sheet.empty()) continue;
    const image::Bytes webp = small_webp(study.sheet);
    io::write_file_atomic((images / study.grid.file).string(), std::as_bytes(std::span(webp)));
  }
  io::write_file_atomic(args.out, text);
}

}  // namespace

int run_eval_coop(const EvalCoopArgs& said) {
  const EvalCoopArgs args = completed(said);
  check_eval_coop(args);
  const std::vector<std::string> kinds = kinds_of(args);
  study::with_section(file_text(args.out), "", args.out);  // before hours

  Bars bars(args.quiet);
  const eval::OnPhase on_phase = [&](const std::string& phase, const Progress& p) {
    bars(phase, p);
  };
  study::Drawer drawer(setup_of(args), args.keep);
  data::Report report;
  std::vector<data::Item> items = data::open_dataset(args.data, report);
  if (!report.is_clean()) std::cerr << report.text() << "\n";
  std::erase_if(items, [](const data::Item& i) { return i.concept_id.empty() || i.style.empty(); });
  const eval::Names concepts = eval::concepts_of(items);
  std::vector<study::Experiment> experiments;
  for (const std::string& kind : kinds) {
    for (study::Experiment& one : experiments_of(args, kind, drawer, items, concepts)) {
      drawer.use(one.recipes);  // names what is wrong before anything is drawn
      experiments.push_back(std::move(one));
    }
  }
  const eval::FeatureSource source = eval::inception_features(args.inception);
  const eval::Features real =
      eval::real_features(source, items, feature_cache(args.cache),
                          [&](const Progress& p) { on_phase("real pictures", p); });
  const eval::Probe probe = eval::fit_concepts(items, concepts, real);
  const study::Judge judge{items, source, real, probe};

  study::Page page{coop_command_of(said), setting_text(args, drawer, kinds), {}};
  nlohmann::json json = {{"command", page.command}, {"setting", page.setting}};
  for (const study::Experiment& one : experiments) {
    drawer.use(one.recipes);
    page.studies.push_back(study::run_study(
        one.plan, judge,
        [&](size_t setting, const auto& wishes) { return drawer.draw(setting, wishes); },
        size_t(args.batch), on_phase));
    bars.finish();
    const study::Study& study = page.studies.back();
    print_tables({study::table_of(study)});
    const std::string verdict = study::verdict_text(study);
    if (!verdict.empty()) std::cout << verdict << "\n\n";
    json["studies"].push_back(study::to_json(study));
    // After every study: what is done is not lost with the next.
    if (!args.json.empty()) io::write_file_atomic(args.json, json.dump(2) + "\n");
    write_study_page(args, page);
  }
  std::cout << args.out << "\n";
  return 0;
}

}  // namespace pangu::app
