// Scores to tables, and tables, curves and picture grids to one page of Markdown. Every number on
// the page comes out of Scores; the words around them say how to read it.
#pragma once
#include <string>
#include <vector>

#include "eval/scores.h"

namespace pangu::eval {

struct Table {
  std::string title;
  std::string note;  // how to read it; may be empty
  std::vector<std::string> header;
  std::vector<std::vector<std::string>> rows;
};

// A heading, the note and the rows; `level` of the heading.
std::string markdown(const Table& table, int level = 2);
// Text for a cell: no line breaks, bars escaped.
std::string cell(const std::string& text);
// "0.123"; "-" for NaN.
std::string fixed(double value, int digits);
// "81 of 100 (81.0 %)"; "-" of none.
std::string share(int64_t hits, int64_t count);

// Of what was measured, nothing of what was not.
std::vector<Table> tables_of(const Scores& scores);

// The curves of runs, for svg_of; empty if there are none.
std::string loss_svg(const std::vector<TrainingRun>& runs);

// `images`: the folder of the grids and of loss_file as the page sees it ("images"). An empty
// loss_file: no curves.
std::string page_of(const Scores& scores, const std::string& images, const std::string& loss_file);

}  // namespace pangu::eval
