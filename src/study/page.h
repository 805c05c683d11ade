// Studies of cooperation (study/study.h) to tables, plots and one section of Markdown, which
// can replace itself inside of a page that people wrote.
#pragma once
#include <string>
#include <utility>
#include <vector>

#include "eval/page.h"
#include "study/study.h"

namespace pangu::study {

struct Page {
  std::string command;  // to repeat it
  std::string setting;  // a sentence: models, steps, machine
  std::vector<Study> studies;
};

eval::Table table_of(const Study& study);
// What came of it, in one sentence or two; empty if there is nothing to compare.
std::string verdict_text(const Study& study);
// Two axes: what the pictures follow against what they show, or distance against time.
std::string plot_of(const Study& study);
// "coop_edges.svg"
std::string plot_file(const Study& study);

// From kStudyBegin to kStudyEnd; images: the folder of grids and plots as the page sees it. Every
// study is a part of its own with its command and setting; parts of `old`, a page with such a
// section or an empty text, that `page` has not are kept as they are.
inline constexpr const char* kStudyBegin = "<!-- study: written by `pangu-draw eval coop` -->";
inline constexpr const char* kStudyEnd = "<!-- end of the study -->";
std::string section_of(const Page& page, const std::string& images, const std::string& old = "");

// `old` with its section replaced; the section alone for an empty `old`. Error kBadInput if `old`
// has no such section, since it is then another page (`name` is for the message).
std::string with_section(const std::string& old, const std::string& section,
                         const std::string& name);

}  // namespace pangu::study
