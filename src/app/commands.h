// What a person can ask on the command line: one struct of flags a subcommand, and the function
// that does it. Empty optionals mean "not said": the default is then the model's, or the picture's
// of
// --from. These structs hold words, not meanings; the rooms below validate them.
#pragma once
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "pipeline/request_fields.h"

namespace pangu::app {

// Where pictures go and what is said of them.
struct OutputArgs {
  std::string out;         // app/picture_files.h says what it may be
  bool overwrite = false;  // a picture of that name may be replaced
  std::string preview;     // picture file that shows how far a drawing is; empty: none
  bool plan = false;       // print who serves which sigma, draw nothing
  bool json = false;
  bool timings = false;
  bool quiet = false;  // no progress bar
};

// What a model is loaded with.
struct LoadArgs {
  std::string model;                         // folder, file or name; empty: the embedded model
  std::vector<std::string> controlnets;      // files or folders
  std::vector<std::string> loras;            // "FILE[:WEIGHT]"
  std::string lora_dir;                      // where <lora:NAME:WEIGHT> in a prompt finds NAME
  std::vector<std::string> embeddings;       // files of textual inversions
  std::string vae, unet, refiner, upscaler;  // files or folders
  std::vector<std::string> text_encoders;
  std::string prediction_type;          // empty: as the files say
  std::optional<double> refiner_start;  // share of the noise schedule
  int experts_in_memory = 0;            // 0: all
  std::optional<int> vae_tile;          // pixels; 0: by the picture's size
  std::string device = "cpu";
  std::string dtype;      // "f32", "bf16"; empty: the faster one of this machine
  std::string vae_dtype;  // likewise; empty: the picture's of --from, or the model's own
  std::string precision;  // "exact", "int8"; empty: the picture's of --from, or exact
  std::string packed_weights = "auto";  // "auto", "off", or a folder
};

// What asks for several pictures that are not one request with a count (app/draw_many.h).
struct ManyArgs {
  // pipeline/grid.h, or "none"; empty: the grid of --from's picture, if there is one
  std::string grid = {};
  std::string prompts = {};    // file with a prompt a line; empty: none
  std::string wildcards = {};  // folder of its lists; empty: beside it
};

struct DrawArgs {
  std::vector<std::string> prompt;  // words without a flag
  pipeline::RequestWords request;   // what is to be drawn, by fields of a request
  LoadArgs load;
  std::string from;                // a picture that is repeated
  std::vector<std::string> withs;  // "MODEL[,key=value...]": models that draw along
  std::string bridge;              // of theirs; empty: auto
  ManyArgs many;
  OutputArgs output;
};

struct CoopArgs {
  std::string recipe;               // TOML file
  std::vector<std::string> prompt;  // words without a flag
  std::string from;                 // a picture of several models, which is repeated
  // Over the recipe.
  pipeline::RequestWords request;
  std::string form, bridge;
  std::optional<int> bridge_every;
  std::vector<std::string> bridges;  // folders of learned bridges
  std::vector<std::string> withs;    // further members, as DrawArgs::withs
  LoadArgs load;                     // of the hub; device, dtype and memory of all
  ManyArgs many;
  OutputArgs output;
};

struct TrainArgs {
  std::string config;             // TOML file
  std::vector<std::string> sets;  // "key=value" over the file
  // Without a file, or over it.
  std::string finetune;           // a model to go on from
  bool lora = false;              // its weights stay, low-rank changes of them are trained
  std::optional<int> rank;        // of these
  std::vector<std::string> data;  // folders of pictures and captions, or shards
  std::string out;                // folder for model and training, or a file; with `lora` a file
  std::optional<int> steps;
  std::string write_config;       // write all this as a TOML file here, train nothing
  std::string device;             // empty: the file's
  std::optional<double> minutes;  // stop, with a checkpoint, after this long
  int processes = 1;              // that this machine starts to train together
  int max_restarts = 0;           // of all of them, where one fails
  double join_timeout_s = 30;     // for all processes to come together
  bool fresh = false;             // do not resume from the last checkpoint
  std::string export_state;       // write the run's state into this folder, train nothing
  std::string import_state;       // read it back, train nothing
  int piece_megabytes = 15;       // of export_state
  bool keys = false;              // print the table of configuration keys, train nothing
  bool dry_run = false;           // validate configuration and data, train nothing
  bool quiet = false;
};

struct TrainBridgeArgs {
  std::string a, b;               // models, or autoencoders alone: folders or files
  std::string images;             // a folder of pictures, or a dataset
  std::string out;                // folder for A-to-B/ and B-to-A/
  std::string sizes;              // "A=256,B=128", sides in pixels; empty: the models' own
  std::optional<int> resolution;  // one side in pixels for both
  std::optional<double> minutes;  // for all; unset without `steps`: 10
  std::optional<int> steps;       // of the optimiser
  int pairs = 4096;               // of latents to train on, at most
  int cache_megabytes = 1024;     // for them
  int batch = 8;
  double learning_rate = 1e-3;
  std::string optimizer = "adamw";
  int hidden_channels = 128;
  int blocks = 4;  // of each network
  uint64_t seed = 0;
  std::string device = "cpu";
  std::string dtype;  // "f32", "bf16"; empty: the faster one of this machine
  bool json = false;
  bool quiet = false;
};

struct PlanTrainingArgs {
  std::string config;  // TOML file
  bool json = false;
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
  int most_things = 4;  // of a scene
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
  int batch = 16;                  // prompts a forward
  std::vector<std::string> loras;  // FILE[:WEIGHT]
  std::string size;                // WIDTHxHEIGHT; empty: the model's
  std::optional<int> steps;
  std::optional<double> guidance, guidance_low;
  uint64_t seed = 0;
  std::string device = "cpu";
  std::string dtype;
  bool quiet = false;
};

// Of `eval coop`.
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

// What pictures are measured by and with; of `eval pictures` and `eval model`.
struct RulerArgs {
  std::string reference;    // folder or statistics; empty: none
  std::string fid_weights;  // file; empty: no FID, KID, Inception Score
  std::string resize = "torch-fidelity";
  int size_px = 0;              // 0: pictures as they are
  std::string clip;             // file of CLIP; empty: no CLIP score
  std::string clip_activation;  // "gelu", "quick_gelu"; empty: as its authors'
  int kid_subsets = 100, kid_subset_size = 1000;
  int batch = 16;    // pictures a forward
  std::string json;  // file of scores; empty: none
  bool quiet = false;
};

struct EvalPicturesArgs {
  std::vector<std::string> pictures;  // a folder, or files of statistics
  std::string shard;                  // "i/n"; empty: all
  std::string out;                    // file of statistics; empty: none
  std::string captions;               // JSON lines, for the rulers' CLIP; empty: none
  RulerArgs rulers;
};

struct EvalModelArgs {
  std::string model;    // folder; empty: the embedded model
  std::string prompts;  // JSON lines; empty: the preset's
  std::string preset;   // "coco-2014", "coco-cn"; empty: none
  std::string data;     // folder of the preset's files
  std::string out;      // folder of pictures
  std::string shard;    // "i/n"; empty: all
  std::optional<int> steps;
  std::optional<double> guidance;
  std::string sampler, size;  // empty: the model's
  int draw_batch = 8;         // prompts a forward
  uint64_t seed = 0;          // of the first prompt; the others count up
  std::string device = "cpu", dtype;
  RulerArgs rulers;
};

struct EvalAutoencoderArgs {
  std::string model;      // a model's folder, or its autoencoder's; empty: the embedded model
  std::string data;       // dataset folder
  std::string inception;  // weights of the feature extractor; empty: no mixed6
  std::string vgg;        // VGG16 trunk; empty: no VGG distance
  std::string split = "heldout_pair";
  std::vector<double> noise = {0, 0.3};  // on the latents, by their deviation
  int pictures = 256;                    // at most
  int size_px = 256;
  int batch = 8;
  uint64_t seed = 0;
  std::string json;  // file of scores; empty: none
  bool quiet = false;
};

// Of `study tdts`.
struct StudyTdtsArgs {
  std::string config;             // TOML; empty: configs/study/study.toml
  std::string data, inception;    // as of `eval coop`
  std::string work;               // folder of trainings; empty: out/tdts
  std::string records;            // folder of records; empty: bench/results/tdts
  std::string out;                // page (.md); empty: docs/tdts.md
  std::vector<std::string> only;  // groups
  std::optional<double> minutes;  // stop after this long
  bool page = false;              // write the page out of the records, train nothing
  bool smoke = false;             // check the identities of the accounting, train nothing
  int batch = 16;                 // prompts a forward
  bool quiet = false;
};

struct InspectArgs {
  std::string path;  // safetensors file, model folder or PNG of this program
  bool json = false;
  bool tensors = false;  // list every tensor
};

struct ConvertArgs {
  std::string source;  // file or folder
  std::string out;     // folder or .safetensors to write
  std::string dtype = "bf16";
  bool force = false;  // remove the model that is in `out`, or the file
  bool json = false;
  bool quiet = false;
};

struct QuantizeArgs {
  std::string model;                 // as --model of draw has it
  std::vector<std::string> prompts;  // that it is measured by; empty: four of the program's
  int steps = 6;                     // of each drawing
  uint64_t seed = 1;
  double most_error = 0.03;   // layers that are further off stay in bf16
  int experts_in_memory = 0;  // 0: all
  bool json = false;
  bool quiet = false;
};

struct ControlArgs {
  std::string kind;                                  // edges, hed, pose
  std::string input;                                 // PNG, JPEG or WebP
  std::string out;                                   // PNG
  std::optional<std::string> size;                   // "WIDTHxHEIGHT" of `out`; unset: the input's
  double low_threshold = 100, high_threshold = 200;  // edges
  bool l2_gradient = false;                          // edges
  // hed: shorter side that the network sees; pose: side of its square.
  std::optional<int> detect_resolution;
  bool safe = false, scribble = false;  // hed
  double threshold = 0.2;               // pose: least score of a keypoint
  int people = 5;                       // pose: at most
  std::string keypoints;                // pose: JSON file to write; empty: none
  bool quiet = false;
};

struct ServeArgs {
  std::string config;             // TOML file; empty: none
  std::vector<std::string> sets;  // "key=value" over the file, of flags too
};

struct WorkerArgs {
  int socket = 3;  // an open file: the server's socket
};

struct DoctorArgs {
  bool json = false;
};

// Each returns the exit code; throws pangu::Error.
int run_draw(const DrawArgs& args);
int run_coop(const CoopArgs& args);
int run_data(const DataArgs& args);
int compose_scenes(const DataArgs& args);
int run_inspect(const InspectArgs& args);
int run_convert(const ConvertArgs& args);
int run_quantize(const QuantizeArgs& args);
int run_control(const ControlArgs& args);
int run_doctor(const DoctorArgs& args);

// These are in the library of training (app/late_library.h): only it may call them.
int run_train(const TrainArgs& args);
int print_training_keys();
int run_train_bridge(const TrainBridgeArgs& args);
int run_plan_training(const PlanTrainingArgs& args);
int run_eval(const EvalArgs& args);
int run_eval_coop(const EvalCoopArgs& args);
int run_eval_pictures(const EvalPicturesArgs& args);
int run_eval_model(const EvalModelArgs& args);
int run_eval_autoencoder(const EvalAutoencoderArgs& args);
int run_study_tdts(const StudyTdtsArgs& args);

// These are in the library of the server.
int run_serve(const ServeArgs& args);
int run_worker(const WorkerArgs& args);

}  // namespace pangu::app
