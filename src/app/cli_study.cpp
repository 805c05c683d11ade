#include "app/cli_study.h"

namespace pangu::app {

void add_plan_training(CLI::App& app, PlanTrainingArgs& args) {
  CLI::App* cmd = app.add_subcommand(
      "plan-training", "Say what strategies of training can use and cost, and how long they take");
  cmd->add_option("config", args.config, "TOML plan, such as configs/study/plan.toml")->required();
  cmd->add_flag("--json", args.json, "Print JSON");
}

void add_study(CLI::App& app, StudyTdtsArgs& args, void (*add_threads)(CLI::App* command)) {
  CLI::App* study = app.add_subcommand("study", "Repeat a study of this project, unattended");
  study->require_subcommand(1);
  CLI::App* cmd = study->add_subcommand(
      "tdts", "Strategies of training: what a level of quality costs; goes on where it stopped");
  cmd->add_option("config", args.config, "TOML of the study (default: configs/study/study.toml)");
  cmd->add_option("--data", args.data, "Dataset folder (default: out/mini/dataset)");
  cmd->add_option("--inception", args.inception,
                  "Weights that tools/export_inception.py writes (default: "
                  "out/mini/weights/inception.safetensors)");
  cmd->add_option("--work", args.work, "Folder of the trainings (default: out/tdts)");
  cmd->add_option("--records", args.records, "Folder of the records (default: bench/results/tdts)");
  cmd->add_option("-o,--out", args.out, "Page whose results are written (default: docs/tdts.md)");
  cmd->add_option("--only", args.only, "A group of the study (may be repeated)")
      ->allow_extra_args(false);
  cmd->add_option("--minutes", args.minutes, "Stop after this long");
  cmd->add_flag("--page", args.page, "Write the page out of the records, and stop");
  cmd->add_flag("--smoke", args.smoke, "Check the identities of the accounting, and stop");
  cmd->add_option("--batch", args.batch, "Prompts in one forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_threads(cmd);
  cmd->add_flag("-q,--quiet", args.quiet, "Say nothing");
}

}  // namespace pangu::app
