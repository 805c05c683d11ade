#include "app/cli_eval.h"

#include "app/cli_flags.h"
#include "app/late_library.h"

namespace pangu::app {
namespace {

CLI::App* add_eval_page(CLI::App& app, EvalArgs& args) {
  CLI::App* cmd = app.add_subcommand("eval", "Score a model, and write the page of its scores");
  cmd->add_option("--model", args.model, "Model folder (default: the embedded model)");
  cmd->add_option("--data", args.data, "Dataset folder of `data build`, with the real pictures");
  cmd->add_option("--inception", args.inception, "Weights that tools/export_inception.py writes");
  cmd->add_option("--runs", args.runs, "Folder of trainings, for their losses");
  cmd->add_option("-o,--out", args.out, "Page to write (.md); pictures go into images/ beside it");
  cmd->add_option("--json", args.json, "File to write the scores to");
  cmd->add_option("--cache", args.cache,
                  "File or folder for features of real pictures (default: the temporary folder)");
  cmd->add_option("--only", args.only, "Some of probe,frechet,scenes,loss (default: all)");
  cmd->add_option("--prompts", args.prompts, "Pictures of each group in each language")
      ->capture_default_str()
      ->check(CLI::Range(2, 10000));
  cmd->add_option("--scenes", args.scenes, "Scene prompts in each language")
      ->capture_default_str()
      ->check(CLI::Range(1, 500));
  cmd->add_option("--batch", args.batch, "Prompts in one forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  cmd->add_option("--lora", args.loras, "LoRA for the model, FILE[:WEIGHT] (may be repeated)");
  cmd->add_option("--size", args.size, "WIDTHxHEIGHT of the pictures (default: the model's)");
  cmd->add_option("--steps", args.steps, "Steps of the sampler (default: the model's)");
  cmd->add_option("--guidance", args.guidance, "Guidance scale (default: the model's)");
  cmd->add_option("--guidance-low", args.guidance_low,
                  "Noise level below which guidance is off (default: the model's)");
  add_seed(cmd, args.seed, "Seed of the first picture");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  add_threads(cmd);
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
  return cmd;
}

void add_eval_coop(CLI::App& eval, EvalCoopArgs& args) {
  CLI::App* cmd = eval.add_subcommand(
      "coop", "Do models that draw together follow what each was asked? Tables, plots, pictures");
  cmd->add_option("--hub", args.hub, "Model that draws from text")->capture_default_str();
  cmd->add_option("--edges", args.edges, "Member that draws from edges")->capture_default_str();
  cmd->add_option("--variation", args.variation, "Member that varies a picture")
      ->capture_default_str();
  cmd->add_option("--low", args.low, "Member of low resolution")->capture_default_str();
  cmd->add_option("--data", args.data,
                  "Dataset folder of `data build`, with the real pictures (default: "
                  "out/mini/dataset)");
  cmd->add_option("--inception", args.inception,
                  "Weights that tools/export_inception.py writes (default: "
                  "out/mini/weights/inception.safetensors)");
  cmd->add_option("--only", args.only, "Some of edges,variation,low (default: those there are)");
  cmd->add_option("--settings", args.settings,
                  "Beside the members alone only settings whose names hold one of these words");
  cmd->add_option("-o,--out", args.out,
                  "Page (.md): new, or one whose study is replaced; pictures go into images/ "
                  "(default: out/coop/study.md)");
  cmd->add_option("--json", args.json, "File to write the numbers to");
  cmd->add_option("--cache", args.cache,
                  "File or folder for features of real pictures (default: the temporary folder)");
  cmd->add_option("--keep", args.keep,
                  "Folder for the drawn pictures: what was interrupted goes on where it was");
  cmd->add_option("--prompts", args.prompts, "Pictures of each setting")
      ->capture_default_str()
      ->check(CLI::Range(2, 10000));
  cmd->add_option("--steps", args.steps, "Steps of the sampler")
      ->capture_default_str()
      ->check(CLI::Range(1, 1000));
  cmd->add_option("--form", args.form, "paper, symmetric or one_way")->capture_default_str();
  cmd->add_option("--bridge", args.bridge, "auto, exact, tiny or learned")->capture_default_str();
  cmd->add_option("--batch", args.batch, "Prompts in one forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_seed(cmd, args.seed, "Seed of the first picture");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  add_threads(cmd);
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

// What measures pictures, of `eval pictures` and `eval model`.
void add_ruler_flags(CLI::App* cmd, RulerArgs& args) {
  cmd->add_option(
      "--reference", args.reference,
      "Folder of real pictures, or statistics of them (.safetensors of --out, .npz with mu "
      "and sigma)");
  cmd->add_option("--fid-weights", args.fid_weights,
                  "The FID network, pt_inception-2015-12-05-6726825d.pth or "
                  "weights-inception-2015-12-05-6726825d.pth");
  cmd->add_option("--resize", args.resize,
                  "How pictures become 299 pixels wide: torch-fidelity, clean-fid or pytorch-fid")
      ->capture_default_str();
  cmd->add_option("--size", args.size_px,
                  "Scale and cut all pictures to this square first (0: as they are)")
      ->capture_default_str()
      ->check(CLI::Range(0, 4096));
  cmd->add_option("--clip", args.clip,
                  "CLIP with both towers, for the CLIP score: OpenAI's, OpenCLIP's, transformers' "
                  "or CN-CLIP's");
  cmd->add_option("--clip-activation", args.clip_activation, "gelu or quick_gelu")
      ->default_str("as its authors'");
  cmd->add_option("--kid-subsets", args.kid_subsets, "Random subsets of KID")
      ->capture_default_str()
      ->check(CLI::Range(1, 10000));
  cmd->add_option("--kid-subset-size", args.kid_subset_size, "Pictures in each of them")
      ->capture_default_str()
      ->check(CLI::Range(2, 50000));
  cmd->add_option("--measure-batch", args.batch, "Pictures in one forward of the networks")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  cmd->add_option("--json", args.json, "File to write the scores to");
  add_threads(cmd);
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

void add_eval_pictures(CLI::App& eval, EvalPicturesArgs& args) {
  CLI::App* cmd = eval.add_subcommand(
      "pictures",
      "FID, KID, Inception Score, CLIP score of any number of pictures, with the field's networks");
  cmd->footer(
      "Example: pangu-draw eval pictures drawn --reference val2014 --fid-weights "
      "pt_inception-2015-12-05-6726825d.pth");
  cmd->add_option(
         "pictures", args.pictures,
         "A folder of pictures, or statistics of --out: one .npz, or all shards' .safetensors")
      ->required();
  cmd->add_option("--shard", args.shard,
                  "i/n: only part i (from 0) of n; --out keeps it for merging");
  cmd->add_option(
      "-o,--out", args.out,
      "File for the statistics: .safetensors with all of them, which an interrupted run goes "
      "on with; .npz with mu and sigma");
  cmd->add_option("--captions", args.captions,
                  "File with {\"file\": ..., \"caption\": ...} a line, for --clip");
  add_ruler_flags(cmd, args.rulers);
}

void add_eval_model(CLI::App& eval, EvalModelArgs& args) {
  CLI::App* cmd = eval.add_subcommand("model",
                                      "Draw a picture for each of many prompts, in shards, and "
                                      "measure them as `eval pictures` does");
  cmd->footer(
      "Example: pangu-draw eval model --preset coco-2014 --data coco --out drawn --fid-weights "
      "pt_inception-2015-12-05-6726825d.pth");
  cmd->add_option("--model", args.model, "Model folder (default: the embedded model)");
  CLI::Option* prompts = cmd->add_option("--prompts", args.prompts,
                                         "File with {\"file\": ..., \"prompt\": ...} a line");
  cmd->add_option("--preset", args.preset,
                  "coco-2014 (30,000 captions, 256 px) or coco-cn; says which files to fetch")
      ->excludes(prompts);
  cmd->add_option("--data", args.data, "Folder with the preset's files");
  cmd->add_option("-o,--out", args.out,
                  "Folder for the pictures; those that are there are not drawn again")
      ->required();
  cmd->add_option("--shard", args.shard,
                  "i/n: draw only part i (from 0) of n, and measure nothing");
  cmd->add_option("--steps", args.steps, "Steps of the sampler (default: the model's)");
  cmd->add_option("--guidance", args.guidance, "Guidance scale (default: the model's)");
  cmd->add_option("--sampler", args.sampler, "Sampler (default: the model's)");
  cmd->add_option("--draw-size", args.size, "WIDTHxHEIGHT that is drawn (default: the model's)");
  cmd->add_option("--batch", args.draw_batch, "Prompts in one forward of the model")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_seed(cmd, args.seed, "Seed of the first prompt; the others count up");
  cmd->add_option("--device", args.device, "cpu or cuda")->capture_default_str();
  cmd->add_option("--dtype", args.dtype, "f32 or bf16 (default: the faster one here)");
  add_ruler_flags(cmd, args.rulers);
}

void add_eval_autoencoder(CLI::App& eval, EvalAutoencoderArgs& args) {
  CLI::App* cmd = eval.add_subcommand(
      "autoencoder", "What an autoencoder makes of real pictures, and of noise on their latents");
  cmd->footer("Example: pangu-draw eval autoencoder --model models/mini --data out/mini/dataset");
  cmd->add_option("--model", args.model,
                  "Folder of a model or of an autoencoder (default: the embedded model)");
  cmd->add_option("--data", args.data, "Dataset folder of `data build`, with the real pictures");
  cmd->add_option("--split", args.split, "Which of its pictures")->capture_default_str();
  cmd->add_option("--pictures", args.pictures, "At most so many, spread over them")
      ->capture_default_str()
      ->check(CLI::Range(2, 100000));
  cmd->add_option("--size", args.size_px, "Side of the pictures")
      ->capture_default_str()
      ->check(CLI::Range(64, 4096));
  cmd->add_option("--noise", args.noise, "Levels of noise on the latents, by their deviation")
      ->delimiter(',')
      ->capture_default_str()
      ->check(CLI::Range(0.0, 10.0));
  cmd->add_option("--vgg", args.vgg, "Weights that tools/export_vgg.py writes, for VGG distances");
  cmd->add_option("--inception", args.inception,
                  "Weights that tools/export_inception.py writes, for distances of mixed6");
  cmd->add_option("--batch", args.batch, "Pictures in one forward")
      ->capture_default_str()
      ->check(CLI::Range(1, 1024));
  add_seed(cmd, args.seed, "Seed of the noise");
  cmd->add_option("--json", args.json, "File to write the scores to");
  add_threads(cmd);
  cmd->add_flag("-q,--quiet", args.quiet, "No progress bar");
}

}  // namespace

void add_eval(CLI::App& app, EvalCommands& args) {
  CLI::App* eval = add_eval_page(app, args.page);
  add_eval_coop(*eval, args.coop);
  add_eval_pictures(*eval, args.pictures);
  add_eval_model(*eval, args.model);
  add_eval_autoencoder(*eval, args.autoencoder);
}

int run_eval_command(const CLI::App& app, const EvalCommands& args) {
  const CLI::App* eval = app.get_subcommand("eval");
  if (eval->got_subcommand("coop")) return run_late(kTraining, "pangu_eval_coop", args.coop);
  if (eval->got_subcommand("pictures")) {
    return run_late(kTraining, "pangu_eval_pictures", args.pictures);
  }
  if (eval->got_subcommand("model")) return run_late(kTraining, "pangu_eval_model", args.model);
  if (eval->got_subcommand("autoencoder")) {
    return run_late(kTraining, "pangu_eval_autoencoder", args.autoencoder);
  }
  return run_late(kTraining, "pangu_eval", args.page);
}

}  // namespace pangu::app
