#include "app/draw_many.h"

#include <algorithm>
#include <filesystem>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "image/sheet.h"
#include "io/mapped_file.h"
#include "text/prompt.h"
#include "text/wildcards.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPromptFileBytes = size_t{16} << 20;

void add_timings(pipeline::Timings& all, const pipeline::Timings& more) {
  for (const auto& [phase, seconds] : more) {
    const auto found = std::find_if(all.begin(), all.end(),
                                    [&](const auto& known) { return known.first == phase; });
    if (found == all.end()) {
      all.emplace_back(phase, seconds);
    } else {
      found->second += seconds;
    }
  }
}

}  // namespace

pipeline::Drawing draw_all(const Subject& subject, const std::vector<pipeline::Request>& requests,
                           const pipeline::DrawHooks& hooks) {
  pipeline::Drawing all;
  for (size_t i = 0; i < requests.size() && !all.stopped; ++i) {
    pipeline::DrawHooks one = hooks;
    if (hooks.on_picture) {
      one.on_picture = [&hooks, i](int, image::Image picture) {
        hooks.on_picture(static_cast<int>(i), std::move(picture));
      };
    }
    if (hooks.watch.on_progress) {
      one.watch.on_progress = [&hooks, i, count = requests.size()](const Progress& progress) {
        Progress whole = progress;
        whole.done += static_cast<int64_t>(i) * progress.total;
        whole.total *= static_cast<int64_t>(count);
        hooks.watch.on_progress(whole);
      };
    }
    pipeline::Drawing drawing = pipeline::draw(subject.model, requests[i], one, subject.pictures);
    all.stopped = drawing.stopped;
    add_timings(all.timings, drawing.timings);
    for (image::Image& picture : drawing.pictures) all.pictures.push_back(std::move(picture));
  }
  return all;
}

std::vector<pipeline::Request> cells_of(const Grid& grid, const pipeline::Request& shared,
                                        const pipeline::RequestRules& rules) {
  if (shared.count != 1) throw bad_input("--grid", "--count 1", std::to_string(shared.count));
  std::vector<pipeline::Request> cells;
  for (size_t row = 0; row < grid.rows(); ++row) {
    for (size_t column = 0; column < grid.columns(); ++column) {
      cells.push_back(pipeline::resolved(grid.request_of(shared, column, row), rules, 0));
    }
  }
  return cells;
}

pipeline::Drawing draw_grid(const Grid& grid, const Subject& subject,
                            const std::vector<pipeline::Request>& cells,
                            const pipeline::DrawHooks& hooks) {
  pipeline::DrawHooks of_cells = hooks;
  of_cells.on_picture = {};
  pipeline::Drawing drawing = draw_all(subject, cells, of_cells);
  std::vector<image::Image> drawn = std::exchange(drawing.pictures, {});
  if (drawn.empty()) return drawing;
  drawn.resize(cells.size());
  hooks.on_picture(0, image::labelled_table(drawn, grid.column_labels(), grid.row_labels()));
  return drawing;
}

std::vector<std::string> prompts_of(const DrawArgs& args) {
  if (args.prompts.empty()) return {};
  const auto prompt = args.request.find("prompt");
  if (prompt != args.request.end() && !prompt->second.empty()) {
    throw bad_input("--prompts", "no other prompt", "'" + shortened(prompt->second.back()) + "'");
  }
  if (!args.grid.empty()) throw bad_input("--prompts", "no --grid", "both");
  const std::vector<std::string> lines =
      text::prompt_lines(io::read_text_file(args.prompts, kMaxPromptFileBytes));
  if (lines.empty()) throw bad_input("'" + args.prompts + "'", "a prompt a line", "none");
  for (const std::string& line : lines) {
    if (text::extract_networks(line).networks.empty()) continue;
    throw bad_input("'" + args.prompts + "', '" + shortened(line) + "'", "no <lora:NAME:WEIGHT>",
                    "one", "--lora FILE:WEIGHT loads it for all prompts");
  }
  return lines;
}

std::vector<pipeline::Request> requests_of(const std::vector<std::string>& prompts,
                                           const DrawArgs& args, const pipeline::Request& shared,
                                           const pipeline::RequestRules& rules) {
  const fs::path folder =
      args.wildcards.empty() ? fs::path(args.prompts).parent_path() : fs::path(args.wildcards);
  const auto list = [&](const std::string& name) {
    const fs::path file = folder / (name + ".txt");
    if (!fs::is_regular_file(file)) {
      throw bad_input("wildcard '__" + shortened(name) + "__'", "the file '" + file.string() + "'",
                      "none", "--wildcards FOLDER says where lists are");
    }
    return text::prompt_lines(io::read_text_file(file.string(), kMaxPromptFileBytes));
  };
  std::vector<pipeline::Request> requests;
  pipeline::Request one = shared;
  one.count = 1;
  for (const std::string& prompt : prompts) {
    for (int i = 0; i < shared.count; ++i) {
      one.seed = *shared.seed + requests.size();
      one.prompt = text::with_choices(prompt, list, *one.seed);
      requests.push_back(pipeline::resolved(one, rules, 0));
    }
  }
  return requests;
}

}  // namespace pangu::app
