#include "app/draw_many.h"

#include <algorithm>
#include <filesystem>
#include <numeric>
#include <utility>

#include "core/error.h"
#include "core/message.h"
#include "image/sheet.h"
#include "io/mapped_file.h"
#include "pipeline/prompt_line.h"
#include "text/prompt.h"
#include "text/wildcards.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;

constexpr size_t kMaxPromptFileBytes = size_t{16} << 20;
constexpr const char* kNoGrid = "none";

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

// A model is loaded once for all pictures.
void refuse_networks(const std::string& where, const std::vector<std::string>& prompts) {
  for (const std::string& prompt : prompts) {
    if (text::extract_networks(prompt).networks.empty()) continue;
    throw bad_input(where + ", '" + shortened(prompt) + "'", "no <lora:NAME:WEIGHT>", "one",
                    "--lora FILE:WEIGHT loads it for all prompts");
  }
}

std::vector<std::string> lines_of_prompts(const std::string& file) {
  std::vector<std::string> lines =
      text::prompt_lines(io::read_text_file(file, kMaxPromptFileBytes));
  if (lines.empty()) throw bad_input("'" + file + "'", "a prompt a line", "none");
  refuse_networks("'" + file + "'", lines);
  return lines;
}

std::vector<Wanted> cells_of_grid(const pipeline::Grid& grid, const pipeline::Request& shared) {
  if (shared.count != 1) throw bad_input("--grid", "--count 1", std::to_string(shared.count));
  std::vector<Wanted> cells;
  for (size_t row = 0; row < grid.rows(); ++row) {
    for (size_t column = 0; column < grid.columns(); ++column) {
      cells.push_back({grid.request_of(shared, column, row), grid.model_of(column, row)});
    }
  }
  return cells;
}

std::vector<Wanted> pictures_of(const Many& many, const pipeline::Request& shared) {
  const auto list = [&](const std::string& name) {
    const fs::path file = fs::path(many.wildcards) / (name + ".txt");
    if (!fs::is_regular_file(file)) {
      throw bad_input("wildcard '__" + shortened(name) + "__'", "the file '" + file.string() + "'",
                      "none", "--wildcards FOLDER says where lists are");
    }
    return text::prompt_lines(io::read_text_file(file.string(), kMaxPromptFileBytes));
  };
  std::vector<Wanted> all;
  uint64_t next_seed = *shared.seed;
  for (const std::string& text : many.prompts) {
    const pipeline::PromptLine line = pipeline::prompt_line_from(text);
    Wanted one{shared, line.model};
    one.request.seed = next_seed;
    try {
      pipeline::apply(line.words, one.request);
    } catch (const Error& error) {
      throw while_doing("reading prompt '" + shortened(text) + "'", error);
    }
    const std::string prompt = one.request.prompt;
    const int count = std::exchange(one.request.count, 1);
    if (count < 1 || count > pipeline::kMaxCount) {
      throw bad_input("count", "1 to " + std::to_string(pipeline::kMaxCount),
                      std::to_string(count));
    }
    const uint64_t first = one.request.seed.value_or(next_seed);
    for (int i = 0; i < count; ++i) {
      one.request.seed = first + static_cast<uint64_t>(i);
      one.request.prompt = text::with_choices(prompt, list, *one.request.seed);
      all.push_back(one);
    }
    if (first == next_seed) next_seed += static_cast<uint64_t>(count);  // a line's own counts apart
  }
  return all;
}

}  // namespace

Many many_of(const ManyArgs& args, const pipeline::RequestWords& said, const std::string& model,
             const std::optional<pipeline::Grid>& of_picture) {
  Many many;
  if (args.grid.empty()) {
    many.grid = of_picture;
  } else if (args.grid != kNoGrid) {
    many.grid = pipeline::grid_from(args.grid);
  }
  if (many.grid) {
    for (const pipeline::GridAxis& axis : many.grid->axes) {
      if (axis.key == "prompt") refuse_networks("--grid", axis.values);
    }
  }
  if (many.grid && !many.grid->model_of(0, 0).empty() && !model.empty()) {
    throw bad_input("--grid, model", "no --model beside it", "'" + shortened(model) + "'",
                    args.grid.empty() ? "--grid none leaves out the grid of --from" : "");
  }
  if (args.prompts.empty()) {
    if (!args.wildcards.empty()) throw bad_input("--wildcards", "--prompts FILE", "none");
    return many;
  }
  const auto prompt = said.find("prompt");
  if (prompt != said.end() && !prompt->second.empty()) {
    throw bad_input("--prompts", "no other prompt", "'" + shortened(prompt->second.back()) + "'");
  }
  if (many.grid) {
    throw bad_input("--prompts", "no grid", args.grid.empty() ? "that of --from" : "--grid",
                    args.grid.empty() ? "--grid none leaves it out" : "");
  }
  many.prompts = lines_of_prompts(args.prompts);
  many.wildcards =
      args.wildcards.empty() ? fs::path(args.prompts).parent_path().string() : args.wildcards;
  return many;
}

std::vector<Wanted> wanted_of(const Many& many, const pipeline::Request& shared) {
  if (many.grid) return cells_of_grid(*many.grid, shared);
  if (!many.prompts.empty()) return pictures_of(many, shared);
  return {{shared, ""}};
}

std::vector<size_t> order_of(const std::vector<Wanted>& wanted) {
  std::vector<size_t> order(wanted.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::vector<std::string> models;  // in the order in which they come first
  for (const Wanted& one : wanted) {
    if (std::find(models.begin(), models.end(), one.model) == models.end()) {
      models.push_back(one.model);
    }
  }
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::find(models.begin(), models.end(), wanted[a].model) <
           std::find(models.begin(), models.end(), wanted[b].model);
  });
  return order;
}

pipeline::Drawing draw_all(const std::vector<size_t>& order, const DrawOne& draw_one,
                           const pipeline::DrawHooks& hooks) {
  pipeline::Drawing all;
  for (size_t i = 0; i < order.size() && !all.stopped; ++i) {
    pipeline::DrawHooks one = hooks;
    one.on_picture = [&hooks, index = order[i]](int, image::Image picture) {
      hooks.on_picture(static_cast<int>(index), std::move(picture));
    };
    if (hooks.watch.on_progress) {
      one.watch.on_progress = [&hooks, i, count = order.size()](const Progress& progress) {
        Progress whole = progress;
        whole.done += static_cast<int64_t>(i) * progress.total;
        whole.total *= static_cast<int64_t>(count);
        hooks.watch.on_progress(whole);
      };
    }
    const pipeline::Drawing drawing = draw_one(order[i], one);
    all.stopped = drawing.stopped;
    add_timings(all.timings, drawing.timings);
  }
  return all;
}

pipeline::Drawing draw_grid(const pipeline::Grid& grid, const std::vector<size_t>& order,
                            const DrawOne& draw_one, const pipeline::DrawHooks& hooks) {
  std::vector<image::Image> drawn(order.size());
  bool any = false;
  pipeline::DrawHooks of_cells = hooks;
  of_cells.on_picture = [&](int index, image::Image picture) {
    drawn[static_cast<size_t>(index)] = std::move(picture);
    any = true;
  };
  pipeline::Drawing drawing = draw_all(order, draw_one, of_cells);
  if (any) {
    hooks.on_picture(0, image::labelled_table(drawn, grid.column_labels(), grid.row_labels()));
  }
  return drawing;
}

}  // namespace pangu::app
