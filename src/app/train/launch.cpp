#include "app/train/launch.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <fstream>
#include <string>
#include <string_view>
#include <thread>
#include <vector>

#include "app/interrupt.h"
#include "core/error.h"

namespace pangu::app {
namespace {

using LaunchClock = std::chrono::steady_clock;

constexpr std::chrono::milliseconds kLookEvery(50);
// Others notice by themselves that one has failed, and say what they lost.
constexpr std::chrono::seconds kOwnEnd(10);
constexpr int kSignalled = 128;

std::vector<std::string> own_arguments() {
  std::ifstream file("/proc/self/cmdline", std::ios::binary);
  std::vector<std::string> all;
  for (std::string one; std::getline(file, one, '\0');) all.push_back(one);
  return all;
}

// Of one of the processes: without --nproc, and of a restart without --fresh.
std::vector<std::string> arguments_of_process(bool is_restart) {
  const std::vector<std::string> all = own_arguments();
  std::vector<std::string> kept;
  for (size_t i = 0; i < all.size(); ++i) {
    const std::string_view one = all[i];
    const bool is_ours = one == "--nproc" || one == "--max-restarts";
    if (is_ours) ++i;  // its value
    if (is_ours || one.starts_with("--nproc=") || one.starts_with("--max-restarts=")) continue;
    if (is_restart && one == "--fresh") continue;
    kept.push_back(all[i]);
  }
  return kept;
}

int unused_port() {
  const int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  socklen_t size = sizeof address;
  const bool is_found = s >= 0 &&
                        bind(s, reinterpret_cast<sockaddr*>(&address), sizeof address) == 0 &&
                        getsockname(s, reinterpret_cast<sockaddr*>(&address), &size) == 0;
  const int error = errno;
  if (s >= 0) close(s);
  if (!is_found) {
    throw Error(ErrorCode::kUnavailable,
                std::string("--nproc: expected a port of this machine, found none: ") +
                    std::strerror(error));
  }
  return ntohs(address.sin_port);
}

std::vector<char*> pointers_to(std::vector<std::string>& texts) {
  std::vector<char*> pointers;
  for (std::string& text : texts) pointers.push_back(text.data());
  pointers.push_back(nullptr);
  return pointers;
}

std::vector<std::string> environment_of(int rank, int count, int port) {
  std::vector<std::string> all;
  const std::vector<std::pair<std::string, std::string>> own = {
      {"RANK", std::to_string(rank)},       {"WORLD_SIZE", std::to_string(count)},
      {"LOCAL_RANK", std::to_string(rank)}, {"LOCAL_WORLD_SIZE", std::to_string(count)},
      {"MASTER_ADDR", "127.0.0.1"},         {"MASTER_PORT", std::to_string(port)},
  };
  for (char** one = environ; *one; ++one) {
    const std::string_view name = std::string_view(*one).substr(0, std::strcspn(*one, "="));
    const bool is_own =
        std::any_of(own.begin(), own.end(), [&](const auto& o) { return o.first == name; });
    if (!is_own) all.push_back(*one);
  }
  for (const auto& [name, value] : own) all.push_back(name + "=" + value);
  return all;
}

pid_t started(std::vector<std::string> arguments, std::vector<std::string> environment) {
  const std::vector<char*> argv = pointers_to(arguments), envp = pointers_to(environment);
  const pid_t parent = getpid();
  const pid_t child = fork();
  if (child < 0) {
    throw Error(ErrorCode::kUnavailable,
                std::string("--nproc: cannot start a process: ") + std::strerror(errno));
  }
  if (child > 0) return child;
  setpgid(0, 0);  // Ctrl-C comes from here, once
  prctl(PR_SET_PDEATHSIG, SIGTERM);
  if (getppid() != parent) _exit(1);
  execve("/proc/self/exe", argv.data(), envp.data());
  _exit(127);
}

// The processes of one start.
class Processes {
 public:
  Processes(int count, bool is_restart) : port_(unused_port()) {
    const std::vector<std::string> arguments = arguments_of_process(is_restart);
    for (int rank = 0; rank < count; ++rank) {
      all_.push_back({started(arguments, environment_of(rank, count, port_)), false, 0});
    }
  }
  ~Processes() { send(SIGKILL); }
  Processes(const Processes&) = delete;
  Processes& operator=(const Processes&) = delete;

  // Until all have ended. Returns the code of all together.
  int wait(const Interrupt& interrupt) {
    LaunchClock::time_point deadline;
    bool is_told = false;
    while (left() > 0) {
      look();
      if (interrupt.wanted() && !is_told) send(interrupt.exit_code() - kSignalled);
      is_told = interrupt.wanted();
      // Who is asked to stop takes the time that its checkpoint needs.
      const bool has_failed = failed_ >= 0 && !interrupt.wanted();
      if (has_failed && deadline == LaunchClock::time_point()) {
        deadline = LaunchClock::now() + kOwnEnd;
        say_failure(failed_);
      }
      if (has_failed && LaunchClock::now() > deadline) send(SIGKILL);
      if (left() > 0) std::this_thread::sleep_for(kLookEvery);
    }
    return failed_ < 0 ? 0 : all_[static_cast<size_t>(failed_)].code;
  }

 private:
  struct One {
    pid_t pid;
    bool has_ended;
    int code;
  };

  size_t left() const {
    return static_cast<size_t>(
        std::count_if(all_.begin(), all_.end(), [](const One& one) { return !one.has_ended; }));
  }

  void look() {
    const bool had_failed = failed_ >= 0;
    for (size_t rank = 0; rank < all_.size(); ++rank) {
      One& one = all_[rank];
      int status = 0;
      if (one.has_ended || waitpid(one.pid, &status, WNOHANG) != one.pid) continue;
      one.has_ended = true;
      one.code = WIFSIGNALED(status) ? kSignalled + WTERMSIG(status) : WEXITSTATUS(status);
      // Of those that are found at once, one that lost the others (input or output failed) is not
      // the first to blame.
      const bool is_first =
          failed_ < 0 || (!had_failed && is_lost(all_[static_cast<size_t>(failed_)].code));
      if (one.code != 0 && is_first) failed_ = static_cast<int>(rank);
    }
  }

  static bool is_lost(int code) { return code == exit_code(ErrorCode::kIo); }

  void send(int signal) {
    for (const One& one : all_) {
      if (!one.has_ended) kill(one.pid, signal);
    }
  }

  void say_failure(int rank) const {
    const One& one = all_[static_cast<size_t>(rank)];
    const std::string how = one.code > kSignalled
                                ? "was ended by signal " + std::to_string(one.code - kSignalled) +
                                      " (" + strsignal(one.code - kSignalled) + ")"
                                : "ended with exit code " + std::to_string(one.code);
    std::fprintf(stderr, "train: process %d of %zu %s; the others end too\n", rank, all_.size(),
                 how.c_str());
  }

  int port_;
  std::vector<One> all_;
  int failed_ = -1;
};

bool is_worth_a_restart(int code) {
  return code != 0 && code != exit_code(ErrorCode::kBadInput) &&
         code != exit_code(ErrorCode::kUnavailable);
}

}  // namespace

int train_in_processes(int count, int max_restarts) {
  const Interrupt interrupt;
  for (int restart = 0;; ++restart) {
    const int code = Processes(count, restart > 0).wait(interrupt);
    if (interrupt.wanted() || restart >= max_restarts || !is_worth_a_restart(code)) return code;
    std::fprintf(stderr, "train: starting all again from the last checkpoint, restart %d of %d\n",
                 restart + 1, max_restarts);
  }
}

}  // namespace pangu::app
