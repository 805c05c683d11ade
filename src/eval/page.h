// Turns scores into tables, and tables, curves and picture grids into one page of Markdown. Every
// number on the page comes out of Scores; the text around it says how to read it.
#pragma once
#include <string>
#include <vector>

#include "eval/scores.h"

namespace pangu::eval {

struct Table {
  std::string title;
  std::string note;  // how to read the table; may be empty
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

// Returns a heading of this level, the note and the rows.
std::string markdown(const Table& table, int level = 2);
// The text for a cell: without line breaks, with bars escaped.
std::string cell(const std::string& text);
// "0.123"; "-" for NaN.
std::string fixed(double value, int digits);
// "81 of 100 (81.0 %)"; "-" where count is 0.
std::string share(int64_t hits, int64_t count);
// "81 of 100 (81.0 %, 72.2 to 87.5)": with the 95 % interval of Wilson's score (1927), in percent,
// for hits that do not depend on each other; "-" where count is 0.
std::string share_with_interval(int64_t hits, int64_t count);

// The tables of what was measured; what was not measured has no table.
std::vector<Table> tables_of(const Scores& scores);

// The curves of runs, for svg_of; empty if there are none.
std::string loss_svg(const std::vector<TrainingRun>& runs);

// images: the folder of the grids and of loss_file, relative to the page ("images"). loss_file:
// empty for no curves.
std::string page_of(const Scores& scores, const std::string& images, const std::string& loss_file);

}  // namespace pangu::eval
