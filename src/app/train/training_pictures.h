// Pictures of a dataset, for trainings and their latent caches.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "data/dataset.h"
#include "train/config.h"
#include "train/picture_pool.h"

namespace pangu::app {

// Items of one split, usually the training split, that the configuration admits, of all its
// datasets.
struct TrainingData {
  std::vector<data::Item> items;
  int64_t pictures_in_all = 0;        // of the split, admitted or not
  std::vector<std::string> contents;  // SHA-256 of each one's bytes
  std::string index_hash;             // of both; the same wherever the datasets lie
};

// What cannot be read is named on stderr and left out. The hashes of pictures are kept in
// config.cache_dir, if `keeps_hashes`. split: of the dataset. Error kBadInput if nothing is left.
TrainingData training_data(const train::TrainConfig& config, bool keeps_hashes,
                           const std::string& split = "train");

// Decodes every picture and says on stderr which cannot be. Error kBadInput if none can.
// Returns the first that can.
data::Item check_pictures(const TrainingData& data);

// Its pictures as [S,S,4] u8 with S = side_px, decoded whenever they are asked for: smaller
// pictures enlarged (Lanczos), others shrunk, centred on transparency. The first broken ones are
// named on stderr when they are met. Error of a picture that cannot be read at present: kIo or
// kUnavailable.
class TrainingPictures {
 public:
  // data outlives the pool.
  TrainingPictures(const TrainingData& data, int64_t side_px);
  train::PicturePool pool() const;
  // Says on stderr how many were broken, if not all of them were named.
  void say_broken() const;

 private:
  struct Broken;
  const TrainingData& data_;
  int64_t side_px_;
  std::shared_ptr<Broken> broken_;
};

}  // namespace pangu::app
