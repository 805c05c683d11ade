#include "pipeline/load_options.h"

#include <unordered_set>

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

TEST_CASE("load options are equal, and hash equally, when every field is") {
  LoadOptions options;
  options.loras = {{"a.safetensors", 0.5, std::nullopt}};
  options.vae = "vae";
  const LoadOptions same = options;
  CHECK(options == same);
  std::unordered_set<LoadOptions> known = {options};
  CHECK(known.count(same) == 1);

  std::vector<LoadOptions> others(15, options);
  others[0].device = "cuda";
  others[1].dtype = "f32";
  others[2].loras[0].weight = 0.25;
  others[3].loras[0].text_weight = 0.5;
  others[4].controlnets = {"net"};
  others[5].embeddings = {"net"};  // the same name as another list's is another thing
  others[6].vae = "";
  others[7].refiner = "refiner";
  others[8].refiner_start = 0.7;
  others[9].experts_in_memory = 1;
  others[10].vae_tile = 512;
  others[11].tokenizers = "vocabularies";
  others[12].upscaler = "upscaler";
  others[13].precision = kInt8Precision;
  others[14].packed_weights = "packed";
  for (const LoadOptions& other : others) {
    CHECK(!(other == options));
    known.insert(other);
  }
  CHECK(known.size() == 1 + others.size());
}

}  // namespace
}  // namespace pangu::pipeline
