// Composed scenes: one to four cut-outs on a background, with captions in both languages that say
// exactly what is where. Scene `index` of a seed is a pure function of (seed, index, items).
//
// Held out of training, by a hash: a scene is held out if stable_hash("scene: " + key) % 20 == 0,
// where `key` names its things and how they stand, in no style and on no background:
//   "apple on blue", "cat + dog + owl" (sorted), "cat left of dog", "cat above dog", "3 cat".
// "right of" and "below" are written the other way round, so that a held-out scene is never trained
// on in other words. Only a single thing's background is part of its key, being all it has.
#pragma once
#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "core/rng.h"
#include "data/manifest.h"
#include "data/scene_words.h"
#include "image/resize.h"

namespace pangu::data {

enum class SceneKind { kSingle, kTogether, kPosition, kCount };
const char* name_of(SceneKind kind);  // "single", "together", "position", "count"

struct SceneOptions {
  int width_px = 256, height_px = 256;
  double single_weight = 0.25, together_weight = 0.25, position_weight = 0.3, count_weight = 0.2;
  double white_probability = 0.4;      // of an unsaid white background, where the kind allows it
  double gradient_probability = 0.25;  // of the other backgrounds
  double colour_probability = 0.35;    // that a thing's colour is said, where it is known
  int most_things = 4;                 // 2 to 4; fewer are larger
};

struct SceneThing {
  size_t item = 0;  // index into the items
  image::Box cell;  // where the cut-out is fitted in, centred, in pixels of the scene
  ThingWords words;
};

struct ScenePlan {
  SceneKind kind = SceneKind::kSingle;
  std::string key;       // see above
  std::string style;     // of all things
  std::string relation;  // things[0] is "left of", "right of", "above" or "below" things[1]; or ""
  std::vector<SceneThing> things;  // drawn in this order
  int width_px = 0, height_px = 0;
  image::Color from, to;  // the background runs from one colour to the other; equal: plain
  double angle_rad = 0;   // direction of the gradient, 0 to the right, pi/2 down
  std::string background_en,
      background_zh;  // "blue", "pink and blue gradient"; empty: unsaid white
  std::vector<std::string> captions_en, captions_zh;  // several wordings of the same
};

struct DrawnScene {
  image::Image picture;           // RGB
  std::vector<image::Box> boxes;  // of each thing's visible pixels, in the order of plan.things
};

bool is_held_out(const std::string& key);

// The things of a dataset that can stand in scenes: cut-outs of split "train" with names in both
// languages, short ones. Holds indices into `items`, not the items.
class SceneBook {
 public:
  // Error kBadInput if no style has four different things.
  SceneBook(const std::vector<Item>& items, const SceneOptions& options);

  // Scene number `index`; never a held-out one.
  ScenePlan training_scene(uint64_t seed, uint64_t index) const;

  // The fixed held-out scenes of this dataset, `count` different keys; fewer if there are not as
  // many.
  std::vector<ScenePlan> held_out_scenes(size_t count = 500) const;

  size_t thing_count() const;

 private:
  struct Style {
    std::string name;
    std::vector<SceneThing> things;  // cell empty, colour not yet chosen
    std::vector<size_t> countable;   // into things
  };
  ScenePlan chosen(Rng& rng_) const;
  ScenePlan scene(Rng& rng_, bool held_out) const;

  SceneOptions options_;
  std::vector<Style> styles_;
};

// Draws a plan. `cutout` gives the RGBA picture of an item by its index.
DrawnScene draw_scene(const ScenePlan& plan,
                      const std::function<image::Image(size_t item)>& cutout);

}  // namespace pangu::data
