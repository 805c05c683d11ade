#include "train/latent_set.h"

#include <map>

namespace pangu::train {

data::BatchOrder batch_order(const LatentSet& set, int64_t batch_size, uint64_t seed) {
  std::map<std::vector<int64_t>, uint32_t> shapes;
  for (const LatentItem& item : set.items) shapes.try_emplace(item.latent.sizes().vec());
  uint32_t number = 0;  // by shape, whatever the order of the items
  for (auto& [shape, bucket] : shapes) bucket = number++;
  std::vector<uint32_t> bucket_of;
  std::vector<int> repeats;
  for (const LatentItem& item : set.items) {
    bucket_of.push_back(shapes.at(item.latent.sizes().vec()));
    repeats.push_back(item.repeats);
  }
  return data::BatchOrder(bucket_of, repeats, batch_size, seed);
}

}  // namespace pangu::train
