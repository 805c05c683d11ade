// `pangu-draw eval coop`: does cooperation do what was asked? Settings are
// pipeline/coop/coop_study.h, measures eval/coop_study.h; here they meet models, a dataset, and
// files to write.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <sstream>

#include "app/coop_setup.h"
#include "app/eval/eval_coop.h"
#include "app/eval/eval_files.h"
#include "app/home.h"
#include "core/error.h"
#include "core/hash.h"
#include "data/dataset.h"
#include "eval/coop_page.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "pipeline/coop/coop.h"
#include "pipeline/coop/coop_study.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr const char* kKinds[] = {"edges", "variation", "low"};
constexpr const char* kSeconds = "seconds";  // in a kept picture

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
    if (std::find(std::begin(kKinds), std::end(kKinds), word) == std::end(kKinds)) {
      throw bad_input("--only", "some of edges,variation,low", "'" + word + "'");
    }
    model_path(member_path(args, word));  // says what is missing
    kinds.push_back(word);
  }
  if (!kinds.empty()) return kinds;
  for (const std::string kind : kKinds) {
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

// Where the tools that make the embedded models put what a study needs, and the study itself.
constexpr const char* kData = "out/mini/dataset";
constexpr const char* kInception = "out/mini/weights/inception.safetensors";
constexpr const char* kPage = "out/coop/study.md";

// `said`, or the usual place below home() if it is empty. Error naming the command that makes it.
std::string usual(const std::string& flag, const std::string& said, const std::string& place,
                  const std::string& what, const std::string& command) {
  if (!said.empty()) return said;
  const fs::path file = home() / place;
  if (fs::exists(file)) return file.string();
  throw bad_input(flag, what, "nothing, and no " + place, "`" + command + "` makes it");
}

// What was not said is in its usual place.
EvalCoopArgs completed(EvalCoopArgs args) {
  args.data = usual("--data", args.data, kData, "a dataset folder",
                    std::string("./pangu-draw data build --out ") + kData);
  args.inception =
      usual("--inception", args.inception, kInception, "weights of the feature extractor",
            std::string(".venv/bin/python tools/export_inception.py --out ") + kInception);
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

// Every model once, whatever number of recipes asks for it.
class Drawer {
 public:
  explicit Drawer(const EvalCoopArgs& args) : args_(args) {
    pipeline::LoadOptions load;
    load.device = args.device;
    if (!args.dtype.empty()) load.dtype = args.dtype;
    setup_ = coop_setup({}, load);
    setup_.open_model = [this, open = setup_.open_model](const std::string& path,
                                                         const pipeline::LoadOptions& options) {
      auto found = models_.find(path);
      if (found == models_.end()) found = models_.emplace(path, open(path, options)).first;
      return found->second;
    };
    // A stand-in: every wish has its own pictures.
    setup_.read_picture = [](const std::string&) { return image::filled(64, 64, {0, 0, 0}); };
  }

  const pipeline::Model& model(const std::string& path) {
    auto found = models_.find(path);
    if (found == models_.end()) {
      found =
          models_.emplace(path, pipeline::load_model(model_path(path).string(), setup_.load)).first;
    }
    return found->second;
  }

  void use(const std::vector<pipeline::StudyRecipe>& recipes) {
    settings_.clear();
    for (const pipeline::StudyRecipe& one : recipes) {
      try {
        settings_.push_back({pipeline::assemble(one.recipe, setup_), ""});
      } catch (const Error& problem) {
        throw while_doing("setting '" + one.name + "'", problem);
      }
      std::string key = pipeline::to_json(one.recipe).dump() + args_.dtype;
      for (const auto& stage : settings_.back().coop.stages) {
        for (const auto& m : stage.members) key += " " + m.name + m.model->fingerprint;
      }
      settings_.back().key = sha256_hex(key).substr(0, 16);
    }
  }

  std::vector<eval::StudyPicture> draw(size_t setting, const std::vector<eval::StudyWish>& wishes) {
    std::vector<eval::StudyPicture> pictures(wishes.size());
    std::vector<pipeline::CoopWish> asked;
    std::vector<size_t> places;
    for (size_t i = 0; i < wishes.size(); ++i) {
      if (kept(file_of(setting, wishes[i]), pictures[i])) continue;
      asked.push_back(wish_of(wishes[i]));
      places.push_back(i);
    }
    if (asked.empty()) return pictures;
    const auto start = std::chrono::steady_clock::now();
    pipeline::Drawing drawing =
        pipeline::draw_each(settings_[setting].coop, asked, int(asked.size()));
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    for (size_t k = 0; k < places.size(); ++k) {
      eval::StudyPicture& made = pictures[places[k]];
      made = {std::move(drawing.pictures[k]), took.count() / double(places.size())};
      keep(file_of(setting, wishes[places[k]]), made);
    }
    return pictures;
  }

 private:
  struct Setting {
    pipeline::Cooperation coop;
    std::string key;
  };

  static pipeline::CoopWish wish_of(const eval::StudyWish& wish) {
    pipeline::CoopWish asked{wish.prompt, wish.seed, {}};
    pipeline::Pictures& pictures = asked.pictures[pipeline::kStudyOther];
    if (wish.edges) {
      pictures.controls = {*wish.edges};
    } else if (wish.picture) {
      pictures.prompt = *wish.picture;
    }
    return asked;
  }

  fs::path file_of(size_t setting, const eval::StudyWish& wish) const {
    if (args_.keep.empty()) return {};
    Sha256 hash;
    hash.update(wish.prompt + "\n" + std::to_string(wish.seed) + "\n");
    if (wish.picture) hash.update(std::as_bytes(std::span(wish.picture->pixels)));
    return fs::path(args_.keep) / settings_[setting].key /
           (hex_of(hash.digest()).substr(0, 16) + ".png");
  }

  static bool kept(const fs::path& file, eval::StudyPicture& picture_) {
    if (file.empty() || !fs::exists(file)) return false;
    try {
      const io::MappedFile mapped(file.string());
      const std::span bytes(reinterpret_cast<const uint8_t*>(mapped.bytes().data()),
                            mapped.bytes().size());
      picture_.seconds = std::stod(image::read_png_text(bytes).at(kSeconds));
      picture_.picture = image::decode_image(bytes);
      return true;
    } catch (const std::exception&) {
      return false;  // what cannot be read is drawn again
    }
  }

  static void keep(const fs::path& file, const eval::StudyPicture& picture) {
    if (file.empty()) return;
    std::error_code failed;
    fs::create_directories(file.parent_path(), failed);
    if (failed) throw io_error("cannot make", file.parent_path().string(), failed.value());
    const image::Bytes png =
        image::encode_png(picture.picture, {{kSeconds, nlohmann::json(picture.seconds).dump()}});
    io::write_file_atomic(file.string(), std::as_bytes(std::span(png)));
  }

  const EvalCoopArgs& args_;
  pipeline::CoopSetup setup_;
  std::map<std::string, pipeline::Model> models_;
  std::vector<Setting> settings_;
};

// One kind's studies: their plans and recipes, setting by setting.
struct Planned {
  eval::StudyPlan plan;
  std::vector<pipeline::StudyRecipe> recipes;
};

// The members alone are always drawn: all others are measured against them.
std::vector<pipeline::StudyRecipe> chosen(std::vector<pipeline::StudyRecipe> recipes,
                                          const std::string& names) {
  const std::vector<std::string> words = words_of(names);
  if (words.empty()) return recipes;
  std::erase_if(recipes, [&](const pipeline::StudyRecipe& one) {
    return !one.hub_alone && !one.other_alone &&
           std::none_of(words.begin(), words.end(), [&](const std::string& word) {
             return one.name.find(word) != std::string::npos;
           });
  });
  return recipes;
}

Planned planned(eval::StudyKind kind, const std::string& id, const std::string& title,
                std::vector<pipeline::StudyRecipe> recipes, std::vector<eval::StudyCase> cases) {
  Planned p;
  p.plan = {kind, id, title, {}, std::move(cases)};
  for (const pipeline::StudyRecipe& one : recipes) {
    const auto role = one.hub_alone     ? eval::StudyRole::kHubAlone
                      : one.other_alone ? eval::StudyRole::kOtherAlone
                                        : eval::StudyRole::kTogether;
    p.plan.settings.push_back({one.name, one.series, role, one.in_grid});
  }
  p.recipes = std::move(recipes);
  return p;
}

std::vector<Planned> plans_of(const EvalCoopArgs& args, const std::string& kind, Drawer& drawer,
                              const std::vector<data::Item>& items, const eval::Names& concepts) {
  pipeline::StudyShared shared;
  shared.hub = args.hub;
  shared.other = member_path(args, kind);
  shared.steps = args.steps;
  shared.form = args.form;
  shared.bridge = args.bridge;
  const diffusion::Schedule& schedule = drawer.model(args.hub).denoising.schedule;
  const auto cases = [&](bool others_prompt) {
    return eval::study_cases(items, concepts, size_t(args.prompts), args.seed, others_prompt);
  };
  const auto some = [&](std::vector<pipeline::StudyRecipe> recipes) {
    return chosen(std::move(recipes), args.settings);
  };
  if (kind == "edges") {
    return {planned(eval::StudyKind::kEdges, "edges", "Text and edges",
                    some(pipeline::edges_recipes(shared, schedule)), cases(false))};
  }
  if (kind == "low") {
    return {planned(eval::StudyKind::kLow, "low", "From low to high resolution",
                    some(pipeline::low_recipes(shared)), cases(false))};
  }
  return {planned(eval::StudyKind::kVariation, "variation",
                  "Text and a picture to vary, which the text describes",
                  some(pipeline::variation_recipes(shared, schedule, false)), cases(false)),
          planned(eval::StudyKind::kVariation, "variation_other",
                  "Text and a picture to vary, of something else",
                  some(pipeline::variation_recipes(shared, schedule, true)), cases(true))};
}

std::string setting_text(const EvalCoopArgs& args, Drawer& drawer,
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

void write_study_page(const EvalCoopArgs& args, const eval::StudyPage& page) {
  const std::string old = file_text(args.out);
  const std::string text = eval::with_section(old, eval::section_of(page, "images", old), args.out);
  const fs::path images = fs::path(args.out).parent_path() / "images";
  std::error_code failed;
  fs::create_directories(images, failed);
  if (failed) throw io_error("cannot make", images.string(), failed.value());
  for (const eval::Study& study : page.studies) {
    io::write_file_atomic((images / eval::plot_file(study)).string(), eval::plot_of(study));
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
  eval::with_section(file_text(args.out), "", args.out);  // before hours

  Bars bars(args.quiet);
  const eval::OnPhase on_phase = [&](const std::string& phase, const Progress& p) {
    bars(phase, p);
  };
  Drawer drawer(args);
  data::Report report;
  std::vector<data::Item> items = data::open_dataset(args.data, report);
  if (report.skipped > 0) std::cerr << report.text() << "\n";
  std::erase_if(items, [](const data::Item& i) { return i.concept_id.empty() || i.style.empty(); });
  const eval::Names concepts = eval::concepts_of(items);
  std::vector<Planned> plans;
  for (const std::string& kind : kinds) {
    for (Planned& one : plans_of(args, kind, drawer, items, concepts)) {
      drawer.use(one.recipes);  // names what is wrong before anything is drawn
      plans.push_back(std::move(one));
    }
  }
  const eval::FeatureSource source = eval::inception_features(args.inception);
  const eval::Features real =
      eval::real_features(source, items, feature_cache(args.cache),
                          [&](const Progress& p) { on_phase("real pictures", p); });
  const eval::Probe probe = eval::fit_concepts(items, concepts, real);
  const eval::StudyJudge judge{items, source, real, probe};

  eval::StudyPage page{coop_command_of(said), setting_text(args, drawer, kinds), {}};
  nlohmann::json json = {{"command", page.command}, {"setting", page.setting}};
  for (const Planned& one : plans) {
    drawer.use(one.recipes);
    page.studies.push_back(eval::run_study(
        one.plan, judge,
        [&](size_t setting, const auto& wishes) { return drawer.draw(setting, wishes); },
        size_t(args.batch), on_phase));
    bars.finish();
    const eval::Study& study = page.studies.back();
    print_tables({eval::table_of(study)});
    const std::string verdict = eval::verdict_text(study);
    if (!verdict.empty()) std::cout << verdict << "\n\n";
    json["studies"].push_back(eval::to_json(study));
    // After every study: what is done is not lost with the next.
    if (!args.json.empty()) io::write_file_atomic(args.json, json.dump(2) + "\n");
    write_study_page(args, page);
  }
  std::cout << args.out << "\n";
  return 0;
}

}  // namespace pangu::app
