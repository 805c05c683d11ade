// `pangu-draw data`: build (by tools/mini_dataset.py), pack, stats, check; scenes are in
// data_scenes.cpp.
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <iostream>
#include <map>
#include <nlohmann/json.hpp>
#include <set>

#include "app/commands.h"
#include "app/home.h"
#include "app/table.h"
#include "core/error.h"
#include "core/progress.h"
#include "data/dataset.h"
#include "data/pack.h"

namespace pangu::app {
namespace {

using OrderedJson = nlohmann::ordered_json;

// Runs a program and waits; its output is ours. Returns its exit code.
int run_and_wait(const std::vector<std::string>& words) {
  const pid_t child = fork();
  if (child < 0) throw io_error("cannot start", words[0], errno);
  if (child == 0) {
    std::vector<char*> arguments;
    for (const std::string& word : words) arguments.push_back(const_cast<char*>(word.c_str()));
    arguments.push_back(nullptr);
    execvp(arguments[0], arguments.data());
    _exit(127);  // as a shell says "not found"
  }
  int status = 0;
  while (waitpid(child, &status, 0) < 0) {
    if (errno != EINTR) throw io_error("cannot wait for", words[0], errno);
  }
  return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

int build(const DataArgs& args) {
  const char* said = std::getenv("PANGU_PYTHON");
  const std::string python = said && *said ? said : "python3";
  std::vector<std::string> words = {python, (home() / "tools" / "mini_dataset.py").string(),
                                    "--out", args.out};
  if (!args.cache.empty()) words.insert(words.end(), {"--cache", args.cache});
  if (!args.shards.empty()) words.insert(words.end(), {"--pack", args.shards});
  const int code = run_and_wait(words);
  if (code == 127) throw Error(ErrorCode::kUnavailable, "data build: cannot run '" + python + "'");
  if (code != 0) {
    throw Error(ErrorCode::kIo,
                "data build: " + words[1] + " ended with exit code " + std::to_string(code));
  }
  return 0;
}

std::vector<data::Item> chosen_items(const DataArgs& args, data::Report& report_) {
  if (args.part != "all" && args.part != "high" && args.part != "low") {
    throw bad_input("--part", "all, high or low", "'" + args.part + "'");
  }
  const data::ItemFilter filter{args.part, args.splits, args.min_side_px};
  return data::filtered(data::open_dataset(args.input, report_), filter);
}

void print_left_out(const data::Report& report) {
  if (!report.is_clean()) std::cerr << report.text() << "\n";
}

OrderedJson reasons_json(int64_t count, const std::vector<data::Report::Reason>& reasons) {
  OrderedJson list = OrderedJson::array();
  for (const auto& [text, times, first_names] : reasons) {
    list.push_back({{"reason", text}, {"count", times}, {"first", first_names}});
  }
  return {{"count", count}, {"reasons", list}};
}

void add_left_out(const data::Report& report, OrderedJson& found_) {
  found_["skipped"] = reasons_json(report.skipped, report.skipped_because);
  found_["warnings"] = reasons_json(report.warned, report.warned_because);
  found_["passed_over"] = report.passed_over;
}

int pack(const DataArgs& args) {
  data::Report report;
  data::PackOptions options;
  options.shard_bytes = static_cast<size_t>(args.shard_megabytes) * 1'000'000;
  options.max_side_px = args.max_side_px;
  if (args.quality) options.encode = image::WebpOptions{false, *args.quality};
  const std::vector<data::Item> items = chosen_items(args, report);
  std::vector<std::string> shards;
  {
    ProgressBar bar("pack");
    shards = data::pack_shards(items, args.out, options, report,
                               args.quiet ? OnProgress() : std::ref(bar));
  }
  print_left_out(report);
  std::cout << report.kept << (report.kept == 1 ? " picture in " : " pictures in ") << shards.size()
            << (shards.size() == 1 ? " shard in " : " shards in ") << args.out << "\n";
  return 0;
}

// How often each value occurs, the most frequent first.
using Counts = std::map<std::string, int64_t>;

std::vector<std::pair<std::string, int64_t>> by_number(const Counts& counts) {
  std::vector<std::pair<std::string, int64_t>> list(counts.begin(), counts.end());
  std::stable_sort(list.begin(), list.end(),
                   [](const auto& a, const auto& b) { return a.second > b.second; });
  return list;
}

// Powers of two around the shorter side: what training sizes a picture can serve.
std::string size_class(const data::Item& item) {
  const int side = std::min(item.width, item.height);
  for (const int limit : {64, 128, 256, 512, 1024}) {
    if (side < limit) return "under " + std::to_string(limit) + " px";
  }
  return "1024 px and more";
}

int stats(const DataArgs& args) {
  data::Report report;
  const std::vector<data::Item> items = chosen_items(args, report);
  std::map<std::string, Counts> columns;
  std::set<std::string> concepts;
  int64_t english = 0, chinese = 0, cutouts = 0, an_epoch = 0;
  for (const data::Item& item : items) {
    english += static_cast<int64_t>(item.captions_en.size());
    chinese += static_cast<int64_t>(item.captions_zh.size());
    cutouts += item.has_alpha;
    an_epoch += item.repeats;
    if (!item.concept_id.empty()) concepts.insert(item.concept_id);
    ++columns["shorter side"][size_class(item)];
    const auto count = [&](const char* column, const std::string& value) {
      if (!value.empty()) ++columns[column][value];
    };
    count("part", item.part);
    count("split", item.split);
    count("style", item.style);
    count("licence", item.licence);
    count("group", item.group);
  }
  if (args.json) {
    OrderedJson found = {{"pictures", items.size()}, {"an_epoch", an_epoch},
                         {"cutouts", cutouts},       {"concepts", concepts.size()},
                         {"captions_en", english},   {"captions_zh", chinese},
                         {"counts", columns}};
    add_left_out(report, found);
    std::cout << found.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
    return 0;
  }
  std::vector<Row> rows = {{"pictures", "", std::to_string(items.size())},
                           {"pictures", "an epoch", std::to_string(an_epoch)},
                           {"cut-outs", "", std::to_string(cutouts)},
                           {"concepts", "", std::to_string(concepts.size())},
                           {"captions", "en", std::to_string(english)},
                           {"captions", "zh", std::to_string(chinese)}};
  for (const auto& [column, counts] : columns) {
    for (const auto& [value, number] : by_number(counts)) {
      rows.push_back({column, value, std::to_string(number)});
    }
  }
  std::cout << table(rows);
  print_left_out(report);
  return 0;
}

int check_data(const DataArgs& args) {
  data::Report report;
  const std::vector<data::Item> items = chosen_items(args, report);
  const size_t whole = data::decodable(items, report).size();
  if (args.json) {
    OrderedJson found = {{"whole", whole}};
    add_left_out(report, found);
    std::cout << found.dump(2, ' ', false, OrderedJson::error_handler_t::replace) << "\n";
  } else {
    std::cout << whole << (whole == 1 ? " picture is whole, " : " pictures are whole, ")
              << report.skipped << " left out" << report.details() << "\n";
  }
  return report.skipped > 0 ? exit_code(ErrorCode::kBadInput) : 0;
}

}  // namespace

int run_data(const DataArgs& args) {
  if (args.action == "build") return build(args);
  if (args.action == "pack") return pack(args);
  if (args.action == "stats") return stats(args);
  if (args.action == "check") return check_data(args);
  return compose_scenes(args);
}

}  // namespace pangu::app
