// What a checkpoint must agree with before a run goes on from it: every setting that changes the
// weights' course, but none that only says where files are, how long and how often.
#pragma once
#include <string>

#include "train/config.h"

namespace pangu::train {

// The settings as JSON text.
std::string fingerprint_of(const TrainConfig& config);

// "" if both are the same course, else "key WAS, now IS" of the settings that differ. A setting
// that a fingerprint does not know (it was written before there was such a key) has its default.
std::string difference_of(const std::string& before, const std::string& now);

}  // namespace pangu::train
