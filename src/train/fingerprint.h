// What a checkpoint must agree with before a run goes on from it: every setting that changes the
// weights' course, but none that only says where files are, how long and how often; and what the
// run is made of, as hashes.
#pragma once
#include <string>

#include "train/config.h"

namespace pangu::train {

// Hashes as text; an empty one is not known and agrees with any.
struct RunInputs {
  std::string data;          // the list of pictures and captions, with their contents
  std::string network;       // the configuration of the network that is trained
  std::string conditioning;  // what its inputs are made with: text encoder, autoencoder
};

// Settings and inputs as JSON text. replicas: how many there are, where config.replicas may leave
// it to the machine; the sum of their gradients depends on it. 0 is not known: of several
// processes, whose number may change.
std::string fingerprint_of(const TrainConfig& config, const RunInputs& inputs, int64_t replicas);

// "" if both are the same course, else "key WAS, now IS" of what differs. A setting that a
// fingerprint does not know (it was written before there was such a key) has its default, an input
// that it does not know agrees with any.
std::string difference_of(const std::string& before, const std::string& now);

// How a run that differs so can go on, for the hint of an error.
std::string way_on(const std::string& before, const std::string& now);

}  // namespace pangu::train
