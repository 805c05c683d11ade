#include "eval/page.h"

#include <algorithm>
#include <cmath>
#include <cstdio>

#include "eval/plot.h"

namespace pangu::eval {

std::string fixed(double value, int digits) {
  if (std::isnan(value)) return "-";
  char text[48];
  std::snprintf(text, sizeof text, "%.*f", digits, value);
  return text;
}

std::string share(int64_t hits, int64_t count) {
  if (count == 0) return "-";
  return std::to_string(hits) + " of " + std::to_string(count) + " (" +
         fixed(100.0 * double(hits) / double(count), 1) + " %)";
}

std::string share_with_interval(int64_t hits, int64_t count) {
  if (count == 0) return "-";
  constexpr double kZ = 1.959964;  // 95 % of N(0,1) is within
  const double n = double(count), p = double(hits) / n, spread = kZ * kZ / n;
  const double middle = (p + spread / 2) / (1 + spread);
  const double half = std::sqrt(p * (1 - p) * spread + spread * spread / 4) / (1 + spread);
  std::string text = share(hits, count);
  text.pop_back();
  return text + ", " + fixed(100 * std::max(0.0, middle - half), 1) + " to " +
         fixed(100 * std::min(1.0, middle + half), 1) + ")";
}

std::string cell(const std::string& text) {
  std::string out;
  for (const char c : text) {
    if (c == '|') out += '\\';
    out += c == '\n' ? ' ' : c;
  }
  return out;
}

std::string markdown(const Table& table, int level) {
  std::string out = std::string(size_t(level), '#') + " " + table.title + "\n\n";
  if (!table.note.empty()) out += table.note + "\n\n";
  const auto row = [&](const std::vector<std::string>& cells) {
    out += "|";
    for (const std::string& text : cells) out += " " + cell(text) + " |";
    out += "\n";
  };
  row(table.header);
  out += "|";
  for (size_t i = 0; i < table.header.size(); ++i) out += "---|";
  out += "\n";
  for (const auto& cells : table.rows) row(cells);
  return out + "\n";
}

namespace {

std::string count_text(int64_t value) { return std::to_string(value); }

std::string signed_points(double value) { return (value > 0 ? "+" : "") + fixed(value, 1); }

std::string group_text(const std::string& group) {
  if (group == "train") return "training concepts";
  if (group == "heldout_pair") return "held-out pairs";
  if (group == "heldout_concept") return "held-out concepts";
  return group;
}

Table probe_table(const ProbeFacts& p) {
  Table t;
  t.title = "The probe itself, on real pictures";
  t.note = "Fitted on " + count_text(p.train_pictures) +
           " real pictures of the training split and asked about the real pictures of held-out "
           "pairs, which it has not seen. Scores below use a probe of the same kind (logistic "
           "regression on mixed6 features) fitted on all " +
           count_text(p.pictures) + " real pictures (" + count_text(p.concepts) + " concepts, " +
           count_text(p.styles) + " styles, " + count_text(p.views) +
           " views each: as it is, and softened).";
  t.header = {"real held-out pictures", "concept, top-1", "concept, top-5", "style"};
  const auto row = [](const char* what, const Accuracy& c, const Accuracy& s) {
    return std::vector<std::string>{what, share(c.top1, c.count), share(c.top5, c.count),
                                    share(s.top1, s.count)};
  };
  t.rows = {row("as they are", p.own_concept, p.own_style),
            row("softened", p.soft_concept, p.soft_style)};
  if (p.coded_concept.count > 0) {
    t.rows.push_back(row("decoded by the model's autoencoder", p.coded_concept, p.coded_style));
  }
  return t;
}

Table group_table(const Scores& scores) {
  Table t;
  t.title = "What the probe sees in drawn pictures";
  t.note = "One picture a prompt, the same seeds in both languages. Guessing would reach " +
           fixed(500.0 / double(std::max<int64_t>(1, scores.probe.concepts)), 1) +
           " % of the top-5 and " +
           fixed(100.0 / double(std::max<int64_t>(1, scores.probe.styles)), 1) +
           " % of the styles. After a share stands its 95 % interval (Wilson).";
  t.header = {"prompts", "language", "concept, top-1", "concept, top-5", "style"};
  for (const GroupScore& g : scores.groups) {
    t.rows.push_back({group_text(g.group), g.language,
                      share_with_interval(g.concept_hits.top1, g.concept_hits.count),
                      share_with_interval(g.concept_hits.top5, g.concept_hits.count),
                      share_with_interval(g.style_hits.top1, g.style_hits.count)});
  }
  return t;
}

Table style_table(const Scores& scores) {
  Table t;
  t.title = "As which style drawn pictures are seen";
  t.note =
      "Of all prompts in both languages. Where one column holds nearly everything, the probe sees "
      "that "
      "style in whatever the model draws, and the styles of the table above are only those that "
      "were "
      "asked for.";
  t.header = {"asked for"};
  for (const auto& [style, count] : scores.styles[0].seen) t.header.push_back("seen as " + style);
  for (const StyleScore& s : scores.styles) {
    std::vector<std::string>& row = t.rows.emplace_back(1, s.asked);
    for (const auto& [style, count] : s.seen) row.push_back(count_text(count));
  }
  return t;
}

Table language_table(const Scores& scores) {
  Table t;
  t.title = "Chinese against English";
  t.note = "zh minus en, in points, and how many prompts hit the top-5 in one language alone.";
  t.header = {"prompts", "pairs", "top-1", "top-5", "style", "only en", "only zh"};
  for (const LanguageScore& l : scores.languages) {
    t.rows.push_back({group_text(l.group), count_text(l.count), signed_points(l.top1_points),
                      signed_points(l.top5_points), signed_points(l.style_points),
                      count_text(l.only_en), count_text(l.only_zh)});
  }
  return t;
}

Table frechet_table(const Scores& scores) {
  Table t;
  t.title = "Frechet distances";
  t.note =
      "Between a set of pictures and real pictures of other concepts and styles, on mean "
      "Inception features (768 of mixed6, 2048 final; nsfwjs' weights, so not comparable with "
      "published FIDs). The floor is the distance of the very real pictures that the prompts "
      "describe. Sets are smaller than the feature counts, so covariances lack full rank: "
      "read the rows against each other only. Detail is the energy of a picture's frequencies from "
      "1/8 to 1/4 cycles a pixel (middle) and above (fine), by that of those real pictures: soft "
      "pictures have less than 1.";
  t.header = {"set",   "pictures",      "real pictures", "mixed6",
              "final", "middle detail", "fine detail"};
  for (const FrechetScore& f : scores.frechet) {
    t.rows.push_back({f.what, count_text(f.count), count_text(f.reference), fixed(f.mixed6, 3),
                      fixed(f.final, 3), fixed(f.middle_detail, 2), fixed(f.fine_detail, 2)});
  }
  return t;
}

Table scene_table(const Scores& scores) {
  Table t;
  t.title = "Scenes";
  t.note =
      "Held-out scene prompts. A thing is found if the probe has it among its best five in "
      "the whole picture or one of its windows; a position is right if both things fit their "
      "own places better than each other's (half by chance). How many there are of one thing "
      "is not measured. The composed scenes are the ceiling of this measure, pictures with "
      "another scene's prompt its chance level. Intervals are of 95 % (Wilson), as if the things "
      "of a scene were found independently.";
  t.header = {"pictures", "scenes", "things found", "scenes with all found", "positions right"};
  for (const SceneScore& s : scores.scenes) {
    t.rows.push_back({s.what, count_text(s.scenes), share_with_interval(s.in_top5, s.things),
                      share_with_interval(s.all_in_top5, s.scenes),
                      share_with_interval(s.position_fits, s.positions)});
  }
  return t;
}

Table loss_table(const Scores& scores) {
  Table t;
  t.title = "Loss by sigma";
  t.note =
      "Mean squared error of the prediction at single noise levels, averaged weights, "
      "training pictures, at the end of each training.";
  t.header = {"expert", "t", "sigma", "loss"};
  for (const TrainingRun& run : scores.runs) {
    for (const LossAt& at : run.by_sigma) {
      t.rows.push_back({run.name, fixed(at.t_index, 0), fixed(at.sigma, 3), fixed(at.loss, 4)});
    }
  }
  return t;
}

std::string markdown(const Grid& grid, const std::string& images) {
  std::string out = "## " + grid.title + "\n\n![" + grid.title + "](" + images + "/" + grid.file +
                    ")\n\n<details><summary>The prompts, row by row</summary>\n\n";
  const size_t columns = size_t(std::max(1, grid.columns));
  for (size_t i = 0; i < grid.prompts.size(); ++i) {
    if (i % columns == 0) out += std::to_string(i / columns + 1) + ". ";
    out += cell(grid.prompts[i]);
    out += (i + 1) % columns == 0 || i + 1 == grid.prompts.size() ? "\n" : "; ";
  }
  return out + "\n</details>\n\n";
}

std::string setting_text(const Setting& s) {
  return "`" + s.model + "` (weights " + s.fingerprint + "), " + count_text(s.steps) +
         " steps of " + s.sampler + " on " + s.schedule + " sigmas, guidance " +
         fixed(s.guidance, 1) +
         (s.guidance_low > 0 ? " above a sigma of " + fixed(s.guidance_low, 1) : "") + ", " +
         count_text(s.width_px) + "x" + count_text(s.height_px) + " pixels, " + s.dtype +
         ", seeds from " + std::to_string(s.seed) + "; " + count_text(s.pictures_drawn) +
         " pictures drawn in " + fixed(s.seconds_a_picture, 2) + " s each on " +
         count_text(s.threads) + " threads of the machine that made this page.";
}

}  // namespace

std::vector<Table> tables_of(const Scores& scores) {
  std::vector<Table> tables;
  if (!scores.groups.empty()) tables.push_back(group_table(scores));
  if (!scores.styles.empty()) tables.push_back(style_table(scores));
  if (!scores.languages.empty()) tables.push_back(language_table(scores));
  if (scores.probe.pictures > 0) tables.push_back(probe_table(scores.probe));
  if (!scores.frechet.empty()) tables.push_back(frechet_table(scores));
  if (!scores.scenes.empty()) tables.push_back(scene_table(scores));
  for (const TrainingRun& run : scores.runs) {
    if (run.by_sigma.empty()) continue;
    tables.push_back(loss_table(scores));
    break;
  }
  return tables;
}

std::string loss_svg(const std::vector<TrainingRun>& runs) {
  if (runs.empty()) return "";
  Plot generators{"Generators: loss", "minutes of training", "loss", false, true, {}};
  Plot others{"Other trainings: loss", "minutes of training", "loss", false, true, {}};
  Plot by_sigma{"Loss by sigma, at the end", "sigma", "loss", true, true, {}};
  for (const TrainingRun& run : runs) {
    Series curve{run.name, {}};
    for (const LossOf& at : run.curve) curve.points.emplace_back(at.seconds / 60, at.loss);
    if (!curve.points.empty()) (run.by_sigma.empty() ? others : generators).series.push_back(curve);
    if (run.by_sigma.empty()) continue;
    Series levels{run.name, {}};
    for (const LossAt& at : run.by_sigma) levels.points.emplace_back(at.sigma, at.loss);
    by_sigma.series.push_back(levels);
  }
  std::vector<Plot> plots;
  for (const Plot* plot : {&generators, &by_sigma, &others}) {
    if (!plot->series.empty()) plots.push_back(*plot);
  }
  return svg_of(plots);
}

std::string page_of(const Scores& scores, const std::string& images, const std::string& loss_file) {
  std::string out = "# Scores of the model `" + scores.setting.model + "`\n\n";
  out += "Written by one command; no number on this page was typed by hand.\n\n```sh\n" +
         scores.setting.command + "\n```\n\n" + setting_text(scores.setting) + "\n\n";
  const std::vector<Table> tables = tables_of(scores);
  for (const Table& table : tables) {
    out += markdown(table);
    if (table.title == "Loss by sigma" && !loss_file.empty()) {
      out += "![loss curves](" + images + "/" + loss_file + ")\n\n";
    }
  }
  for (const Grid& grid : scores.grids) out += markdown(grid, images);
  out.pop_back();
  return out;
}

}  // namespace pangu::eval
