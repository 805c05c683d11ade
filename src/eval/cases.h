// Chooses what is drawn to be scored: for every chosen picture of the dataset a prompt in each
// language, with one seed for both. A hash of concept and style fixes the choice, so that it is the
// same for every model. It knows no network.
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

// A prompt and the seed of its noise. A generator is passed in from outside; it returns one picture
// for each wish, in their order.
struct Wish {
  std::string prompt;
  uint64_t seed = 0;
};
using Generator = std::function<std::vector<image::Image>(const std::vector<Wish>& wishes)>;

inline constexpr const char* kLanguages[] = {"en", "zh"};

// "train": the pair of concept and style was trained. "heldout_pair": concept and style were
// trained, but never together. "heldout_concept": the concept was never trained.
inline constexpr const char* kGroups[] = {"train", "heldout_pair", "heldout_concept"};

struct Case {
  std::string group;                 // one of kGroups
  size_t item = 0;                   // index into the dataset's items
  std::string prompt_en, prompt_zh;  // the item's first captions
  uint64_t seed = 0;                 // for both languages
  const std::string& prompt(const std::string& language) const {
    return language == "zh" ? prompt_zh : prompt_en;
  }
};

// Returns at most `count` cases of every group, one for each concept: the picture of the lowest
// hash among the concept's pictures in that group. Items without a concept, a style or a caption in
// each language are left out. Case k has the seed first_seed + k. Throws kBadInput if no item of
// split "train" is left.
std::vector<Case> choose_cases(const std::vector<data::Item>& items, size_t count,
                               uint64_t first_seed);

// Numbers for names, in the order of each name's first item, as labels of a probe.
struct Names {
  std::vector<std::string> by_number;  // number -> name
  std::map<std::string, int64_t> number;
};
Names concepts_of(const std::vector<data::Item>& items);
Names styles_of(const std::vector<data::Item>& items);

}  // namespace pangu::eval
