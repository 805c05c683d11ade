// Draws the settings of a study: it opens the models of recipes, draws a picture for every wish,
// and keeps pictures in a folder, so that an interrupted study goes on where it was.
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
  // where pictures are kept; empty: pictures are not kept.
  Drawer(pipeline::CoopSetup setup, std::filesystem::path folder);

  // The model of a path, which is opened once, however many recipes use it.
  const pipeline::Model& model(const std::string& path);

  // Sets the settings to draw from now on. Throws kBadInput, which names the setting whose recipe
  // is wrong.
  void use(const std::vector<SettingRecipe>& recipes);

  // Returns a picture for every wish, drawn in the setting of that number. Throws kIo if one cannot
  // be kept.
  std::vector<Picture> draw(size_t setting, const std::vector<Wish>& wishes) const;

 private:
  struct Ready {
    pipeline::Cooperation coop;
    std::string key;  // identifies what is drawn: settings with equal keys give equal pictures
  };
  std::filesystem::path file_of(size_t setting, const Wish& wish) const;

  pipeline::CoopSetup setup_;
  std::filesystem::path folder_;
  std::shared_ptr<std::map<std::string, pipeline::Model>> models_;  // by path
  std::vector<Ready> settings_;
};

}  // namespace pangu::study
