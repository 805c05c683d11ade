#include "dist/world.h"

#include <netdb.h>
#include <sys/socket.h>
#include <torch/types.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <condition_variable>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <torch/csrc/distributed/c10d/PrefixStore.hpp>
#include <torch/csrc/distributed/c10d/ProcessGroupGloo.hpp>
#include <torch/csrc/distributed/c10d/TCPStore.hpp>

#include "core/error.h"
#include "core/message.h"
#include "dist/signs_of_life.h"

namespace pangu::dist {
namespace {

using std::chrono::milliseconds;

// The others may be busy for hours, as long as they give signs of life.
constexpr milliseconds kLongestCall = std::chrono::hours(24 * 7);
constexpr milliseconds kLook(500);      // between two looks at the signs of life
constexpr milliseconds kGoodbye(5000);  // that the store waits for the others to leave

milliseconds milliseconds_of(double seconds) {
  return milliseconds(static_cast<int64_t>(seconds * 1000));
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What libtorch says, without where in its source it says it.
std::string reason_of(const std::exception& error) {
  if (const auto* e = dynamic_cast<const c10::Error*>(&error)) {
    return first_line(e->what_without_backtrace());
  }
  return first_line(error.what());
}

std::string address_of(const Place& place) {
  return place.master_address + ":" + std::to_string(place.master_port);
}

std::string name_of_process(const Place& place) {
  return "process " + std::to_string(place.rank) + " of " + std::to_string(place.size);
}

// The address that this machine has on its way to the first process's; "" if there is no such way
// or the machine calls itself by a name of its own alone.
std::string own_address_towards(const Place& place) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_DGRAM;  // connecting sends nothing
  addrinfo* found = nullptr;
  const std::string port = std::to_string(place.master_port);
  if (getaddrinfo(place.master_address.c_str(), port.c_str(), &hints, &found) != 0) return "";
  std::string address;
  for (const addrinfo* a = found; a && address.empty(); a = a->ai_next) {
    const int s = socket(a->ai_family, a->ai_socktype | SOCK_CLOEXEC, 0);
    if (s < 0) continue;
    sockaddr_storage own{};
    socklen_t size = sizeof own;
    char text[NI_MAXHOST];
    if (connect(s, a->ai_addr, a->ai_addrlen) == 0 &&
        getsockname(s, reinterpret_cast<sockaddr*>(&own), &size) == 0 &&
        getnameinfo(reinterpret_cast<sockaddr*>(&own), size, text, sizeof text, nullptr, 0,
                    NI_NUMERICHOST) == 0) {
      address = text;
    }
    close(s);
  }
  freeaddrinfo(found);
  return address;
}

bool is_loopback(const std::string& address) {
  return address.starts_with("127.") || address == "::1";
}

// The network that tensors travel on: the one that is asked for by the name that Gloo's users know,
// else the one towards the first process.
std::shared_ptr<gloo::transport::Device> network_of(const Place& place) {
  using Gloo = c10d::ProcessGroupGloo;
  if (const auto interface = process_environment()("GLOO_SOCKET_IFNAME")) {
    return Gloo::createDeviceForInterface(*interface);
  }
  const std::string address = own_address_towards(place);
  const bool reaches_others = !is_loopback(address) || place.local_size == place.size;
  if (address.empty() || !reaches_others) return Gloo::createDefaultDevice();
  return Gloo::createDeviceForHostname(address);
}

// Not inlined, nor its one caller known: the call is libtorch's own, whose body needs Gloo's types.
[[gnu::noipa]] void allow_long_calls(c10d::Backend& backend) { backend.setTimeout(kLongestCall); }

std::string here_key(int rank) { return "here/" + std::to_string(rank); }

void set_text(c10d::Store& store, const std::string& key) {
  store.set(key, std::vector<uint8_t>{'1'});
}

// Who has not come; only asked once time is up.
std::string missing_in(c10d::Store& store, const Place& place) {
  std::string missing;
  constexpr int kNamed = 8;
  int count = 0;
  for (int rank = 0; rank < place.size; ++rank) {
    if (store.check({here_key(rank)})) continue;
    if (++count <= kNamed) missing += (missing.empty() ? "" : ", ") + std::to_string(rank);
  }
  return missing + (count > kNamed ? ", ..." : "");
}

}  // namespace

struct World::Group {
  Place place;
  WorldOptions options;
  c10::intrusive_ptr<c10d::TCPStore> server;  // or this process's way to it
  c10::intrusive_ptr<c10d::Store> store;
  c10::intrusive_ptr<c10d::Backend> backend;
  std::optional<SignsOfLife> signs;
  bool is_broken = false;

  Group(const Place& at, const WorldOptions& o) : place(at), options(o) {
    const milliseconds join = milliseconds_of(options.join_s);
    c10d::TCPStoreOptions at_address;
    at_address.port = static_cast<uint16_t>(place.master_port);
    at_address.isServer = place.rank == 0 && !place.is_store_elsewhere;
    at_address.waitWorkers = false;
    at_address.timeout = join;
    at_address.multiTenant = true;
    try {
      server = c10::make_intrusive<c10d::TCPStore>(place.master_address, at_address);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::kIo, name_of_process(place) + ": " +
                                      (at_address.isServer ? "cannot open" : "no answer from") +
                                      " the store at " + address_of(place) + ": " +
                                      reason_of(error));
    }
    store = prefixed(server);
    meet(join);
    auto own = c10::make_intrusive<c10d::ProcessGroupGloo::Options>(join);
    try {
      own->devices.push_back(network_of(place));
      backend = c10::make_intrusive<c10d::ProcessGroupGloo>(store, place.rank, place.size, own);
      allow_long_calls(*backend);
    } catch (const std::exception& error) {
      throw Error(ErrorCode::kIo,
                  name_of_process(place) + ": cannot connect to the others: " + reason_of(error) +
                      ". Hint: GLOO_SOCKET_IFNAME names the network interface that all reach");
    }
    signs.emplace(prefixed(server->clone()), place, options.silence_s);
  }

  ~Group() {
    signs.reset();
    if (is_broken || std::uncaught_exceptions() > 0) {
      // Threads in it may wait for ever for a process that is gone.
      backend.release();
      store.release();
      server.release();
      return;
    }
    try {
      // The store is the first process's: the others leave before it.
      backend.reset();
      const int64_t left = store->add("left", 1);
      if (place.rank == 0 && !place.is_store_elsewhere) {
        const auto until = std::chrono::steady_clock::now() + kGoodbye;
        int64_t count = left;
        while (count < place.size && std::chrono::steady_clock::now() < until) {
          usleep(1000);
          count = store->add("left", 0);
        }
      }
    } catch (const std::exception&) {
    }
  }

  c10::intrusive_ptr<c10d::Store> prefixed(const c10::intrusive_ptr<c10d::Store>& plain) const {
    return c10::make_intrusive<c10d::PrefixStore>("pangu/" + place.attempt, plain);
  }

  void meet(milliseconds join) {
    std::vector<std::string> all;
    for (int rank = 0; rank < place.size; ++rank) all.push_back(here_key(rank));
    try {
      set_text(*store, here_key(place.rank));
      set_text(*store, "sign/" + std::to_string(place.rank));
      store->wait(all, join);
    } catch (const std::exception& error) {
      std::string missing;
      try {
        missing = missing_in(*store, place);
      } catch (const std::exception&) {
      }
      throw Error(
          ErrorCode::kIo,
          name_of_process(place) + ": " +
              (missing.empty()
                   ? "the store at " + address_of(place) + " does not answer: " + reason_of(error)
                   : "waited " + number_text(options.join_s) + " s at " + address_of(place) +
                         " for processes that have not come: " + missing));
    }
  }

  [[noreturn]] void lose(const std::string& what) {
    is_broken = true;
    throw Error(ErrorCode::kIo, name_of_process(place) + " has lost the others: " + what);
  }

  c10::intrusive_ptr<c10d::Work> started(
      const std::function<c10::intrusive_ptr<c10d::Work>(c10d::Backend&)>& ask) {
    if (is_broken) lose("a call before this one failed");
    try {
      return ask(*backend);
    } catch (const std::exception& error) {
      lose(reason_of(error));
    }
  }

  void wait(c10d::Work& work) {
    struct Done {
      std::mutex mutex;
      std::condition_variable wake;
      bool is_done = false;
    };
    const auto done = std::make_shared<Done>();
    const auto future = work.getFuture();
    future->addCallback([done](c10::ivalue::Future&) {
      const std::lock_guard lock(done->mutex);
      done->is_done = true;
      done->wake.notify_all();
    });
    std::unique_lock lock(done->mutex);
    while (!done->wake.wait_for(lock, kLook, [&] { return done->is_done; })) {
      if (const std::string lost = signs->lost(); !lost.empty()) lose(lost);
    }
    if (!future->hasError()) return;
    try {
      std::rethrow_exception(future->exception_ptr());
    } catch (const std::exception& error) {
      lose("one of them has ended (" + reason_of(error) + ")");
    }
  }
};

World::World() = default;
World::~World() = default;
World::World(World&&) noexcept = default;
World& World::operator=(World&&) noexcept = default;

World::World(const Place& place, const WorldOptions& options) : place_(place) {
  if (options.device != "cpu") {
    throw Error(ErrorCode::kUnavailable,
                "device '" + options.device +
                    "': expected cpu where several processes train, for this program is built "
                    "without NCCL. Hint: one process trains on one GPU");
  }
  if (place.size > 1) group_ = std::make_unique<Group>(place, options);
}

namespace {

double ring_bytes(const at::Tensor& all, int size) {
  return static_cast<double>(all.nbytes()) * (size - 1) / size;
}

at::Tensor bytes_of(const at::Tensor& t) { return t.view({t.numel()}).view(at::kByte); }

}  // namespace

Pending World::all_reduce_(const at::Tensor& sum) {
  if (is_alone()) return {};
  bytes_sent_ += 2 * ring_bytes(sum, size());
  Group& group = *group_;
  auto work = group.started([&](c10d::Backend& backend) {
    std::vector<at::Tensor> tensors{sum};
    return backend.allreduce(tensors);
  });
  return Pending([&group, work] { group.wait(*work); });
}

// Everyone's pieces for everyone, then a sum in order of ranks: as many bytes as a ring's.
Pending World::reduce_scatter(const at::Tensor& all, const at::Tensor& mine) {
  const at::NoGradGuard no_grad;
  if (is_alone()) {
    mine.copy_(all);
    return {};
  }
  bytes_sent_ += ring_bytes(all, size());
  Group& group = *group_;
  const at::Tensor pieces = at::empty_like(all);
  auto work = group.started([&](c10d::Backend& backend) {
    at::Tensor in = all, out = pieces;
    std::vector<int64_t> equal_in, equal_out;
    return backend.alltoall_base(out, in, equal_out, equal_in);
  });
  return Pending([&group, work, pieces, all, mine, count = size()] {
    group.wait(*work);
    const at::NoGradGuard no_grad_here;
    const std::vector<at::Tensor> parts = pieces.chunk(count);
    mine.copy_(parts[0]);
    for (size_t i = 1; i < parts.size(); ++i) mine.add_(parts[i]);
  });
}

Pending World::all_gather(const at::Tensor& mine, const at::Tensor& all) {
  const at::NoGradGuard no_grad;
  if (is_alone()) {
    all.copy_(mine);
    return {};
  }
  bytes_sent_ += ring_bytes(all, size());
  Group& group = *group_;
  auto work = group.started([&](c10d::Backend& backend) {
    at::Tensor out = bytes_of(all), in = bytes_of(mine);
    return backend._allgather_base(out, in);
  });
  return Pending([&group, work, mine, all] { group.wait(*work); });
}

Pending World::broadcast_(const at::Tensor& value, int from) {
  if (is_alone()) return {};
  bytes_sent_ += ring_bytes(value, size());
  Group& group = *group_;
  auto work = group.started([&](c10d::Backend& backend) {
    std::vector<at::Tensor> tensors{bytes_of(value)};
    c10d::BroadcastOptions options;
    options.rootRank = from;
    return backend.broadcast(tensors, options);
  });
  return Pending([&group, work, value] { group.wait(*work); });
}

void World::barrier() { sums({0}); }

std::vector<double> World::sums(const std::vector<double>& mine) {
  if (is_alone()) return mine;
  const at::Tensor all = at::tensor(mine, at::kDouble);
  all_reduce_(all).wait();
  return {all.data_ptr<double>(), all.data_ptr<double>() + all.numel()};
}

std::vector<double> World::of_first(const std::vector<double>& mine) {
  if (is_alone()) return mine;
  const at::Tensor all = at::tensor(mine, at::kDouble);
  broadcast_(all, 0).wait();
  return {all.data_ptr<double>(), all.data_ptr<double>() + all.numel()};
}

}  // namespace pangu::dist
