// Rows of pictures of the same prompts and seeds, one for each measured point, kept as PNG beside
// the trainings; and the sheet of the page out of them.
#pragma once
#include <string>
#include <vector>

#include "study/quality.h"
#include "study/strategy_page.h"

namespace pangu::app {

// The file of a point's row in the folder of trainings.
std::string row_file(const std::string& work, const study::StudyRun& run, double point);

// Writes the row: the first prompts in English, of trained and of held-out pairs by turns.
// pictures: one for each of the cases' wishes.
void write_row(const std::string& file, const study::QualityCases& cases,
               const std::vector<image::Image>& pictures);

// Lays the rows of the main group's strategies at the last point that all have one over another,
// writes them into the folder `images` and says so in `page_`, and in the folder `records` what
// they show. Where not all of these rows are, as on another machine than the trainings', the page
// has the sheet that was written before, if there is one.
void add_grid(const std::string& work, const std::string& images, const std::string& records,
              study::StrategyPage& page_);

}  // namespace pangu::app
