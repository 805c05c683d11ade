#include "serve/serve.h"

#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/posix/stream_descriptor.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <csignal>
#include <filesystem>
#include <memory>
#include <optional>
#include <thread>
#include <utility>

#include "core/error.h"
#include "io/folder_lock.h"
#include "io/mapped_file.h"
#include "serve/api.h"
#include "serve/http_server.h"
#include "serve/keys.h"
#include "serve/openai.h"
#include "serve/postgres_store.h"
#include "serve/s3_pictures.h"
#include "serve/sdapi.h"
#include "serve/stores.h"
#include "serve/worker_pool.h"

namespace pangu::serve {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kLongestEnd{5};     // for workers to end after a signal
constexpr std::chrono::seconds kLongestStart{20};  // for services to be there
constexpr size_t kMegabyte = size_t{1} << 20;

// The server's own as long as that lives.
std::unique_ptr<io::FolderLock> locked(const fs::path& folder) {
  std::error_code failed;
  fs::create_directories(folder, failed);
  if (failed) throw io_error("cannot make the folder", folder.string(), failed.value());
  fs::permissions(folder, fs::perms::owner_all, failed);
  std::unique_ptr<io::FolderLock> lock = io::FolderLock::taken(folder.string());
  if (!lock || !lock->keeps_others_out()) {
    throw Error(ErrorCode::kIo, "data '" + folder.string() +
                                    "': expected a folder of its own, found another server's. "
                                    "Hint: --data FOLDER");
  }
  return lock;
}

std::vector<ApiKey> keys_of(const ServeConfig& config) {
  if (config.api_key_file.empty()) return {};
  constexpr size_t kMostKeyBytes = size_t{1} << 20;
  return keys_from_text(io::read_text_file(config.api_key_file, kMostKeyBytes),
                        config.api_key_file);
}

WallMs retention_of(const ServeConfig& config) {
  constexpr double kMsAnHour = 3600.0 * 1000.0;
  return static_cast<WallMs>(config.retention_hours * kMsAnHour);
}

ApiLimits limits_of(const ServeConfig& config) {
  ApiLimits limits;
  limits.body_bytes = static_cast<size_t>(config.body_megabytes) * kMegabyte;
  limits.count = config.count;
  limits.queue = config.queue;
  limits.queue_per_key = config.queue_per_key;
  limits.pictures.max_pixels = config.pixels;
  return limits;
}

std::string address_of(const ServeConfig& config, int port) {
  const bool v6 = config.host.find(':') != std::string::npos && config.host.front() != '[';
  return "http://" + (v6 ? "[" + config.host + "]" : config.host) + ":" + std::to_string(port);
}

// Services that start together with this process are waited for.
Stores stores_in_time(const ServeSetup& setup) {
  constexpr std::chrono::seconds kPause{1};
  const SteadyTime end = std::chrono::steady_clock::now() + kLongestStart;
  while (true) {
    try {
      return open_stores(setup.config);
    } catch (const StoreAway& error) {
      if (std::chrono::steady_clock::now() > end) throw;
      setup.log(error.what() + std::string("; tries again"));
      std::this_thread::sleep_for(kPause);
    }
  }
}

// What is known of a process in a store that it shares.
std::string name_of_process() {
  char host[256] = {};
  gethostname(host, sizeof host - 1);
  return std::string(host) + ":" + std::to_string(getpid()) + ":" + random_hex(4);
}

QueueOptions options_of(const ServeConfig& config, const Stores& stores) {
  constexpr double kMsASecond = 1000.0;
  QueueOptions options{.most_waiting = config.queue,
                       .most_waiting_of_owner = config.queue_per_key,
                       .retention_ms = retention_of(config),
                       .quota_bytes = config.quota_megabytes * static_cast<int64_t>(kMegabyte),
                       .folder = config.pictures_url.empty() ? config.data : config.pictures_url};
  if (is_s3_url(config.pictures_url)) options.folder.clear();
  if (!stores.shared) return options;
  options.shared = stores.shared;
  options.lease_ms = static_cast<WallMs>(config.lease_seconds * kMsASecond);
  options.process = name_of_process();
  return options;
}

Clock clock_of(const Stores& stores) {
  Clock clock = system_clock();
  if (stores.shared) clock.wall_ms = [store = stores.shared] { return store->now(); };
  return clock;
}

// Hears what other processes tell, on the loop.
class SignalWatch {
 public:
  SignalWatch(asio::io_context& loop, const std::string& url, JobQueue& queue)
      : signals_(url), queue_(queue), readable_(loop) {}

  // Connects if need be; to be called now and then.
  void tick() {
    try {
      if (!signals_.connect()) return;
      error_code ignored;
      readable_.close(ignored);
      // A copy, since libpq closes its own.
      readable_.assign(fcntl(signals_.file(), F_DUPFD_CLOEXEC, 0));
    } catch (const StoreAway&) {
      return;
    }
    queue_.heard({}, true);
    wait();
  }

 private:
  void wait() {
    readable_.async_wait(asio::posix::stream_descriptor::wait_read, [this](error_code failed) {
      if (failed) return;
      std::vector<Signal> told;
      try {
        told = signals_.take();
      } catch (const StoreAway&) {
        return;  // tick() connects again
      }
      queue_.heard(told, false);
      wait();
    });
  }

  PostgresSignals signals_;
  JobQueue& queue_;
  asio::posix::stream_descriptor readable_;
};

// What is done at a signal of the system, and whether that has come to its end.
struct Ending {
  std::function<void()> begin;
  std::function<bool()> is_over;
};

// Runs the loop until a signal, and until the ending is over or another signal comes.
void run_until_signal(asio::io_context& loop, JobQueue& queue, SignalWatch* watch,
                      const Ending& ending, const JobQueue::Log& log) {
  asio::steady_timer ticker(loop);
  bool ends = false;
  std::function<void()> tick = [&] {
    ticker.expires_after(kTick);
    ticker.async_wait([&](error_code stopped) {
      if (stopped) return;
      if (watch) watch->tick();
      queue.tick();
      if (ends && ending.is_over()) return loop.stop();
      tick();
    });
  };
  tick();
  std::signal(SIGPIPE, SIG_IGN);
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  std::function<void()> await_signal = [&] {
    signals.async_wait([&](error_code failed, int) {
      if (failed) return;
      if (std::exchange(ends, true)) return loop.stop();
      ending.begin();
      await_signal();
    });
  };
  await_signal();
  // What fails in one connection or of one job, such as a read of the store, ends none of the
  // others.
  while (!loop.stopped()) {
    try {
      loop.run();
    } catch (const std::exception& error) {
      log(error.what());
    }
  }
}

std::vector<WorkerCommand> worker_commands(const ServeSetup& setup, int64_t count) {
  std::vector<WorkerCommand> commands;
  for (int64_t i = 0; i < count; ++i) {
    commands.push_back({setup.worker, worker_config(setup.config, static_cast<int>(i))});
  }
  return commands;
}

}  // namespace

void serve(const ServeSetup& setup) {
  const ServeConfig& config = setup.config;
  check_listening(config);
  const std::vector<ApiKey> keys = keys_of(config);
  const bool is_shared = is_shared_queue(config);
  // What others share needs no folder of its own.
  const auto lock = is_shared ? nullptr : locked(config.data);
  const Stores stores = stores_in_time(setup);
  const Clock clock = clock_of(stores);
  EventHub events(stores.jobs->count_start(), clock, stores.shared);
  QueueOptions options = options_of(config, stores);
  options.draws = !is_shared;
  JobQueue queue(*stores.jobs, *stores.pictures, events, options, clock, setup.log);
  // Connections end with the loop, and leave the events that they listen to.
  asio::io_context loop;
  HttpServer server(loop, {.host = config.host,
                           .port = static_cast<int>(config.port),
                           .most_connections = static_cast<int>(config.connections),
                           .receive_seconds = config.receive_seconds});
  Policy policy({hosts_of(config.host, server.port(), config.hosts), keys});
  Api api{queue,
          *stores.jobs,
          *stores.pictures,
          events,
          policy,
          limits_of(config),
          retention_of(config),
          clock,
          setup.version,
          config.page.empty() ? setup.page : config.page};
  Router router;
  router.add(api_routes(api));
  router.add(openai_routes(api));
  router.add(sdapi_routes(api));
  WorkerPool workers(loop, queue, setup.log);
  // Without workers of its own that draw, one answers what requests may say.
  workers.start(worker_commands(setup, is_shared ? 1 : config.workers));
  server.start(router, policy);
  setup.listening(address_of(config, server.port()));

  std::optional<SignalWatch> watch;
  if (is_shared) watch.emplace(loop, config.queue_url, queue);
  SteadyTime end_by;
  run_until_signal(loop, queue, watch ? &*watch : nullptr,
                   {[&] {
                      setup.log("stops; jobs that run wait for the next start");
                      end_by = clock.steady() + kLongestEnd;
                      server.stop();
                      queue.stop();
                      workers.stop();
                    },
                    [&] { return workers.is_empty() || clock.steady() > end_by; }},
                   setup.log);
}

void work(const ServeSetup& setup) {
  const ServeConfig& config = setup.config;
  if (!is_shared_queue(config)) {
    throw bad_input("--queue", "postgres://USER@HOST/DATABASE",
                    config.queue_url.empty() ? "none" : "'" + config.queue_url + "'",
                    "with SQLite `pangu-draw serve` starts its workers by itself");
  }
  if (config.worker_port != 0) check_listening(config);
  const std::vector<ApiKey> keys = keys_of(config);
  const Stores stores = stores_in_time(setup);
  const Clock clock = clock_of(stores);
  EventHub events(stores.jobs->count_start(), clock, stores.shared);
  QueueOptions options = options_of(config, stores);
  options.keeps_house = false;
  JobQueue queue(*stores.jobs, *stores.pictures, events, options, clock, setup.log);
  asio::io_context loop;
  std::optional<HttpServer> server;
  std::optional<Policy> policy;
  std::optional<Api> api;
  Router router;
  if (config.worker_port != 0) {
    server.emplace(loop, ServerOptions{.host = config.host,
                                       .port = static_cast<int>(config.worker_port),
                                       .receive_seconds = config.receive_seconds});
    policy.emplace(PolicyOptions{hosts_of(config.host, server->port(), config.hosts), keys});
    api.emplace(Api{queue, *stores.jobs, *stores.pictures, events, *policy, limits_of(config),
                    retention_of(config), clock, setup.version, ""});
    router.add(health_routes(*api));
    server->start(router, *policy);
  }
  WorkerPool workers(loop, queue, setup.log);
  workers.start(worker_commands(setup, config.workers));
  setup.listening("");
  SignalWatch watch(loop, config.queue_url, queue);
  bool stops = false;
  run_until_signal(loop, queue, &watch,
                   {[&] {
                      setup.log("begins no further job, and ends when its own have ended");
                      queue.drain();
                    },
                    [&] {
                      if (queue.is_drawing()) return false;
                      if (!std::exchange(stops, true)) workers.stop();
                      return workers.is_empty();
                    }},
                   setup.log);
}

}  // namespace pangu::serve
