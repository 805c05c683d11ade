// Draws the settings of a study: recipes become cooperations, wishes become pictures, and pictures
// are kept in a folder so that a study that was interrupted goes on where it was.
#pragma once
#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "pipeline/coop/coop.h"
#include "study/recipes.h"
#include "study/study.h"

namespace pangu::study {

class Drawer {
 public:
  // setup: how models are opened; its pictures are not read, since every wish has its own. folder:
  // where pictures are kept; empty: nowhere.
  Drawer(pipeline::CoopSetup setup, std::filesystem::path folder);

  // Opened once, whatever number of recipes asks for it.
  const pipeline::Model& model(const std::string& path);

  // The settings to draw from now on. Error kBadInput names the setting whose recipe is wrong.
  void use(const std::vector<SettingRecipe>& recipes);

  // A picture for every wish, in the setting of that number. Error kIo if one cannot be kept.
  std::vector<Picture> draw(size_t setting, const std::vector<Wish>& wishes) const;

 private:
  struct Ready {
    pipeline::Cooperation coop;
    std::string key;  // other text for other pictures
  };
  std::filesystem::path file_of(size_t setting, const Wish& wish) const;

  pipeline::CoopSetup setup_;
  std::filesystem::path folder_;
  std::shared_ptr<std::map<std::string, pipeline::Model>> models_;  // by path
  std::vector<Ready> settings_;
};

}  // namespace pangu::study
