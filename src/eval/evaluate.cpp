#include "eval/evaluate.h"

#include <torch/types.h>

#include <algorithm>
#include <limits>
#include <map>

#include "core/error.h"
#include "core/hash.h"
#include "data/dataset.h"
#include "data/scenes.h"
#include "eval/detail.h"
#include "eval/frechet.h"
#include "eval/judge.h"
#include "eval/probe.h"
#include "eval/scenes.h"
#include "image/sheet.h"
#include "tensors/pictures.h"

namespace pangu::eval {
namespace {

constexpr int64_t kTop = 5;
constexpr int kCellPx = 128;
constexpr int kColumns = 8;
constexpr size_t kGridCells = 24, kSceneCells = 16;

// What was drawn for one group in one language, case by case.
struct DrawnGroup {
  std::vector<size_t> cases;  // indices
  std::vector<image::Image> pictures;
  Features features;
};
using Drawn = std::map<std::pair<std::string, std::string>, DrawnGroup>;  // group, language

at::Tensor index_of(const std::vector<int64_t>& numbers) { return at::tensor(numbers, at::kLong); }

Detail mean_detail(const std::vector<image::Image>& pictures) {
  Detail sum;
  for (const image::Image& picture : pictures) {
    sum += detail_of(tensors::pixels_of(picture, -1, 1));
  }
  const auto count = double(pictures.size());
  return {sum.middle / count, sum.fine / count};
}

class Evaluator {
 public:
  Evaluator(const std::vector<data::Item>& items, const FeatureSource& source,
            const Generator& generate, const EvalOptions& options, const OnPhase& on_phase)
      : items_(items),
        source_(source),
        generate_(generate),
        options_(options),
        on_phase_(on_phase),
        concepts_(concepts_of(items)),
        styles_(styles_of(items)) {}

  Evaluation run(const std::string& feature_cache) {
    cases_ = choose_cases(items_, options_.prompts, options_.seed);
    if (wants("probe") || wants("scenes") || wants("frechet")) {
      real_ = real_features(source_, items_, feature_cache, phase("real pictures"));
    }
    if (wants("probe") || wants("scenes")) fit_probes();
    if (wants("probe") || wants("frechet")) draw_cases();
    if (wants("probe")) score_groups();
    if (wants("frechet")) measure_distances();
    if (wants("scenes")) score_scenes();
    for (const auto& [grid, picture] : found_.sheets) found_.scores.grids.push_back(grid);
    return std::move(found_);
  }

 private:
  bool wants(const char* part) const { return options_.parts.count(part) > 0; }

  OnProgress phase(const std::string& name) const {
    if (!on_phase_) return {};
    return [this, name](const Progress& progress) { on_phase_(name, progress); };
  }

  int64_t concept_of(size_t item) const { return concepts_.number.at(items_[item].concept_id); }
  int64_t style_of(size_t item) const { return styles_.number.at(items_[item].style); }

  // Rows of real_ (view 0) for which `chosen` is true.
  at::Tensor real_rows(const std::function<bool(size_t item)>& chosen) const {
    std::vector<int64_t> rows;
    for (size_t i = 0; i < items_.size(); ++i) {
      if (chosen(i)) rows.push_back(int64_t(i));
    }
    return index_of(rows);
  }

  // Of the items of these rows.
  std::vector<image::Image> real_pictures(const at::Tensor& rows) const {
    std::vector<image::Image> pictures;
    for (int64_t i = 0; i < rows.size(0); ++i) {
      pictures.push_back(data::render_item(items_[size_t(rows[i].item<int64_t>())], kPicturePx));
    }
    return pictures;
  }

  void fit_probes() {
    const int64_t n = int64_t(items_.size());
    std::vector<int64_t> style_list;
    for (size_t i = 0; i < items_.size(); ++i) style_list.push_back(style_of(i));
    const at::Tensor concepts = concept_labels(items_, concepts_), styles = index_of(style_list);
    const at::Tensor input = real_.mixed6;
    const at::Tensor train = real_rows([&](size_t i) { return items_[i].split == "train"; });
    const at::Tensor pairs = real_rows([&](size_t i) { return items_[i].split == "heldout_pair"; });
    const auto fitted = [&](const at::Tensor& rows, const at::Tensor& labels, const Names& names,
                            double l2) {
      return fit_on_views(real_, rows, labels, int64_t(names.by_number.size()), l2);
    };
    ProbeFacts& facts = found_.scores.probe;
    facts.pictures = n;
    facts.train_pictures = train.size(0);
    facts.concepts = int64_t(concepts_.by_number.size());
    facts.styles = int64_t(styles_.by_number.size());
    facts.views = kViews;
    if (pairs.numel() > 0) {
      const at::Tensor plain = input.index_select(0, pairs);
      const at::Tensor soft = input.index_select(0, pairs + n);
      const Probe what = fitted(train, concepts, concepts_, kConceptL2);
      const Probe how = fitted(train, styles, styles_, kStyleL2);
      const at::Tensor true_concepts = concepts.index_select(0, pairs);
      const at::Tensor true_styles = styles.index_select(0, pairs);
      facts.own_concept = accuracy(what.log_probabilities(plain), true_concepts);
      facts.own_style = accuracy(how.log_probabilities(plain), true_styles);
      facts.soft_concept = accuracy(what.log_probabilities(soft), true_concepts);
      facts.soft_style = accuracy(how.log_probabilities(soft), true_styles);
      if (options_.reconstruct) {
        const at::Tensor coded = source_
                                     .features_of(options_.reconstruct(real_pictures(pairs)),
                                                  /*with_final=*/false, phase("look"))
                                     .mixed6;
        facts.coded_concept = accuracy(what.log_probabilities(coded), true_concepts);
        facts.coded_style = accuracy(how.log_probabilities(coded), true_styles);
      }
    }
    concept_probe_ = fit_concepts(items_, concepts_, real_);
    style_probe_ = fitted(at::arange(n, at::kLong), styles, styles_, kStyleL2);
  }

  void draw_cases() {
    std::vector<Wish> wishes;
    for (const char* language : kLanguages) {
      for (const Case& c : cases_) wishes.push_back({c.prompt(language), c.seed});
    }
    const std::vector<image::Image> pictures = drawn(wishes);
    const Features features = source_.features_of(pictures, /*with_final=*/true, phase("look"));
    size_t row = 0;
    for (const char* language : kLanguages) {
      std::map<std::string, std::vector<int64_t>> rows;
      for (size_t k = 0; k < cases_.size(); ++k, ++row) {
        DrawnGroup& group = drawn_[{cases_[k].group, language}];
        group.cases.push_back(k);
        group.pictures.push_back(pictures[row]);
        rows[cases_[k].group].push_back(int64_t(row));
      }
      for (const auto& [name, list] : rows) {
        drawn_[{name, language}].features = features.rows(index_of(list));
      }
    }
  }

  std::vector<image::Image> drawn(const std::vector<Wish>& wishes) const {
    std::vector<image::Image> pictures = generate_(wishes);
    if (pictures.size() != wishes.size()) {
      throw Error(ErrorCode::kInternal, "eval: the generator drew " +
                                            std::to_string(pictures.size()) + " of " +
                                            std::to_string(wishes.size()) + " pictures");
    }
    return pictures;
  }

  void score_groups() {
    struct Miss {
      double log_p;
      std::string prompt;
      const image::Image* picture;
    };
    std::vector<Miss> misses;
    std::map<std::pair<std::string, std::string>, GroupScore> by_group;
    std::map<std::pair<std::string, std::string>, std::vector<bool>> hits;
    for (const std::string name : kGroups) {
      for (const std::string language : kLanguages) {
        const auto found = drawn_.find({name, language});
        if (found == drawn_.end()) continue;
        const DrawnGroup& group = found->second;
        std::vector<int64_t> concepts, styles;
        for (const size_t k : group.cases) {
          concepts.push_back(concept_of(cases_[k].item));
          styles.push_back(style_of(cases_[k].item));
        }
        const at::Tensor input = group.features.mixed6, labels = index_of(concepts);
        const at::Tensor log_p = concept_probe_.log_probabilities(input);
        const at::Tensor style_log_p = style_probe_.log_probabilities(input);
        GroupScore score = {name, language, accuracy(log_p, labels),
                            accuracy(style_log_p, index_of(styles))};
        count_styles(styles, style_log_p.argmax(1));
        found_.scores.groups.push_back(score);
        by_group[{name, language}] = score;
        const at::Tensor rank = ranks(log_p, labels);
        for (size_t i = 0; i < group.cases.size(); ++i) {
          hits[{name, language}].push_back(rank[int64_t(i)].item<int64_t>() < kTop);
          if (name == "heldout_concept") continue;  // the models were never trained on them
          misses.push_back({log_p[int64_t(i)][concepts[i]].item<double>(),
                            cases_[group.cases[i]].prompt(language), &group.pictures[i]});
        }
      }
      const auto en = by_group.find({name, "en"}), zh = by_group.find({name, "zh"});
      if (en == by_group.end() || zh == by_group.end()) continue;
      found_.scores.languages.push_back(
          compare_languages(en->second, zh->second, hits[{name, "en"}], hits[{name, "zh"}]));
    }
    grid_of_styles();
    grid_of_group("heldout_pair", "en", "mini_pairs.webp", "Held-out pairs of concept and style");
    grid_of_group("train", "zh", "mini_zh.webp", "Training concepts, Chinese prompts");
    grid_of_group("heldout_concept", "en", "mini_concepts.webp", "Held-out concepts");
    std::stable_sort(misses.begin(), misses.end(),
                     [](const Miss& a, const Miss& b) { return a.log_p < b.log_p; });
    std::vector<image::Image> pictures;
    std::vector<std::string> prompts;
    for (const Miss& miss : misses) {
      if (pictures.size() == kGridCells) break;
      pictures.push_back(*miss.picture);
      prompts.push_back(miss.prompt);
    }
    add_sheet(
        {"mini_failures.webp", "Failures: where the probe is least convinced", kColumns, prompts},
        pictures);
  }

  // Counts the styles that pictures are recognised as. asked: the numbers of the styles that they
  // were asked for in; seen: [asked.size()] i64, the numbers of those recognised.
  void count_styles(const std::vector<int64_t>& asked, const at::Tensor& seen) {
    std::vector<StyleScore>& scores = found_.scores.styles;
    if (scores.empty()) {
      for (const std::string& style : styles_.by_number) {
        StyleScore& score = scores.emplace_back();
        score.asked = style;
        for (const std::string& name : styles_.by_number) score.seen.emplace_back(name, 0);
      }
    }
    for (size_t i = 0; i < asked.size(); ++i) {
      ++scores[size_t(asked[i])].seen[size_t(seen[int64_t(i)].item<int64_t>())].second;
    }
  }

  // Makes a grid of the training concepts that have every style: a column for each concept, a row
  // for each style.
  void grid_of_styles() {
    std::map<std::string, std::map<std::string, size_t>> items;  // concept -> style -> item
    for (size_t i = 0; i < items_.size(); ++i) {
      if (items_[i].split == "train" && !items_[i].captions_en.empty()) {
        items[items_[i].concept_id][items_[i].style] = i;
      }
    }
    std::vector<std::pair<uint64_t, std::string>> order;
    for (const auto& [name, by_style] : items) {
      if (by_style.size() == styles_.by_number.size()) {
        order.emplace_back(stable_hash("eval grid: " + name), name);
      }
    }
    std::sort(order.begin(), order.end());
    order.resize(std::min<size_t>(order.size(), std::min<size_t>(kColumns, options_.prompts)));
    if (order.empty()) return;
    std::vector<Wish> wishes;
    Grid grid = {"mini_styles.webp", "Training concepts in every style", int(order.size()), {}};
    for (const std::string& style : styles_.by_number) {
      for (size_t column = 0; column < order.size(); ++column) {
        const data::Item& item = items_[items[order[column].second][style]];
        wishes.push_back({item.captions_en[0], options_.seed + column});
        grid.prompts.push_back(item.captions_en[0]);
      }
    }
    const std::vector<image::Image> pictures = drawn(wishes);
    add_sheet(grid, pictures);
  }

  void grid_of_group(const char* name, const char* language, const char* file, const char* title) {
    const auto found = drawn_.find({name, language});
    if (found == drawn_.end()) return;
    const size_t count = std::min(kGridCells, found->second.pictures.size());
    Grid grid = {file, title, kColumns, {}};
    for (size_t i = 0; i < count; ++i) {
      grid.prompts.push_back(cases_[found->second.cases[i]].prompt(language));
    }
    add_sheet(grid, {found->second.pictures.begin(), found->second.pictures.begin() + long(count)});
  }

  void add_sheet(const Grid& grid, const std::vector<image::Image>& pictures) {
    if (pictures.empty()) return;
    image::SheetLayout layout;
    layout.columns = grid.columns;
    layout.cell_px = kCellPx;
    found_.sheets.emplace_back(grid, image::contact_sheet(pictures, layout));
  }

  void measure_distances() {
    std::set<size_t> case_items;
    for (const Case& c : cases_) case_items.insert(c.item);
    const at::Tensor own = real_rows([&](size_t i) { return case_items.count(i) > 0; });
    const Features reference =
        real_.rows(real_rows([&](size_t i) { return case_items.count(i) == 0; }));
    const std::vector<image::Image> real = real_pictures(own);
    std::vector<image::Image> soft;
    for (size_t i = 0; const size_t item : case_items) {  // in the order of `own`
      soft.push_back(softened(real[i++], items_[item].id));
    }
    const Detail of_real = mean_detail(real);
    const auto add = [&](const std::string& what, const Features& set, const Detail& detail) {
      const double unknown = std::numeric_limits<double>::quiet_NaN();
      found_.scores.frechet.push_back(
          {what, set.mixed6.size(0), reference.mixed6.size(0),
           frechet_distance(set.mixed6, reference.mixed6),
           set.final.defined() ? frechet_distance(set.final, reference.final) : unknown,
           detail.middle / of_real.middle, detail.fine / of_real.fine});
    };
    for (const std::string language : kLanguages) {
      std::vector<Features> parts;
      std::vector<image::Image> pictures;
      for (const std::string name : kGroups) {
        const auto found = drawn_.find({name, language});
        if (found == drawn_.end()) continue;
        parts.push_back(found->second.features);
        pictures.insert(pictures.end(), found->second.pictures.begin(),
                        found->second.pictures.end());
      }
      add("drawn, " + language, cat(parts), mean_detail(pictures));
    }
    add("real pictures of the same concepts and styles, softened",
        {real_.mixed6.index_select(0, own + int64_t(items_.size())), {}}, mean_detail(soft));
    if (options_.reconstruct) {
      const std::vector<image::Image> coded = options_.reconstruct(real);
      add("real pictures of the same concepts and styles, decoded by the model's autoencoder",
          source_.features_of(coded, /*with_final=*/true, phase("look")), mean_detail(coded));
    }
    add("real pictures of the same concepts and styles (floor)", real_.rows(own), of_real);
  }

  // Scores pictures, one for each plan.
  SceneScore look_through(const std::string& what, const std::vector<data::ScenePlan>& plans,
                          const std::vector<at::Tensor>& log_p, size_t shift) const {
    SceneScore score;
    score.what = what;
    for (size_t s = 0; s < plans.size(); ++s) {
      std::vector<int64_t> labels;
      for (const data::SceneThing& thing : plans[s].things) {
        labels.push_back(concept_of(thing.item));
      }
      // The windows of this scene's places are not among those of another scene's picture.
      data::ScenePlan plan = plans[s];
      if (shift > 0) plan.relation.clear();
      const SceneFound found = look_for(plan, log_p[(s + shift) % plans.size()], labels);
      ++score.scenes;
      score.things += found.things;
      score.in_top5 += found.in_top5;
      score.all_in_top5 += found.all_in_top5;
      score.positions += found.has_position;
      score.position_fits += found.position_fits;
    }
    return score;
  }

  std::vector<at::Tensor> windows_seen(const std::vector<data::ScenePlan>& plans,
                                       const std::vector<image::Image>& pictures) const {
    std::vector<image::Image> crops;
    std::vector<int64_t> counts;
    for (size_t s = 0; s < plans.size(); ++s) {
      data::ScenePlan plan = plans[s];  // windows are placed in the size that was drawn
      plan.width_px = pictures[s].width;
      plan.height_px = pictures[s].height;
      const auto windows = windows_of(plan);
      counts.push_back(int64_t(windows.size()));
      for (const image::Box& w : windows) {
        const image::Image crop = image::crop(pictures[s], w.x, w.y, w.width, w.height);
        crops.push_back(image::contain(crop, kPicturePx, kPicturePx));
      }
    }
    const at::Tensor log_p = concept_probe_.log_probabilities(
        source_.features_of(crops, /*with_final=*/false, phase("look")).mixed6);
    return log_p.split_with_sizes(counts);
  }

  void score_scenes() {
    const data::SceneBook book(items_, {});
    const std::vector<data::ScenePlan> plans = book.held_out_scenes(options_.scenes);
    if (plans.empty()) throw bad_input("the dataset", "things enough for held-out scenes", "none");
    std::vector<image::Image> composed;
    for (const data::ScenePlan& plan : plans) {
      composed.push_back(data::draw_scene(plan, [&](size_t item) {
                           return data::load_image(items_[item]);
                         }).picture);
    }
    std::vector<Wish> wishes;
    for (const std::string language : kLanguages) {
      for (size_t s = 0; s < plans.size(); ++s) {
        // The last caption names the style.
        const auto& captions = language == "zh" ? plans[s].captions_zh : plans[s].captions_en;
        wishes.push_back({captions.back(), options_.seed + s});
      }
    }
    const std::vector<image::Image> pictures = drawn(wishes);
    const std::vector<image::Image> en(pictures.begin(), pictures.begin() + long(plans.size()));
    const std::vector<image::Image> zh(pictures.begin() + long(plans.size()), pictures.end());
    const auto seen_en = windows_seen(plans, en);
    auto& scores = found_.scores.scenes;
    scores.push_back(look_through("drawn, en", plans, seen_en, 0));
    scores.push_back(look_through("drawn, zh", plans, windows_seen(plans, zh), 0));
    if (plans.size() > 1) {
      scores.push_back(look_through("drawn, en, for another scene's prompt", plans, seen_en, 1));
    }
    scores.push_back(
        look_through("composed of real cut-outs", plans, windows_seen(plans, composed), 0));
    const size_t cells = std::min(kSceneCells, plans.size());
    Grid grid = {"mini_scenes.webp", "Held-out scene prompts", kColumns, {}};
    for (size_t s = 0; s < cells; ++s) grid.prompts.push_back(wishes[s].prompt);
    add_sheet(grid, {en.begin(), en.begin() + long(cells)});
  }

  const std::vector<data::Item>& items_;
  const FeatureSource& source_;
  const Generator& generate_;
  const EvalOptions& options_;
  const OnPhase& on_phase_;
  Names concepts_, styles_;
  std::vector<Case> cases_;
  Features real_;
  Probe concept_probe_, style_probe_;
  Drawn drawn_;
  Evaluation found_;
};

}  // namespace

const std::vector<std::string>& eval_parts() {
  static const std::vector<std::string> parts = {"probe", "frechet", "scenes"};
  return parts;
}

Evaluation evaluate(const std::vector<data::Item>& items, const FeatureSource& source,
                    const std::string& feature_cache, const Generator& generate,
                    const EvalOptions& options, const OnPhase& on_phase) {
  std::vector<data::Item> known;
  for (const data::Item& item : items) {
    if (!item.concept_id.empty() && !item.style.empty()) known.push_back(item);
  }
  return Evaluator(known, source, generate, options, on_phase).run(feature_cache);
}

}  // namespace pangu::eval
