// `pangu-draw train-bridge`: converters between the latents of two models, both ways, from pictures
// alone. Encodes pairs, trains on them, judges on pictures that were held out.
#include <torch/nn.h>
#include <torch/types.h>
#include <torch/utils.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iostream>

#include "app/commands.h"
#include "app/table.h"
#include "app/train/bridge_sides.h"
#include "app/train/training.h"
#include "core/error.h"
#include "core/progress.h"
#include "eval/bridge_judge.h"
#include "io/atomic_file.h"
#include "nn/autoencoder/latent_converter.h"
#include "nn/unet/unet.h"
#include "pipeline/coop/bridges.h"
#include "train/checkpoint.h"
#include "train/mixed_precision.h"
#include "train/trainer.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using Clock = std::chrono::steady_clock;
using nlohmann::json;

constexpr double kDefaultMinutes = 10;
constexpr double kEncodingShare = 0.45;  // of the time, at most
constexpr double kJudgingMargin = 2.5;   // for the two last judgements, by the first one's time
constexpr double kRefitShare = 0.04;     // of the time, for the last layer's fit
constexpr int64_t kBridgeEncodeBatch = 8, kHeldOut = 16, kProbeSteps = 6;
constexpr size_t kFittedPairs = 512;  // of the linear path, and of the last layer
constexpr size_t kTimedPairs = 4;     // that say how many of these the time allows
constexpr size_t kHeldOutEvery = 16;  // one picture in so many, ...
constexpr double kWarmUpShare = 0.05;
constexpr const char* kFolders[] = {"A-to-B", "B-to-A"};

double seconds_since(Clock::time_point start) {
  return std::chrono::duration<double>(Clock::now() - start).count();
}

// "A=256,B=128"
std::pair<int, int> sizes_from(const std::string& text) {
  int a = 0, b = 0, used = 0;
  const bool read = std::sscanf(text.c_str(), "A=%d,B=%d%n", &a, &b, &used) == 2 &&
                    used == static_cast<int>(text.size());
  if (!read || a < 1 || b < 1 || a > 8192 || b > 8192) {
    throw bad_input("--sizes", "A=PIXELS,B=PIXELS, each 1 to 8192", "'" + text + "'");
  }
  return {a, b};
}

at::Tensor bicubic(const at::Tensor& pixels, int width, int height) {
  return pipeline::resampled(pixels, height, width, image::Filter::kBicubic);
}

// Both directions, as one module to train.
struct Both : torch::nn::Module {
  std::shared_ptr<nn::LatentConverter> forth, back;

  Both(const nn::LatentConverterConfig& a_to_b, const nn::LatentConverterConfig& b_to_a) {
    forth = register_module("a_to_b", std::make_shared<nn::LatentConverter>(a_to_b));
    back = register_module("b_to_a", std::make_shared<nn::LatentConverter>(b_to_a));
  }
  nn::LatentConverter& way(bool is_forth) { return is_forth ? *forth : *back; }
};

std::pair<train::BridgeSide, train::BridgeSide> open_sides(const TrainBridgeArgs& args) {
  std::pair<int, int> sizes = {args.resolution.value_or(0), args.resolution.value_or(0)};
  if (args.resolution && (*args.resolution < 1 || *args.resolution > 8192)) {
    throw bad_input("--resolution", "1 to 8192 pixels", std::to_string(*args.resolution));
  }
  if (!args.sizes.empty()) sizes = sizes_from(args.sizes);
  pipeline::LoadOptions options;
  options.device = args.device;
  if (!args.dtype.empty()) options.dtype = args.dtype;
  for (const auto& [side, path] : {std::pair("A", args.a), {"B", args.b}}) {
    if (path.empty()) throw bad_input(side, "a model or an autoencoder", "''");
  }
  train::BridgeSide a = open_bridge_side(args.a, sizes.first, options);
  train::BridgeSide b = open_bridge_side(args.b, sizes.second, options);
  // An autoencoder alone has no size of its own: it takes the other's.
  if (a.size_px == 0 && b.size_px == 0) {
    throw bad_input("--sizes", "A=PIXELS,B=PIXELS for autoencoders alone", "none");
  }
  if (a.size_px == 0) a = open_bridge_side(args.a, b.size_px, options);
  if (b.size_px == 0) b = open_bridge_side(args.b, a.size_px, options);
  if (a.encoder == b.encoder && a.size_px == b.size_px) {
    throw bad_input("models A and B", "two latent spaces, or one at two sizes (--sizes)",
                    "one at " + std::to_string(a.size_px) + " pixels, which needs no bridge");
  }
  return {std::move(a), std::move(b)};
}

nn::LatentConverterConfig config_of(const train::BridgeSide& from, const train::BridgeSide& to,
                                    const train::ChannelStatistics& from_statistics,
                                    const train::ChannelStatistics& to_statistics,
                                    const TrainBridgeArgs& args) {
  nn::LatentConverterConfig c;
  c.from_channels = from.channels;
  c.to_channels = to.channels;
  c.from_downscale = from.downscale;
  c.to_downscale = to.downscale;
  c.from_space = from.space;
  c.to_space = to.space;
  c.from_name = from.name;
  c.to_name = to.name;
  c.grid_scale = double(to.size_px) / to.downscale / (double(from.size_px) / from.downscale);
  c.hidden_channels = args.hidden_channels;
  c.from_blocks = args.blocks / 2;
  c.to_blocks = args.blocks - c.from_blocks;
  c.from_mean = from_statistics.mean;
  c.from_std = from_statistics.std;
  c.to_mean = to_statistics.mean;
  c.to_std = to_statistics.std;
  nn::choose_folds(c);
  return c;
}

size_t bytes_of(const train::LatentPair& pair) {
  return static_cast<size_t>(pair.a.nbytes() + pair.b.nbytes());
}

std::vector<train::LatentPair> encode_pairs(const train::PairMaker& maker,
                                            const TrainBridgeArgs& args, double seconds,
                                            data::Report& report) {
  const auto start = Clock::now();
  std::unique_ptr<ProgressBar> bar(args.quiet ? nullptr : new ProgressBar("encode"));
  std::vector<train::LatentPair> pairs;
  size_t bytes = 0;
  const size_t budget = size_t(args.cache_megabytes) << 20;
  int empty = 0;
  for (uint64_t number = 0; static_cast<int>(pairs.size()) < args.pairs; ++number) {
    const bool late = seconds > 0 && seconds_since(start) > seconds;
    if ((late && !pairs.empty()) || bytes >= budget) break;
    const int64_t count = std::min<int64_t>(kBridgeEncodeBatch, args.pairs - int64_t(pairs.size()));
    const auto made = maker.batch(number, count, report);
    empty = made.empty() ? empty + 1 : 0;
    if (empty > 100)
      throw data::with_details(bad_input("--images", "pictures that can be read", "none"), report);
    for (const train::LatentPair& pair : made) {
      if (static_cast<int>(pairs.size()) == args.pairs) break;
      bytes += bytes_of(pair);
      pairs.push_back(pair);
    }
    if (bar) {
      (*bar)({.done = int64_t(pairs.size()), .total = args.pairs, .unit = "pairs", .text = ""});
    }
  }
  return pairs;
}

// At most `most` pairs that serve a direction, spread over all of them.
nn::LatentConverter::LatentPairs fitting_pairs(const std::vector<train::LatentPair>& pairs,
                                               bool forth, size_t most) {
  nn::LatentConverter::LatentPairs all, some;
  for (const train::LatentPair& pair : pairs) {
    if (forth && pair.a_to_b) all.emplace_back(pair.a, pair.b);
    if (!forth && pair.b_to_a) all.emplace_back(pair.b, pair.a);
  }
  const size_t stride = std::max<size_t>(1, all.size() / most);
  for (size_t i = 0; i < all.size(); i += stride) some.push_back(all[i]);
  return some;
}

// Both begin as the best linear maps.
void fit_linear_paths(Both& network, const std::vector<train::LatentPair>& pairs) {
  for (const bool forth : {true, false}) {
    const auto some = fitting_pairs(pairs, forth, kFittedPairs);
    if (!some.empty()) network.way(forth).fit_linear(some);
  }
}

// The last layers anew, as the best for what training made of all others; 0 s: as long as it takes.
void refit_last_layers(Both& network, const std::vector<train::LatentPair>& pairs, double seconds) {
  for (const bool forth : {true, false}) {
    const auto timed = fitting_pairs(pairs, forth, kTimedPairs);
    if (timed.empty()) continue;
    const auto start = Clock::now();
    network.way(forth).fit_output(timed);
    const double each = seconds_since(start) / double(timed.size());
    const double most = seconds > 0 ? seconds / 2 / each : double(kFittedPairs);
    network.way(forth).fit_output(fitting_pairs(
        pairs, forth, static_cast<size_t>(std::clamp(most, 1.0, double(kFittedPairs)))));
  }
}

// How many steps fit into `seconds`, by a few of them without an optimiser.
int64_t steps_in(double seconds, const train::LossFunction& loss, Both& network,
                 const train::TrainConfig& config) {
  double spent = 0;
  const int64_t replicas = train::replica_count(config);
  for (int64_t i = 0; i < kProbeSteps; ++i) {
    const auto start = Clock::now();
    loss({0, i, 0, config.train_batch_size}).backward();
    if (i > 0) spent += seconds_since(start);  // the first one warms kernels up
  }
  network.zero_grad();
  const double step = spent / double(kProbeSteps - 1) / double(replicas);
  return std::clamp<int64_t>(static_cast<int64_t>(seconds / step), 1, 1'000'000);
}

void write_bridge(const std::string& folder, const nn::LatentConverterConfig& config,
                  const std::map<std::string, at::Tensor>& weights, const json& training) {
  fs::create_directories(folder);
  train::write_weights(folder + "/diffusion_pytorch_model.safetensors", weights, at::kBFloat16);
  json written = config.to_json();
  written["training"] = training;
  io::write_file_atomic(folder + "/config.json", written.dump(2) + "\n");
}

train::TrainConfig train_config_of(const TrainBridgeArgs& args) {
  train::TrainConfig c;
  c.task = "bridge";
  c.output_dir = args.out + "/training";
  c.train_batch_size = args.batch;
  c.learning_rate = args.learning_rate;
  c.optimizer = args.optimizer;
  c.seed = static_cast<int64_t>(args.seed);
  c.device = args.device;
  if (args.device == "cpu") c.replicas = at::get_num_threads();
  c.mixed_precision = args.dtype.empty()     ? train::fastest_mixed_precision(args.device)
                      : args.dtype == "bf16" ? "bf16"
                                             : "no";
  c.sample_every_n_steps = 0;
  c.save_every_minutes = 1e6;
  return c;
}

void check_bridge_args(const TrainBridgeArgs& args) {
  if (args.minutes && !(*args.minutes > 0)) {
    throw bad_input("--minutes", "more than 0", std::to_string(*args.minutes));
  }
  if (args.steps && *args.steps < 1) {
    throw bad_input("--steps", "1 or more", std::to_string(*args.steps));
  }
  if (!(args.learning_rate > 0 && args.learning_rate <= 1)) {
    throw bad_input("--learning-rate", "above 0, at most 1", std::to_string(args.learning_rate));
  }
  train::optimizer_kind_from(args.optimizer);
}

struct BridgePictures {
  std::vector<data::Item> seen, held_out;
};

BridgePictures split_pictures(std::vector<data::Item> pictures) {
  if (pictures.size() < 2) throw bad_input("--images", "two pictures at least", "one");
  BridgePictures split;
  // Several even of few pictures: some may be broken.
  const size_t every = std::clamp<size_t>(pictures.size() / 4, 2, kHeldOutEvery);
  for (size_t i = 0; i < pictures.size(); ++i) {
    (i % every == every - 1 ? split.held_out : split.seen).push_back(std::move(pictures[i]));
  }
  return split;
}

// What converters in one direction are judged by, and what came of it.
struct Direction {
  std::string folder;
  nn::LatentConverterConfig config;
  eval::BridgeJudge judge;
  eval::Judgement exact;  // of the bridge through pixels
  std::vector<eval::BridgeCandidate> candidates;
};

// forth: from A to B. pairs were held out.
Direction direction_of(bool forth, const nn::LatentConverterConfig& config,
                       const train::PairMaker& maker, const train::BridgeSide& from,
                       const train::BridgeSide& to, const std::vector<train::LatentPair>& pairs) {
  eval::BridgeJudge::Pairs judged;
  for (const train::LatentPair& pair : pairs) {
    judged.emplace_back(forth ? pair.a : pair.b, forth ? pair.b : pair.a);
  }
  Direction d{kFolders[forth ? 0 : 1], config, {judged, to.decode, config}, {}, {}};
  const train::BridgeShape square =
      forth ? train::bridge_shapes(from, to).front() : train::bridge_shapes(to, from).front();
  d.exact = d.judge(
      [&](const at::Tensor& x, const at::Tensor&) { return maker.exact(x, square, forth); });
  return d;
}

// Networks that begin as `fitted`, one a replica.
std::vector<std::shared_ptr<Both>> copies_of(Both& fitted, const Direction& forth,
                                             const Direction& back,
                                             const train::TrainConfig& config) {
  std::vector<std::shared_ptr<Both>> networks;
  for (int64_t r = 0; r < train::replica_count(config); ++r) {
    auto network = std::make_shared<Both>(forth.config, back.config);
    nn::load_into(*network, nn::state_of(fitted));
    nn::weights_to_channels_last(*network);
    network->to(at::Device(config.device));
    networks.push_back(std::move(network));
  }
  return networks;
}

train::BridgeCalls calls_of(const std::shared_ptr<Both>& network) {
  return {[network](const at::Tensor& x, int64_t h, int64_t w) {
            return network->forth->forward(x, h, w);
          },
          [network](const at::Tensor& x, int64_t h, int64_t w) {
            return network->back->forward(x, h, w);
          }};
}

train::TrainHooks hooks_of(const train::TrainConfig& config, ProgressBar* bar) {
  train::TrainHooks hooks;
  if (bar) {
    hooks.on_log = [bar](const train::StepReport& r) { (*bar)(progress_of(r, "pairs")); };
  }
  if (config.time_budget_minutes > 0) {
    hooks.progress = [begun = Clock::now(), seconds = config.time_budget_minutes * 60] {
      return seconds_since(begun) / seconds;
    };
  }
  return hooks;
}

// The best candidate of a direction as files; its numbers as rows of a table and as JSON.
json keep_best(const Direction& d, const std::string& out, json training, std::vector<Row>& rows) {
  const auto add = [&](const std::string& first, const std::string& which,
                       const eval::Judgement& j) {
    char psnr[32], error[32];
    std::snprintf(psnr, sizeof psnr, "%.2f", j.psnr_db);
    std::snprintf(error, sizeof error, "%.4f", j.relative_error);
    rows.push_back({first, which, psnr, error});
  };
  // A training that was cut short may be worse than what it began from.
  const eval::BridgeCandidate& kept = eval::best_of(d.candidates);
  for (const eval::BridgeCandidate& one : d.candidates) {
    training[one.name] = eval::to_json(one.judgement);
    add(&one == &d.candidates.front() ? d.folder : "", one.name + (&one == &kept ? ", kept" : ""),
        one.judgement);
  }
  training["exact"] = eval::to_json(d.exact);
  add("", "exact", d.exact);
  training["kept"] = kept.name;
  write_bridge(out + "/" + d.folder, d.config, kept.weights, training);
  return training;
}

}  // namespace

int run_train_bridge(const TrainBridgeArgs& args) {
  const auto start = Clock::now();
  check_bridge_args(args);
  // Seconds; 0: as long as the steps take.
  const double budget = args.minutes ? *args.minutes * 60 : args.steps ? 0 : kDefaultMinutes * 60;
  const auto [a, b] = open_sides(args);
  BridgePictures pictures = split_pictures(bridge_pictures(args.images));
  fs::create_directories(args.out);

  train::PairOptions options;
  options.seed = args.seed;
  data::Report report;
  const train::PairMaker maker(a, b, std::move(pictures.seen), options, bicubic);
  const std::vector<train::LatentPair> judged =
      train::PairMaker(a, b, std::move(pictures.held_out), options, bicubic)
          .plain(kHeldOut, report);
  if (judged.empty())
    throw data::with_details(bad_input("--images", "pictures that can be read", "none"), report);
  const auto pairs = encode_pairs(maker, args, budget * kEncodingShare, report);
  if (!report.is_clean()) std::fprintf(stderr, "data: %s\n", report.text().c_str());
  const double encoding_seconds = seconds_since(start);

  const auto statistics = train::statistics_of(pairs);
  const auto& [of_a, of_b] = statistics;
  Direction ways[] = {direction_of(true, config_of(a, b, of_a, of_b, args), maker, a, b, judged),
                      direction_of(false, config_of(b, a, of_b, of_a, args), maker, b, a, judged)};
  train::TrainConfig config = train_config_of(args);
  torch::manual_seed(args.seed);
  Both fitted(ways[0].config, ways[1].config);
  fit_linear_paths(fitted, pairs);
  const auto networks = copies_of(fitted, ways[0], ways[1], config);
  std::vector<std::shared_ptr<torch::nn::Module>> modules(networks.begin(), networks.end());
  std::vector<train::BridgeCalls> calls;
  for (const auto& network : networks) calls.push_back(calls_of(network));
  const auto add_candidates = [&](const std::string& name, Both& both) {
    for (const bool forth : {true, false}) {
      Direction& d = ways[forth ? 0 : 1];
      d.candidates.push_back(eval::candidate_of(name, both.way(forth), d.judge));
    }
  };
  const auto judging = Clock::now();
  add_candidates("linear", fitted);
  const double judging_seconds = seconds_since(judging);

  const train::LossFunction loss = train::bridge_loss(config, calls, pairs, statistics);
  if (args.steps) {
    config.max_train_steps = *args.steps;
    config.time_budget_minutes = args.minutes.value_or(0);
  } else {
    const double left =
        budget * (1 - kRefitShare) - kJudgingMargin * judging_seconds - seconds_since(start);
    config.max_train_steps = steps_in(std::max(1.0, left), loss, *networks.front(), config);
    config.time_budget_minutes = std::max(1.0, left) / 60;
  }
  config.lr_warmup_steps =
      std::max<int64_t>(1, int64_t(double(config.max_train_steps) * kWarmUpShare));
  std::unique_ptr<ProgressBar> bar(args.quiet ? nullptr : new ProgressBar("train"));
  const train::TrainResult trained =
      train::train(config, modules, loss, {}, hooks_of(config, bar.get()), /*resume=*/false);
  bar.reset();
  train::remove_checkpoint(config.output_dir);

  Both averaged(ways[0].config, ways[1].config);
  nn::load_into(averaged, trained.weights);
  add_candidates("trained", averaged);
  refit_last_layers(averaged, pairs, budget * kRefitShare);
  add_candidates("refitted", averaged);
  int64_t parameters = 0;
  for (const at::Tensor& one : averaged.parameters()) parameters += one.numel();

  json all = {{"pairs", pairs.size()},
              {"steps", trained.step},
              {"parameters", parameters},
              {"seconds", {{"encode", encoding_seconds}}}};
  std::vector<Row> rows = {{"bridge", "", "PSNR, dB", "relative error"}};
  std::string notes;
  for (const Direction& d : ways) {
    all[d.folder] = keep_best(
        d, args.out,
        {{"pairs", pairs.size()}, {"steps", trained.step}, {"held_out", judged.size()}}, rows);
    if (all[d.folder]["kept"] == d.candidates.front().name) {
      notes += d.folder +
               ": training came out worse than the linear fit, which is kept; more --minutes may "
               "help\n";
    }
  }
  all["seconds"]["all"] = seconds_since(start);
  if (args.json) {
    std::cout << all.dump(2) << "\n";
    return 0;
  }
  std::cout << a.name << " (" << a.size_px << " px) and " << b.name << " (" << b.size_px
            << " px): " << pairs.size() << " pairs, " << trained.step << " steps, "
            << human_count(parameters) << " parameters, " << duration_text(seconds_since(start))
            << "\n\n"
            << table(rows) << notes;
  return 0;
}

}  // namespace pangu::app
