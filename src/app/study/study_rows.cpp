#include "app/study/study_rows.h"

#include <algorithm>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <span>
#include <sstream>

#include "app/eval/eval_files.h"
#include "image/sheet.h"
#include "io/atomic_file.h"
#include "io/mapped_file.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kRowCells = 8;
constexpr int kRowCellPx = 128;
constexpr const char* kPromptsKey = "prompts";
constexpr const char* kGridFile = "grid.json";  // what the sheet shows, beside the records

std::vector<size_t> cells_of(const study::QualityCases& cases) {
  std::vector<size_t> of_kind[2], cells;
  for (size_t i = 0; i < cases.wishes.size(); i += std::size(eval::kLanguages)) {
    of_kind[cases.held_out[i]].push_back(i);
  }
  for (size_t k = 0; k < std::max(of_kind[0].size(), of_kind[1].size()); ++k) {
    for (const auto& kind : of_kind) {
      if (k < kind.size() && cells.size() < kRowCells) cells.push_back(kind[k]);
    }
  }
  return cells;
}

// The sheet that was written where the trainings are.
void keep_grid(const std::string& images, const std::string& records, study::StrategyPage& page) {
  const std::string file = records + "/" + kGridFile;
  if (!fs::exists(file) || !fs::exists(images + "/" + study::kStrategyGrid)) return;
  const auto told = nlohmann::json::parse(io::read_text_file(file));
  page.grid = study::kStrategyGrid;
  page.grid_rows = told.at("rows").get<std::vector<std::string>>();
  page.grid_prompts = told.at(kPromptsKey).get<std::vector<std::string>>();
}

}  // namespace

std::string row_file(const std::string& work, const study::StudyRun& run, double point) {
  std::string name = run.id() + "-" + eval::fixed(100 * point, 1) + ".png";
  std::replace(name.begin(), name.end(), '/', '_');
  return work + "/rows/" + name;
}

void write_row(const std::string& file, const study::QualityCases& cases,
               const std::vector<image::Image>& pictures) {
  std::vector<image::Image> row;
  std::string prompts;
  for (const size_t cell : cells_of(cases)) {
    row.push_back(pictures[cell]);
    prompts += cases.wishes[cell].prompt + "\n";
  }
  image::SheetLayout layout;
  layout.columns = static_cast<int>(row.size());
  layout.cell_px = kRowCellPx;
  const auto png = image::encode_png(image::contact_sheet(row, layout), {{kPromptsKey, prompts}});
  fs::create_directories(fs::path(file).parent_path());
  io::write_file_atomic(file, std::as_bytes(std::span(png)));
}

void add_grid(const std::string& work, const std::string& images, const std::string& records,
              study::StrategyPage& page_) {
  const study::MainCurves curves(page_.records, page_.main_group);
  image::Image sheet;
  std::vector<std::string> titles, prompts;
  for (const std::string& strategy : curves.strategies()) {
    const study::StudyRecord* last = curves.last_of(strategy);
    const std::string file = last ? row_file(work, last->run, last->point) : "";
    if (!fs::exists(file)) return keep_grid(images, records, page_);
    const io::MappedFile mapped(file);
    const std::span bytes(reinterpret_cast<const uint8_t*>(mapped.bytes().data()),
                          mapped.bytes().size());
    const image::Image row = image::decode_image(bytes);
    if (sheet.empty()) sheet = image::Image{row.width, 0, row.channels, {}};
    sheet.pixels.insert(sheet.pixels.end(), row.pixels.begin(), row.pixels.end());
    sheet.height += row.height;
    titles.push_back(last->title);
    prompts.clear();
    std::istringstream lines(image::read_png_text(bytes).at(kPromptsKey));
    for (std::string line; std::getline(lines, line);) prompts.push_back(line);
  }
  if (titles.empty()) return;
  const image::Bytes webp = small_webp(sheet);
  io::write_file_atomic(images + "/" + study::kStrategyGrid, std::as_bytes(std::span(webp)));
  page_.grid = study::kStrategyGrid;
  page_.grid_rows = titles;
  page_.grid_prompts = prompts;
  const nlohmann::json told = {{"rows", titles}, {kPromptsKey, prompts}};
  io::write_file_atomic(records + "/" + kGridFile, told.dump(1) + "\n");
}

}  // namespace pangu::app
