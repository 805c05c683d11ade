// `pangu-draw data scenes`: composed scenes as a dataset folder (pictures and manifest.jsonl), with
// boxes.jsonl that says where each thing is.
#include <cstdio>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>

#include "app/commands.h"
#include "core/error.h"
#include "core/progress.h"
#include "data/dataset.h"
#include "data/scenes.h"
#include "io/atomic_file.h"

namespace pangu::app {
namespace {

namespace fs = std::filesystem;
using OrderedJson = nlohmann::ordered_json;

constexpr float kWebpQuality = 90;

std::string number_name(size_t index) {
  char text[32];
  std::snprintf(text, sizeof text, "images/%06zu.webp", index);
  return text;
}

data::Item item_of(const data::ScenePlan& plan, bool heldout) {
  data::Item item;
  item.width = plan.width_px;
  item.height = plan.height_px;
  item.captions_en = plan.captions_en;
  item.captions_zh = plan.captions_zh;
  item.style = plan.style;
  item.group = std::string("scene-") + data::name_of(plan.kind);
  item.part = std::min(item.width, item.height) >= data::kHighPartPx ? "high" : "low";
  item.split = heldout ? "heldout_scene" : "train";
  return item;
}

OrderedJson boxes_line(const std::string& file, const data::ScenePlan& plan,
                       const data::DrawnScene& drawn) {
  OrderedJson things = OrderedJson::array();
  for (size_t i = 0; i < plan.things.size(); ++i) {
    const image::Box& box = drawn.boxes[i];
    things.push_back(
        {{"name", plan.things[i].words.name_en}, {"box", {box.x, box.y, box.width, box.height}}});
  }
  return {{"file", file}, {"key", plan.key}, {"relation", plan.relation}, {"things", things}};
}

}  // namespace

int compose_scenes(const DataArgs& args) {
  data::Report report;
  const std::vector<data::Item> items = data::open_dataset(args.input, report);
  data::SceneOptions options;
  options.width_px = options.height_px = args.size_px;
  options.most_things = args.most_things;
  const data::SceneBook book(items, options);
  const auto count = static_cast<size_t>(args.count);
  std::vector<data::ScenePlan> plans;
  if (args.heldout) {
    plans = book.held_out_scenes(count);
  } else {
    for (size_t i = 0; i < count; ++i) plans.push_back(book.training_scene(args.seed, i));
  }

  std::error_code failed;
  fs::create_directories(fs::path(args.out) / "images", failed);
  if (failed) throw io_error("cannot make", args.out, failed.value());
  std::string manifest, boxes;
  ProgressBar bar("scenes");
  for (size_t i = 0; i < plans.size(); ++i) {
    const data::DrawnScene drawn =
        data::draw_scene(plans[i], [&](size_t item) { return data::load_image(items[item]); });
    const std::string file = number_name(i);
    const image::Bytes webp = image::encode_webp(drawn.picture, {false, kWebpQuality});
    io::write_file_atomic((fs::path(args.out) / file).string(), std::as_bytes(std::span(webp)));
    manifest += data::manifest_line(item_of(plans[i], args.heldout), file) + "\n";
    boxes += boxes_line(file, plans[i], drawn).dump() + "\n";
    Progress progress;
    progress.done = static_cast<int64_t>(i) + 1;
    progress.total = static_cast<int64_t>(plans.size());
    progress.unit = "scenes";
    if (!args.quiet) bar(progress);
  }
  bar.finish();
  io::write_file_atomic((fs::path(args.out) / "boxes.jsonl").string(), boxes);
  // Last: a folder with a manifest is a whole dataset.
  io::write_file_atomic((fs::path(args.out) / "manifest.jsonl").string(), manifest);
  if (!report.is_clean()) std::cerr << report.text() << "\n";
  std::cout << plans.size() << " scenes in " << args.out << "\n";
  return 0;
}

}  // namespace pangu::app
