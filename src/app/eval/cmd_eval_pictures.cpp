// `pangu-draw eval pictures`: the field's scores of any number of pictures, in shards and with
// stops if need be.
#include <ATen/Parallel.h>
#include <torch/types.h>

#include <chrono>
#include <cstdio>
#include <iostream>

#include "app/commands.h"
#include "app/eval/picture_scores.h"
#include "app/eval/shards.h"
#include "app/interrupt.h"
#include "core/error.h"
#include "io/atomic_file.h"

namespace pangu::app {
namespace {

void check_eval_pictures(const EvalPicturesArgs& args) {
  const bool is_npz = args.out.ends_with(".npz");
  if (!args.out.empty() && !is_npz && !args.out.ends_with(".safetensors")) {
    throw bad_input("--out", "a name ending in .safetensors or .npz", "'" + args.out + "'");
  }
  if (!args.shard.empty() && (args.out.empty() || is_npz)) {
    throw bad_input("--shard", "--out FILE.safetensors, which keeps the part for merging",
                    args.out.empty() ? "no --out" : "'" + args.out + "'");
  }
  if (args.pictures.size() > 1 || is_statistics(args.pictures[0])) {
    for (const std::string& path : args.pictures) {
      if (!is_statistics(path)) {
        throw bad_input("'" + path + "'", "one folder, or only files of statistics",
                        "a folder among several");
      }
    }
    if (!args.shard.empty()) {
      throw bad_input("--shard", "a folder of pictures", "statistics, which are measured already");
    }
  }
  if (args.captions.empty() != args.rulers.clip.empty()) {
    throw bad_input("--clip", "both --clip and --captions, or neither", "one of them");
  }
  if (!args.rulers.reference.empty() && !is_statistics(args.rulers.reference) &&
      args.rulers.fid_weights.empty()) {
    throw bad_input("--fid-weights", "the FID network for the folder of --reference", "nothing");
  }
  check_folders_of({args.out, args.rulers.json});
}

}  // namespace

int run_eval_pictures(const EvalPicturesArgs& args) {
  const auto shard = shard_numbers(args.shard);
  check_eval_pictures(args);
  const bool is_kept = is_statistics(args.pictures[0]);
  const bool reference_is_kept = is_statistics(args.rulers.reference);
  std::optional<OpenRulers> rulers;
  if (!is_kept || (!args.rulers.reference.empty() && !reference_is_kept)) {
    rulers =
        open_rulers(args.rulers, args.captions.empty() ? std::vector<eval::NamedPrompt>()
                                                       : eval::read_prompt_list(args.captions));
    std::cout << rulers_text(rulers->about) << std::flush;
  }
  Interrupt interrupt;
  Bars bars(args.rulers.quiet);
  const auto watch = [&](const char* phase) {
    Watch w;
    w.wants_stop = [&interrupt] { return interrupt.wanted(); };
    w.on_progress = [&bars, phase](const Progress& progress) { bars(phase, progress); };
    return w;
  };
  using Clock = std::chrono::steady_clock;
  const auto started = Clock::now();
  try {
    const std::string keep = args.out.ends_with(".safetensors") ? args.out : "";
    Side drawn =
        is_kept
            ? kept_side(args.pictures)
            : side_of(measured_folder(args.pictures[0], *rulers, shard, keep, watch("pictures")),
                      args.pictures[0]);
    if (is_kept && !keep.empty() && drawn.statistics) drawn.statistics->save(keep);
    if (args.out.ends_with(".npz")) eval::save_moments(args.out, drawn.gaussian);
    if (shard) {
      bars.finish();
      std::cout << "shard " << args.shard << ": " << drawn.gaussian.count() << " pictures in "
                << args.out << "\n";
      return 0;
    }
    std::optional<Side> reference;
    if (!args.rulers.reference.empty()) {
      reference = reference_is_kept
                      ? kept_side({args.rulers.reference})
                      : side_of(measured_folder(args.rulers.reference, without_clip(*rulers),
                                                std::nullopt, "", watch("reference")),
                                args.rulers.reference);
    }
    nlohmann::json scores = scores_of(drawn, reference ? &*reference : nullptr, args.rulers,
                                      [&](const Progress& progress) { bars("KID", progress); });
    bars.finish();
    const std::chrono::duration<double> took = Clock::now() - started;
    scores["seconds"] = took.count();
    scores["threads"] = at::get_num_threads();
    if (rulers) scores["measured_by"] = rulers->about;
    print_tables({score_table(scores)});
    std::cout << "measured in " << duration_text(took.count()) << " on " << at::get_num_threads()
              << " threads\n";
    if (!args.rulers.json.empty()) {
      io::write_file_atomic(args.rulers.json, scores.dump(2) + "\n");
    }
    return 0;
  } catch (const Stopped&) {
    bars.finish();
    std::fprintf(stderr, args.out.ends_with(".safetensors")
                             ? "stopped; the same command goes on from here\n"
                             : "stopped; with --out FILE.safetensors it could go on\n");
    return interrupt.exit_code();
  }
}

}  // namespace pangu::app
