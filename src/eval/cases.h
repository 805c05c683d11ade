// What is drawn to be scored: for every chosen picture of the dataset a prompt in each language,
// with one seed for both. The choice is fixed by a hash of the pictures' names, so that it is the
// same for every model. Knows no network.
#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <string>
#include <vector>

#include "data/manifest.h"
#include "data/scenes.h"
#include "image/image.h"

namespace pangu::eval {

// A prompt and the seed of its noise. The generator comes from outside; it draws pictures in order.
struct Wish {
  std::string prompt;
  uint64_t seed = 0;
};
using Generator = std::function<std::vector<image::Image>(const std::vector<Wish>& wishes)>;

inline constexpr const char* kLanguages[] = {"en", "zh"};

// "train": concepts and styles that were trained together; "heldout_pair": each was trained, never
// together; "heldout_concept": the concept was never trained.
inline constexpr const char* kGroups[] = {"train", "heldout_pair", "heldout_concept"};

struct Case {
  std::string group;                 // of kGroups
  size_t item = 0;                   // index into the dataset's items
  std::string prompt_en, prompt_zh;  // the item's first captions
  uint64_t seed = 0;                 // of both languages
  const std::string& prompt(const std::string& language) const {
    return language == "zh" ? prompt_zh : prompt_en;
  }
};

// At most `count` cases of every group, one a concept: of its pictures in that group, the one of
// the lowest hash. Items without a concept, a style or a caption in each language are left out.
// Case k has the seed first_seed + k. Error kBadInput if no item of split "train" is left.
std::vector<Case> choose_cases(const std::vector<data::Item>& items, size_t count,
                               uint64_t first_seed);

// Names in the order of their first item -> a number each, for labels of a probe.
struct Names {
  std::vector<std::string> of;  // number -> name
  std::map<std::string, int64_t> number;
};
Names concepts_of(const std::vector<data::Item>& items);
Names styles_of(const std::vector<data::Item>& items);

}  // namespace pangu::eval
