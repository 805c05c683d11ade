// `pangu-draw study tdts`: the study of training strategies, unattended. What is trained, in which
// order and what is said of it is in study/; here it meets trainings, a model that draws, and
// files. It may be killed at any time: trainings go on from their checkpoints, and what is recorded
// is not done again.
#include <torch/types.h>

#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "app/eval/eval_files.h"
#include "app/home.h"
#include "app/interrupt.h"
#include "app/study/network_costs.h"
#include "app/study/smoke.h"
#include "app/study/strategy_run.h"
#include "app/study/study_bench.h"
#include "app/study/study_rows.h"
#include "core/error.h"
#include "core/watch.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"
#include "pipeline/draw.h"
#include "study/strategy_page.h"
#include "train/accounting.h"
#include "train/mixed_precision.h"
#include "train/strategy_cost.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;

constexpr const char* kMainGroup = "main";
constexpr const char* kRecordsFile = "records.jsonl";
constexpr const char* kFloorFile = "floor.json";

std::string said_or(const std::string& said, const char* place) {
  return said.empty() ? (home() / place).string() : said;
}

StudyTdtsArgs with_usual_places(StudyTdtsArgs args) {
  args.config = said_or(args.config, "configs/study/study.toml");
  args.work = said_or(args.work, "out/tdts");
  args.records = said_or(args.records, "bench/results/tdts");
  args.out = said_or(args.out, "docs/tdts.md");
  return args;
}

std::string tdts_command(const StudyTdtsArgs& args) {
  std::string command = "./pangu-draw study tdts";
  const auto add = [&](const char* flag, const std::string& path) {
    if (!path.empty()) command += std::string(" ") + flag + " " + shown_path(path);
  };
  add("--data", args.data);
  add("--inception", args.inception);
  return command;
}

std::string page_text(const std::string& file) {
  return fs::exists(file) ? io::read_text_file(file) : "";
}

class TdtsStudy {
 public:
  explicit TdtsStudy(const StudyTdtsArgs& args)
      : args_(args),
        study_(study::open_strategy_study(args.config)),
        records_file_(args.records + "/" + kRecordsFile),
        records_(study::read_records(records_file_)) {
    for (const study::StudyGroup& group : study_.groups) {
      for (const std::string& file : group.strategies) {
        const train::Strategy strategy = train::open_strategy(file);
        tuning_[strategy.id] = strategy.tuning;
      }
    }
    for (const std::string& name : args.only) {
      const bool known =
          std::any_of(study_.groups.begin(), study_.groups.end(),
                      [&](const study::StudyGroup& group) { return group.name == name; });
      if (!known) throw bad_input("--only", "a group of the study", "'" + name + "'");
    }
  }

  int go() {
    study::with_section(page_text(args_.out), "", args_.out, study::strategy_marks());
    if (!args_.page) {
      try {
        measure_all();
      } catch (const Stopped& stop) {
        write_page();
        std::fprintf(stderr, "%s; the same command goes on from here\n", stop.what());
        return interrupt_.wanted() ? interrupt_.exit_code() : 0;
      }
    }
    write_page();
    std::cout << args_.out << "\n";
    return 0;
  }

 private:
  bool wants_stop() const {
    const double minutes =
        std::chrono::duration<double, std::ratio<60>>(Clock::now() - started_).count();
    return interrupt_.wanted() || (args_.minutes && minutes > *args_.minutes);
  }
  void stop_if_wanted() const {
    if (wants_stop()) throw Stopped("study: stopped");
  }

  void say(const std::string& text) const {
    if (!args_.quiet) std::fprintf(stderr, "study: %s\n", text.c_str());
  }

  // Points by turns over strategies and seeds, so that wherever the study stops all of them have
  // come about as far.
  void measure_all() {
    for (const study::StudyGroup& group : study_.groups) {
      const bool wanted =
          args_.only.empty() || std::count(args_.only.begin(), args_.only.end(), group.name) > 0;
      if (!wanted) continue;
      const std::vector<study::StudyRun> runs = runs_of(study_, group, tuning_, records_);
      for (const double point : group.points) {
        for (const study::StudyRun& run : runs) {
          if (is_recorded(records_, run, point)) continue;
          stop_if_wanted();
          measure_point(run, point);
          write_page();
        }
      }
    }
  }

  void open_bench() {
    if (bench_) return;
    say("looking at the real pictures");
    fs::create_directories(args_.work);
    fs::create_directories(args_.records);
    bench_ = open_study_bench(args_.data, args_.inception, args_.work + "/features.safetensors",
                              size_t(study_.prompts), [this] { stop_if_wanted(); });
    io::write_file_atomic(
        args_.records + "/" + kFloorFile,
        study::to_json(study::floor_of(bench_->cases, bench_->judge())).dump() + "\n");
  }

  void measure_point(const study::StudyRun& run, double point) {
    open_bench();
    const StrategyRun training = training_of(run);
    const std::vector<int64_t> steps =
        train::steps_at(training.strategy, training.all_steps, gflop_a_step_, point);
    std::string told = run.id() + " at " + eval::fixed(100 * point, 1) + " %, steps";
    for (const int64_t one : steps) told += " " + std::to_string(one);
    say(told);
    const PointReached reached = train_to(training, steps);
    stop_if_wanted();
    study::StudyRecord record = record_of(run, training.strategy, point, reached);
    const study::QualityFound found = measure_quality(
        bench_->cases, bench_->judge(),
        [&](const std::vector<eval::Wish>& wishes) { return drawn_by(reached.model, wishes); });
    record.quality = found.quality;
    record.quality.losses = held_out_losses(training.strategy.stages.front().config, reached.model);
    record.quality.loss = study::mean_over_t(record.quality.losses);
    write_row(row_file(args_.work, run, point), bench_->cases, found.pictures);
    study::append_record(records_file_, record);
    records_.push_back(record);
    say(run.id() + ": mixed6 " + eval::fixed(record.quality.mixed6, 2) + ", held-out loss " +
        eval::fixed(record.quality.loss, 4));
  }

  // The strategy with the settings of the run and of this machine.
  StrategyRun training_of(const study::StudyRun& run) {
    std::vector<std::string> settings = run.settings;
    const auto set = [&](const char* key, const nlohmann::json& value) {
      settings.push_back(std::string(key) + "=" + value.dump());
    };
    set("train_data_dir", nlohmann::json::array({args_.data}));
    set("cache_dir", args_.work + "/cache");
    set("mixed_precision", train::fastest_mixed_precision("cpu"));
    StrategyRun training;
    training.strategy = train::open_strategy(run.strategy_file, settings);
    training.folder = args_.work + "/runs/" + run.id();
    training.wants_stop = [this] { return wants_stop(); };
    train::CostSources sources;
    add_network_costs(study_.context_length, sources);
    sources.downscale = study_.latent_downscale;
    sources.pictures = [](const train::Stage&) { return 0.0; };
    const train::StrategyCost cost = cost_of_budget(training.strategy, sources, run.budget_gflop);
    gflop_a_step_.clear();
    for (size_t i = 0; i < cost.stages.size(); ++i) {
      const double batch = double(training.strategy.stages[i].config.train_batch_size);
      gflop_a_step_.push_back(cost.stages[i].gflop_a_sample * batch);
      training.all_steps.push_back(
          std::max<int64_t>(1, std::llround(cost.stages[i].samples / batch)));
    }
    return training;
  }

  study::StudyRecord record_of(const study::StudyRun& run, const train::Strategy& strategy,
                               double point, const PointReached& reached) const {
    study::StudyRecord record;
    record.run = run;
    record.title = strategy.title;
    record.point = point;
    record.stages = reached.stages;
    const std::vector<size_t> drawn = strategy.drawn();
    for (const study::StageRecord& stage : reached.stages) {
      const train::Accounting a = train::accounting_from(stage.accounting);
      record.gflop += a.gflop();
      record.seconds += a.seconds;
      record.cpu_seconds += a.cpu_seconds;
      record.pictures = std::max(record.pictures, a.pictures);
      record.pictures_in_all = std::max(record.pictures_in_all, a.pictures_in_all);
      record.peak_memory_bytes = std::max(record.peak_memory_bytes, a.peak_memory_bytes);
      const bool draws = std::any_of(drawn.begin(), drawn.end(), [&](size_t i) {
        return strategy.stages[i].name == stage.name;
      });
      if (draws) record.parameters += a.parameters;
    }
    // The last stage's model is the whole one.
    const std::string last = fs::path(reached.model).parent_path().filename().string();
    for (const study::StageRecord& stage : reached.stages) {
      if (stage.name != last) continue;
      const train::Accounting a = train::accounting_from(stage.accounting);
      record.gflop_a_picture = a.gflop_a_picture;
      record.seconds_a_picture = a.seconds_a_picture;
    }
    return record;
  }

  std::vector<image::Image> drawn_by(const std::string& folder,
                                     const std::vector<eval::Wish>& wishes) const {
    const pipeline::Model model = pipeline::load_model(folder, {});
    pipeline::Request request;
    request.prompt = "-";  // every picture has its own
    request.steps = static_cast<int>(study_.drawing_steps);
    request = pipeline::resolved(request, model.rules, /*fresh_seed=*/0);
    std::vector<pipeline::Wish> asked;
    for (const eval::Wish& wish : wishes) asked.push_back({wish.prompt, wish.seed});
    pipeline::DrawHooks hooks;
    hooks.watch.wants_stop = [this] { return wants_stop(); };
    pipeline::Drawing drawing = pipeline::draw_each(model, request, asked, args_.batch, hooks);
    stop_if_wanted();
    return std::move(drawing.pictures);
  }

  fs::path images() const { return fs::path(args_.out).parent_path() / "images"; }

  std::string setting_text() const {
    return "Data: the first edition of tools/mini_dataset.py, " + std::to_string(study_.prompts) +
           " prompts of trained and as many of held-out pairs of concept and style, in English and "
           "Chinese, " +
           std::to_string(study_.drawing_steps) +
           " steps at the default guidance; latents and text encoder of models/mini; a budget of " +
           nlohmann::json(study_.budget_gflop).dump() +
           " GFLOP a strategy. CPU seconds are those of all threads of the machine that made the "
           "records.";
  }

  void write_page() const {
    study::StrategyPage page;
    page.command = tdts_command(args_);
    page.setting = setting_text();
    page.reference = study_.reference;
    page.main_group = kMainGroup;
    page.planned = point_count(study_, tuning_);
    page.records = records_;
    const std::string floor = args_.records + "/" + kFloorFile;
    if (fs::exists(floor)) {
      page.floor = study::quality_from(nlohmann::json::parse(io::read_text_file(floor)));
    }
    fs::create_directories(images());
    add_grid(args_.work, images().string(), args_.records, page);
    io::write_file_atomic((images() / study::kStrategyPlots).string(), study::strategy_plots(page));
    io::write_file_atomic(args_.out, study::with_section(page_text(args_.out),
                                                         study::strategy_section(page, "images"),
                                                         args_.out, study::strategy_marks()));
  }

  StudyTdtsArgs args_;
  study::StrategyStudy study_;
  std::string records_file_;
  std::vector<study::StudyRecord> records_;
  study::TuningLists tuning_;
  std::optional<StudyBench> bench_;
  std::vector<double> gflop_a_step_;  // of the stages of the run at hand
  const Interrupt interrupt_;
  const Clock::time_point started_ = Clock::now();
};

int check_identities(const std::string& config) {
  bool all = true;
  for (const Identity& one : identities_of(study::open_strategy_study(config), kMainGroup)) {
    std::printf("%-4s %s: expected %.6g, found %.6g\n", one.holds() ? "ok" : "NOT",
                one.what.c_str(), one.expected, one.found);
    all = all && one.holds();
  }
  if (!all) throw Error(ErrorCode::kInternal, "study: an identity of the accounting does not hold");
  return 0;
}

}  // namespace

int run_study_tdts(const StudyTdtsArgs& said) {
  StudyTdtsArgs args = with_usual_places(said);
  if (args.smoke) return check_identities(args.config);
  if (!args.page) {
    args.data = usual_data(args.data);
    args.inception = usual_inception(args.inception);
  }
  return TdtsStudy(args).go();
}

}  // namespace pangu::app
