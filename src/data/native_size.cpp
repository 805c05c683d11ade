#include "data/native_size.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "core/error.h"
#include "core/hash.h"

namespace pangu::data {
namespace {

// In front of a name that is hashed, so that this lot is independent of the splits by hash.
constexpr std::string_view kNativeSizeSalt = "native size ";

int shrunk_side(int side, double scale) {
  return std::max(1, static_cast<int>(std::lround(side * scale)));
}

}  // namespace

int64_t SizeHistogram::share_sum() const {
  return std::accumulate(shares.begin(), shares.end(), int64_t{0});
}

void SizeHistogram::validate(const std::string& what) const {
  if (sizes_px.size() != shares.size()) {
    throw bad_input(
        what, "a share for every size",
        std::to_string(sizes_px.size()) + " sizes, " + std::to_string(shares.size()) + " shares");
  }
  for (size_t i = 0; i < shares.size(); ++i) {
    const int64_t before = i > 0 ? sizes_px[i - 1] : 0;
    if (sizes_px[i] <= before || sizes_px[i] > 65536) {
      throw bad_input(what, "increasing sizes in pixels", std::to_string(sizes_px[i]));
    }
    if (shares[i] < 1 || shares[i] > 1'000'000) {
      throw bad_input(what, "shares of 1 to 1000000", std::to_string(shares[i]));
    }
  }
}

double share_of_at_least(const SizeHistogram& histogram, int64_t px) {
  int64_t share = 0;
  for (size_t i = 0; i < histogram.shares.size(); ++i) {
    if (histogram.sizes_px[i] >= px) share += histogram.shares[i];
  }
  return static_cast<double>(share) / static_cast<double>(histogram.share_sum());
}

int64_t native_size_px(const SizeHistogram& histogram, std::string_view name) {
  const uint64_t hash = stable_hash(std::string(kNativeSizeSalt) + std::string(name));
  auto lot = static_cast<int64_t>(hash % static_cast<uint64_t>(histogram.share_sum()));
  size_t i = 0;
  while (lot >= histogram.shares[i]) lot -= histogram.shares[i++];
  return histogram.sizes_px[i];
}

void limit_sizes(const SizeHistogram& histogram, std::vector<Item>& items_) {
  if (histogram.empty()) return;
  for (Item& item : items_) {
    const int native = static_cast<int>(native_size_px(histogram, item.id));
    const int side = std::min(item.width, item.height);
    if (side <= native) continue;
    const double scale = static_cast<double>(native) / side;
    item.stored_px = native;
    item.width = shrunk_side(item.width, scale);
    item.height = shrunk_side(item.height, scale);
    if (native < kHighPartPx) item.part = "low";
  }
}

}  // namespace pangu::data
