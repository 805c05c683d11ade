// Turns studies of drawing together (study/study.h) into tables, plots and one section of Markdown,
// which replaces its older version inside of a page that people wrote.
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
// The result of a study in one or two sentences; empty if there is nothing to compare.
std::string verdict_text(const Study& study);
// The plot of a study as SVG: how well pictures follow the input against how often they show the
// prompt, or distance against time.
std::string plot_of(const Study& study);
// The name of the plot's file: "coop_edges.svg".
std::string plot_file(const Study& study);

// The section from kStudyBegin to kStudyEnd. images: the folder of grids and plots, relative to the
// page. Every study is a part of its own with its command and setting. old: a page with such a
// section, or an empty text; its parts that `page` does not have are kept as they are.
inline constexpr const char* kStudyBegin = "<!-- study: written by `pangu-draw eval coop` -->";
inline constexpr const char* kStudyEnd = "<!-- end of the study -->";
std::string section_of(const Page& page, const std::string& images, const std::string& old = "");

// The lines between which a section of a page is written anew.
struct SectionMarks {
  std::string begin = kStudyBegin, end = kStudyEnd;
};

// Returns `old` with its section replaced, or the section alone for an empty `old`. The section has
// the marks in it. Throws kBadInput if `old` has no such section, since it is then another page;
// `name` is the page's name in the message.
std::string with_section(const std::string& old, const std::string& section,
                         const std::string& name, const SectionMarks& marks = {});

}  // namespace pangu::study
