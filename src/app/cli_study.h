// The flags of commands that plan and repeat trainings, apart from those of all others
// (app/cli.cpp).
#pragma once
#include <CLI/CLI.hpp>

#include "app/commands.h"

namespace pangu::app {

void add_plan_training(CLI::App& app, PlanTrainingArgs& args);
// `study` with its subcommands. add_threads: adds --threads, as every command has it.
void add_study(CLI::App& app, StudyTdtsArgs& args, void (*add_threads)(CLI::App* command));

}  // namespace pangu::app
