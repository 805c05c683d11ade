// The order in which a training sees its samples: batches of samples that share a bucket, an epoch
// after another. Everything is a function of the seed and the number of the batch, so that number
// is all there is to keep of the data's state, for any number of processes: each takes its part of
// the same batch, and all have one shape in a step.
#pragma once
#include <cstdint>
#include <vector>

#include "data/permutation.h"

namespace pangu::data {

// Immutable, safe to read from several threads. Memory: 4 bytes for each time that an epoch shows a
// sample.
class BatchOrder {
 public:
  // bucket_of: of every sample, in the order of the dataset; repeats: how often an epoch shows it.
  // A bucket that shows fewer samples than batch_size repeats them to make one batch; of others,
  // what does not fill a batch sits out, another part every epoch. Error kBadInput without samples
  // or with batch_size < 1.
  BatchOrder(const std::vector<uint32_t>& bucket_of, const std::vector<int>& repeats,
             int64_t batch_size, uint64_t seed);

  // The samples of batch `batch` (0, 1, 2, ... over the whole run), batch_size of them.
  std::vector<int64_t> at(int64_t batch) const;

  int64_t batches_per_epoch() const { return batches_per_epoch_; }

 private:
  struct Bucket {
    std::vector<uint32_t> shown;  // samples, each as often as it repeats
    int64_t first_batch = 0;      // of an epoch before it is permuted
  };
  std::vector<Bucket> buckets_;
  int64_t batch_size_, batches_per_epoch_ = 0;
  uint64_t seed_;
};

}  // namespace pangu::data
