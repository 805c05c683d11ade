#include "serve/serve.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <cerrno>
#include <csignal>
#include <filesystem>

#include "core/error.h"
#include "io/mapped_file.h"
#include "serve/api.h"
#include "serve/http_server.h"
#include "serve/openai.h"
#include "serve/sdapi.h"
#include "serve/worker_pool.h"

namespace pangu::serve {
namespace {

namespace asio = boost::asio;
namespace fs = std::filesystem;
using boost::system::error_code;

constexpr std::chrono::milliseconds kTick{100};
constexpr std::chrono::seconds kLongestEnd{5};  // for workers to end after a signal
constexpr size_t kMegabyte = size_t{1} << 20;

// The folder of one server at a time.
class FolderLock {
 public:
  explicit FolderLock(const fs::path& folder) {
    std::error_code failed;
    fs::create_directories(folder, failed);
    if (failed) throw io_error("cannot make the folder", folder.string(), failed.value());
    fs::permissions(folder, fs::perms::owner_all, failed);
    const std::string path = (folder / "lock").string();
    file_ = open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (file_ < 0) throw io_error("cannot write", path, errno);
    if (flock(file_, LOCK_EX | LOCK_NB) != 0) {
      close(file_);
      throw Error(ErrorCode::kIo, "data '" + folder.string() +
                                      "': expected a folder of its own, found another server's. "
                                      "Hint: --data FOLDER");
    }
  }
  ~FolderLock() { close(file_); }
  FolderLock(const FolderLock&) = delete;
  FolderLock& operator=(const FolderLock&) = delete;

 private:
  int file_;
};

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

}  // namespace

void serve(const ServeSetup& setup) {
  const ServeConfig& config = setup.config;
  check_listening(config);
  const std::vector<ApiKey> keys = keys_of(config);
  const fs::path folder = config.data;
  const FolderLock lock(folder);
  const auto store = open_sqlite_store((folder / "jobs.sqlite").string());
  const PictureFiles files(folder / "pictures");
  files.remove_unknown(*store);

  const Clock clock = system_clock();
  EventHub events(store->count_start(), clock);
  JobQueue queue(*store, files, events,
                 {.most_waiting = config.queue,
                  .most_waiting_of_owner = config.queue_per_key,
                  .retention_ms = retention_of(config),
                  .quota_bytes = config.quota_megabytes * static_cast<int64_t>(kMegabyte),
                  .folder = config.data},
                 clock, setup.log);
  // Connections end with the loop, and leave the events that they listen to.
  asio::io_context loop;
  HttpServer server(loop, {.host = config.host,
                           .port = static_cast<int>(config.port),
                           .most_connections = static_cast<int>(config.connections),
                           .receive_seconds = config.receive_seconds});
  Policy policy({hosts_of(config.host, server.port(), config.hosts), keys});
  Api api{queue,
          *store,
          files,
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
  std::vector<WorkerCommand> commands;
  for (int64_t i = 0; i < config.workers; ++i) {
    commands.push_back({setup.worker, worker_config(config, static_cast<int>(i))});
  }
  workers.start(std::move(commands));
  server.start(router, policy);
  setup.listening(address_of(config, server.port()));

  asio::steady_timer ticker(loop);
  std::optional<SteadyTime> end_by;
  std::function<void()> tick = [&] {
    ticker.expires_after(kTick);
    ticker.async_wait([&](error_code stopped) {
      if (stopped) return;
      queue.tick();
      if (end_by && (workers.is_empty() || clock.steady() > *end_by)) return loop.stop();
      tick();
    });
  };
  tick();
  std::signal(SIGPIPE, SIG_IGN);
  asio::signal_set signals(loop, SIGINT, SIGTERM);
  std::function<void()> await_signal = [&] {
    signals.async_wait([&](error_code failed, int) {
      if (failed) return;
      if (end_by) return loop.stop();
      setup.log("stops; jobs that run wait for the next start");
      end_by = clock.steady() + kLongestEnd;
      server.stop();
      queue.stop();
      workers.stop();
      await_signal();
    });
  };
  await_signal();
  loop.run();
}

}  // namespace pangu::serve
