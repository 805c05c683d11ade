// `pangu-draw eval coop` on the command line: its flags, as commands.h has those of the others.
#pragma once
#include <cstdint>
#include <string>

namespace pangu::app {

struct EvalCoopArgs {
  std::string hub = "models/mini";             // draws from text; the result is in its space
  std::string edges = "models/edges";          // draws from an edge map
  std::string variation = "models/variation";  // varies a picture
  std::string low = "models/low";              // draws from text, at low resolution
  // As of `eval`; empty: where tools/train_mini.sh has them (out/mini/).
  std::string data, inception, cache;
  std::string only;  // "edges,variation,low"; empty: all that there are
  std::string out;   // page (.md) whose study is written; empty: out/coop/study.md
  std::string json;  // file of the numbers
  std::string keep;  // folder of drawn pictures, to go on later
  std::string form = "paper", bridge = "auto";  // of the recipes
  std::string settings;                         // only settings whose name holds one of these
  int prompts = 200;
  int steps = 12;
  int batch = 8;  // prompts a forward
  uint64_t seed = 0;
  std::string device = "cpu", dtype;
  bool quiet = false;
};

int run_eval_coop(const EvalCoopArgs& args);

}  // namespace pangu::app
