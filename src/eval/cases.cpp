#include "eval/cases.h"

#include <algorithm>

#include "core/error.h"
#include "core/hash.h"

namespace pangu::eval {
namespace {

Names numbered(const std::vector<data::Item>& items, std::string data::Item::* name) {
  Names names;
  for (const data::Item& item : items) {
    const auto [found, fresh] = names.number.emplace(item.*name, int64_t(names.by_number.size()));
    if (fresh) names.by_number.push_back(found->first);
  }
  return names;
}

}  // namespace

std::vector<Case> choose_cases(const std::vector<data::Item>& items, size_t count,
                               uint64_t first_seed) {
  std::vector<Case> cases;
  for (const std::string group : kGroups) {
    std::vector<std::pair<uint64_t, size_t>> order;
    for (size_t i = 0; i < items.size(); ++i) {
      const data::Item& item = items[i];
      if (item.split != group || item.concept_id.empty() || item.style.empty()) continue;
      if (item.captions_en.empty() || item.captions_zh.empty()) continue;
      order.emplace_back(stable_hash("eval: " + item.concept_id + " " + item.style), i);
    }
    std::sort(order.begin(), order.end());
    std::map<std::string, bool> taken;
    size_t chosen = 0;
    for (const auto& [hash, i] : order) {
      if (chosen == count) break;
      if (!taken.emplace(items[i].concept_id, true).second) continue;
      cases.push_back({group, i, items[i].captions_en[0], items[i].captions_zh[0],
                       first_seed + uint64_t(cases.size())});
      ++chosen;
    }
    if (group == kGroups[0] && chosen == 0) {
      throw bad_input("the dataset",
                      "pictures of split 'train' with concept_id, style and captions",
                      "none among " + std::to_string(items.size()), "see `pangu-draw data build`");
    }
  }
  return cases;
}

Names concepts_of(const std::vector<data::Item>& items) {
  return numbered(items, &data::Item::concept_id);
}

Names styles_of(const std::vector<data::Item>& items) {
  return numbered(items, &data::Item::style);
}

}  // namespace pangu::eval
