#include "dist/signs_of_life.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <stdexcept>
#include <thread>
#include <torch/csrc/distributed/c10d/HashStore.hpp>

using namespace pangu;
using dist::SignsOfLife;

namespace {

constexpr double kSilence_s = 0.6;

// A store that is reached until it is cut off.
class CutStore : public c10d::HashStore {
 public:
  std::atomic<bool> is_cut = false;
  std::vector<std::vector<uint8_t>> multiGet(const std::vector<std::string>& keys) override {
    if (is_cut) throw std::runtime_error("cut off");
    return HashStore::multiGet(keys);
  }
};

void wait_s(double seconds) { std::this_thread::sleep_for(std::chrono::duration<double>(seconds)); }

struct Watched {
  c10::intrusive_ptr<CutStore> store = c10::make_intrusive<CutStore>();
  SignsOfLife signs;

  Watched() : signs(with_sign(store), place(), kSilence_s) {}

  std::string waited_for() const {
    for (int i = 0; i < 1000; ++i, wait_s(0.005)) {
      if (std::string who = signs.lost(); !who.empty()) return who;
    }
    return "";
  }

 private:
  // Process 1 has given one sign.
  static c10::intrusive_ptr<CutStore> with_sign(const c10::intrusive_ptr<CutStore>& store) {
    store->set("sign/1", std::vector<uint8_t>{'1'});
    return store;
  }
  static dist::Place place() {
    dist::Place place;
    place.rank = 0, place.size = 2, place.master_address = "10.1.2.3", place.master_port = 29500;
    return place;
  }
};

}  // namespace

TEST_CASE("a process that counts no more is lost while the store still answers") {
  const Watched watched;
  CHECK(watched.waited_for() == "process 1 of 2 gives no sign of life");
}

TEST_CASE("where the store is silent nobody else is blamed, for nothing is heard of them") {
  const Watched watched;
  wait_s(kSilence_s / 2);  // the last sign is older than the store's last answer
  watched.store->is_cut = true;
  CHECK(watched.waited_for() == "the store at 10.1.2.3:29500 does not answer");
}
