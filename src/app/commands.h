// What a person can ask on the command line: one struct of flags a subcommand, and the function
// that does it. Empty optionals mean "not said": the default is then the model's, or the picture's
// of
// --from. These structs hold words, not meanings; the rooms below validate them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace pangu::app {

struct DrawArgs {
  std::string prompt;  // empty only with `from`
  std::optional<std::string> negative;
  std::vector<std::string> styles;
  std::optional<double> style_scale;
  std::optional<std::string> size;  // "WIDTHxHEIGHT" in pixels
  std::optional<int> steps;
  std::optional<double> guidance;
  std::optional<uint64_t> seed;
  std::optional<int> count;
  std::optional<std::string> sampler;
  std::string model;  // folder; empty: the embedded model
  std::string out;    // PNG path; with count > 1 a number goes before the extension
  std::string from;   // a PNG of this program, whose request is repeated
  std::string device = "cpu";
  std::string dtype;  // "f32", "bf16"; empty: the faster one of this machine
  int threads = 0;    // 0: one a core
  bool plan = false;  // print which expert serves which sigma, draw nothing
  bool json = false;
  bool timings = false;
  bool quiet = false;  // no progress bar
};

struct TrainArgs {
  std::string config;             // TOML file
  std::vector<std::string> sets;  // "section.key=value" over the file
  std::string device;             // empty: the file's
  std::optional<double> minutes;  // stop, with a checkpoint, after this long
  int threads = 0;
  bool fresh = false;        // do not resume from the last checkpoint
  std::string export_state;  // write the run's state into this folder, train nothing
  std::string import_state;  // read it back, train nothing
  int piece_megabytes = 15;  // of export_state
  bool keys = false;         // print the table of configuration keys, train nothing
  bool dry_run = false;      // validate configuration and data, train nothing
  bool quiet = false;
};

struct DataArgs {
  std::string action;  // build, pack, stats, scenes, check
  std::string input;   // pack, stats, scenes, check: a dataset folder or .tar
  std::string out;     // build, pack, scenes: the folder to write
  std::string cache;   // build: where packages are kept
  std::string shards;  // build: also pack into this folder
  // Which pictures.
  std::string part = "all";
  std::vector<std::string> splits;
  int min_side_px = 0;
  // pack
  int shard_megabytes = 8;
  int max_side_px = 0;
  std::optional<float> quality;
  // scenes
  int count = 1000;
  int size_px = 256;
  uint64_t seed = 0;
  bool heldout = false;

  bool json = false;
  bool quiet = false;
};

struct EvalArgs {
  std::string model;      // folder; empty: the embedded model
  std::string data;       // dataset folder with concepts and styles
  std::string inception;  // weights of the feature extractor
  std::string runs;       // folder of trainings; empty: no losses
  std::string out;        // page (.md) to write; empty: only print
  std::string json;       // file of scores; empty: none
  std::string cache;      // features of real pictures: a file, or a folder for it; empty: temporary
  std::string only;       // "probe,frechet,scenes,loss"; empty: all that the paths allow
  int prompts = 100;      // of each group
  int scenes = 50;
  int batch = 16;  // prompts a forward
  std::optional<int> steps;
  std::optional<double> guidance;
  uint64_t seed = 0;
  std::string device = "cpu";
  std::string dtype;
  int threads = 0;
  bool quiet = false;
};

struct InspectArgs {
  std::string path;  // safetensors file, model folder or PNG of this program
  bool json = false;
  bool tensors = false;  // list every tensor
};

struct DoctorArgs {
  bool json = false;
};

// Each returns the exit code; throws pangu::Error.
int run_draw(const DrawArgs& args);
int run_train(const TrainArgs& args);
int print_training_keys();
int run_data(const DataArgs& args);
int compose_scenes(const DataArgs& args);
int run_eval(const EvalArgs& args);
int run_inspect(const InspectArgs& args);
int run_doctor(const DoctorArgs& args);

}  // namespace pangu::app
