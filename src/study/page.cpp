#include "study/page.h"

#include <algorithm>
#include <iterator>

#include "core/error.h"
#include "eval/plot.h"

namespace pangu::study {
namespace {

constexpr double kPercent = 100.0;

std::string percent(double share) { return eval::fixed(kPercent * share, 0) + " %"; }

std::string joined(const std::vector<std::string>& words, const char* between) {
  std::string out;
  for (const std::string& word : words) out += (out.empty() ? "" : between) + word;
  return out;
}

std::string note_of(const Study& study) {
  const std::string n = std::to_string(study.cases) + " prompts, one picture each, ";
  if (study.kind == Kind::kEdges) {
    return n +
           "captions of real pictures in English and Chinese by turns, half of them pictures that "
           "no training saw; asked for are the Canny edges of the captioned picture. F1: of the "
           "Canny edges of the result against the asked ones, within 2 px, at " +
           std::to_string(eval::kPicturePx) +
           " px, mean over pictures. Concept: whether the probe, fitted on real pictures, sees "
           "the prompt's concept. Text alone is the chance level of F1.";
  }
  if (study.kind == Kind::kVariation) {
    return n +
           "in English and Chinese by turns. Similarity: mean cosine between the Inception "
           "features (mixed6) of the result and of the picture to vary, seen from the mean of all "
           "real pictures and in units of their spread. Other real pictures of the same concept "
           "have " +
           eval::fixed(study.same_concept, 2) + ", unrelated ones " +
           eval::fixed(study.unrelated, 2) +
           ". Concept: whether the probe sees the prompt's concept. Text alone is the chance "
           "level of similarity.";
  }
  return n + "against " + std::to_string(study.reference) +
         " real pictures of other concepts and styles: Frechet distances on mean Inception "
         "features (768 of mixed6, 2048 final). There are fewer pictures than features: read the "
         "rows against each other only.";
}

// The rows by series, in the order of each series' first row.
std::vector<std::pair<std::string, std::vector<const Row*>>> by_series(const Study& study) {
  std::vector<std::pair<std::string, std::vector<const Row*>>> series;
  for (const Row& row : study.rows) {
    auto found = series.begin();
    while (found != series.end() && found->first != row.setting.series) ++found;
    if (found == series.end()) found = series.insert(found, {row.setting.series, {}});
    found->second.push_back(&row);
  }
  return series;
}

// Where a study's part of the section begins; it goes up to the next part or the section's end.
const std::string kPartBegin = "<!-- part: ", kPartEnd = " -->\n";
constexpr const char* kOrder[] = {"edges", "variation", "variation_other", "low"};

size_t place_of(const std::string& id) {
  return static_cast<size_t>(std::find(std::begin(kOrder), std::end(kOrder), id) - kOrder);
}

using Parts = std::vector<std::pair<std::string, std::string>>;  // id, text

Parts parts_of(const std::string& page) {
  const size_t begin = page.find(kStudyBegin);
  const size_t end = begin == std::string::npos ? begin : page.find(kStudyEnd, begin);
  Parts parts;
  if (end == std::string::npos) return parts;
  const std::string section = page.substr(begin, end - begin);
  for (size_t at = section.find(kPartBegin); at != std::string::npos;) {
    const size_t id = at + kPartBegin.size(), text = section.find(kPartEnd, id);
    if (text == std::string::npos) break;
    at = section.find(kPartBegin, text);
    const size_t first = text + kPartEnd.size();
    parts.emplace_back(section.substr(id, text - id),
                       section.substr(first, at == std::string::npos ? at : at - first));
  }
  return parts;
}

std::string part_of(const Study& study, const Page& page, const std::string& images) {
  std::string out = eval::markdown(table_of(study), 3);
  const std::string verdict = verdict_text(study);
  if (!verdict.empty()) out += verdict + "\n\n";
  out += "![" + study.title + "](" + images + "/" + plot_file(study) + ")\n\n";
  if (!study.sheet.empty()) {
    out += "From left to right: " + joined(study.columns, ", ") + ".\n\n";
    out += "![" + study.title + ", pictures](" + images + "/" + study.grid.file + ")\n\n";
    out += "<details><summary>The prompts, row by row</summary>\n\n";
    for (size_t i = 0; i < study.grid.prompts.size(); ++i) {
      out += std::to_string(i + 1) + ". " + eval::cell(study.grid.prompts[i]) + "\n";
    }
    out += "\n</details>\n\n";
  }
  return out + "<details><summary>How it was made</summary>\n\n```sh\n" + page.command +
         "\n```\n\n" + page.setting + "\n\n</details>\n\n";
}

}  // namespace

eval::Table table_of(const Study& study) {
  eval::Table t;
  t.title = study.title;
  t.note = note_of(study);
  if (study.kind == Kind::kEdges) {
    t.header = {"setting", "edge F1", "precision", "recall"};
  } else if (study.kind == Kind::kVariation) {
    t.header = {"setting", "similarity"};
  } else {
    t.header = {"setting", "Frechet, mixed6", "final"};
  }
  for (const char* name : {"concept, top-5", "top-1", "s a picture"}) t.header.push_back(name);
  for (const Row& row : study.rows) {
    std::vector<std::string> cells = {row.setting.name};
    if (study.kind == Kind::kEdges) {
      for (const double value : {row.f1, row.precision, row.recall}) {
        cells.push_back(eval::fixed(value, 3));
      }
    } else if (study.kind == Kind::kVariation) {
      cells.push_back(eval::fixed(row.similarity, 3));
    } else {
      cells.push_back(eval::fixed(row.mixed6, 3));
      cells.push_back(eval::fixed(row.final, 3));
    }
    cells.push_back(eval::share(row.concept_hits.top5, row.concept_hits.count));
    cells.push_back(eval::share(row.concept_hits.top1, row.concept_hits.count));
    cells.push_back(eval::fixed(row.seconds, 2));
    t.rows.push_back(cells);
  }
  return t;
}

std::string verdict_text(const Study& study) {
  const Verdict verdict = verdict_of(study);
  if (verdict.best.empty()) return "";
  const std::string what = study.kind == Kind::kEdges ? "edge F1" : "similarity";
  std::string text = "Best is \"" + verdict.best + "\": " + percent(verdict.follows) + " of the " +
                     what + " and " + percent(verdict.accuracy) +
                     " of the top-5 accuracy that the members reach alone. ";
  if (verdict.good_enough.empty()) {
    return text + "No setting has at least " + percent(kGoodShare) + " of both.";
  }
  return text + "At least " + percent(kGoodShare) +
         " of both: " + joined(verdict.good_enough, "; ") + ".";
}

std::string plot_file(const Study& study) { return "coop_" + study.id + ".svg"; }

std::string plot_of(const Study& study) {
  const bool chain = study.kind == Kind::kLow;
  eval::Plot plot{study.title, chain ? "seconds a picture" : "concept accuracy, top-5, %",
                  study.kind == Kind::kEdges       ? "edge F1"
                  : study.kind == Kind::kVariation ? "similarity to the picture"
                                                   : "Frechet distance, mixed6"};
  plot.large = true;
  for (const auto& [name, rows] : by_series(study)) {
    eval::Series series{name};
    series.joined = name != "alone" && name != "other forms" && name != "curves of d";
    for (const Row* row : rows) {
      if (chain) {
        series.points.emplace_back(row->seconds, row->mixed6);
      } else {
        series.points.emplace_back(kPercent * row->concept_hits.top5_share(), study.follows(*row));
      }
      series.labels.push_back(row->setting.name);
    }
    plot.series.push_back(series);
  }
  return eval::svg_of({plot});
}

std::string section_of(const Page& page, const std::string& images, const std::string& old) {
  Parts parts = parts_of(old);
  for (const Study& study : page.studies) {
    const auto found = std::find_if(parts.begin(), parts.end(),
                                    [&](const auto& part) { return part.first == study.id; });
    const std::string text = part_of(study, page, images);
    if (found == parts.end()) {
      parts.emplace_back(study.id, text);
    } else {
      found->second = text;
    }
  }
  std::stable_sort(parts.begin(), parts.end(), [](const auto& a, const auto& b) {
    return place_of(a.first) < place_of(b.first);
  });
  std::string out = kStudyBegin;
  out += "\n## Study\n\n";
  out += "Written by `pangu-draw eval coop`; no number here was typed by hand.\n\n";
  for (const auto& [id, text] : parts) out += kPartBegin + id + kPartEnd + text;
  return out + kStudyEnd + "\n";
}

std::string with_section(const std::string& old, const std::string& section,
                         const std::string& name, const SectionMarks& marks) {
  if (old.empty()) return section;
  const size_t begin = old.find(marks.begin);
  const size_t end = begin == std::string::npos ? begin : old.find(marks.end, begin);
  if (end == std::string::npos) {
    throw bad_input("'" + name + "'", "a new page, or one with a study to replace", "another page",
                    "it goes between the lines " + marks.begin + " and " + marks.end);
  }
  size_t after = end + marks.end.size();
  if (after < old.size() && old[after] == '\n') ++after;
  return old.substr(0, begin) + section + old.substr(after);
}

}  // namespace pangu::study
