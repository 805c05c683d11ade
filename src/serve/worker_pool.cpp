#include "serve/worker_pool.h"

#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <cerrno>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "core/error.h"

extern char** environ;

namespace pangu::serve {
namespace {

namespace asio = boost::asio;
using boost::system::error_code;
using Socket = asio::local::stream_protocol::socket;

constexpr std::chrono::seconds kFirstPause{1}, kLongestPause{30};
constexpr std::chrono::milliseconds kReapPause{20};
constexpr int kMostReaps = 250;  // five seconds

// "it was killed by signal 9 (Killed)", "it ended with exit code 4".
std::string end_text(int status) {
  if (WIFSIGNALED(status)) {
    const int number = WTERMSIG(status);
    std::string text =
        "it was ended by signal " + std::to_string(number) + " (" + strsignal(number) + ")";
    if (number == SIGKILL) text += ", perhaps for want of memory";
    return text;
  }
  return "it ended with exit code " + std::to_string(WEXITSTATUS(status));
}

// The process, with `child` as its file 3.
pid_t spawn(const std::vector<std::string>& words, int child) {
  std::vector<std::string> copies = words;
  std::vector<char*> arguments;
  for (std::string& word : copies) arguments.push_back(word.data());
  arguments.push_back(nullptr);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  // A copy of a descriptor onto itself would keep its close-on-exec flag.
  if (child != kWorkerSocket) {
    posix_spawn_file_actions_adddup2(&actions, child, kWorkerSocket);
  }
  posix_spawnattr_t attributes;
  posix_spawnattr_init(&attributes);
  // Ctrl-C in a terminal goes to the front alone, which ends its workers in good order.
  posix_spawnattr_setpgroup(&attributes, 0);
  posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETPGROUP);
  pid_t pid = -1;
  const int failed =
      posix_spawn(&pid, copies.front().c_str(), &actions, &attributes, arguments.data(), environ);
  posix_spawn_file_actions_destroy(&actions);
  posix_spawnattr_destroy(&attributes);
  if (failed != 0) throw io_error("cannot start the worker", copies.front(), failed);
  return pid;
}

}  // namespace

struct WorkerPool::State : std::enable_shared_from_this<State> {
  State(asio::io_context& context, JobQueue& jobs, JobQueue::Log log_line)
      : loop(context), queue(jobs), log(std::move(log_line)) {}

  struct Process {
    Process(asio::io_context& context, pid_t process) : pid(process), socket(context) {}
    pid_t pid;
    Socket socket;
    int number = 0;  // of the queue
    size_t command = 0;
    bool was_ready = false, writing = false;
    FrameReader reader;
    std::array<char, 65536> piece{};
    std::deque<std::string> frames;
  };
  using ProcessPtr = std::shared_ptr<Process>;

  void start_one(size_t command);
  void start_later(size_t command, std::chrono::milliseconds pause);
  void read(const ProcessPtr& process);
  void send(const ProcessPtr& process, const Frame& frame);
  void write_next(const ProcessPtr& process);
  void reap(const ProcessPtr& process, int tries);
  void ended(const ProcessPtr& process, const std::string& why);

  asio::io_context& loop;
  JobQueue& queue;
  JobQueue::Log log;
  std::vector<WorkerCommand> commands;
  std::vector<std::chrono::milliseconds> pauses;
  std::map<pid_t, ProcessPtr> processes;
  bool stopping = false;
};

void WorkerPool::State::start_one(size_t command) {
  if (stopping) return;
  int ends[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0) {
    log(std::string("cannot connect to a worker: ") + std::strerror(errno));
    return start_later(command, kLongestPause);
  }
  ProcessPtr process;
  try {
    if (ends[1] == kWorkerSocket) fcntl(ends[1], F_SETFD, 0);
    process = std::make_shared<Process>(loop, spawn(commands[command].words, ends[1]));
    close(ends[1]);
  } catch (const Error& error) {
    close(ends[0]);
    close(ends[1]);
    log(error.what());
    return start_later(command, kLongestPause);
  }
  process->socket.assign(asio::local::stream_protocol(), ends[0]);
  process->command = command;
  processes[process->pid] = process;
  process->number = queue.add_worker(
      {[self = shared_from_this(), process](const Frame& frame) { self->send(process, frame); },
       [pid = process->pid] { kill(pid, SIGKILL); }});
  send(process, {commands[command].configure, ""});
  read(process);
}

void WorkerPool::State::start_later(size_t command, std::chrono::milliseconds pause) {
  const auto timer = std::make_shared<asio::steady_timer>(loop, pause);
  timer->async_wait(
      [self = shared_from_this(), timer, command](error_code) { self->start_one(command); });
}

void WorkerPool::State::read(const ProcessPtr& process) {
  process->socket.async_read_some(
      asio::buffer(process->piece),
      [self = shared_from_this(), process](error_code failed, size_t size) {
        if (failed) return self->reap(process, 0);
        try {
          process->reader.add({process->piece.data(), size});
          while (auto frame = process->reader.next()) {
            process->was_ready = process->was_ready || frame->head.value("type", "") == "ready";
            self->queue.worker_said(process->number, *frame);
          }
        } catch (const Error& error) {
          self->log(std::string("a worker spoke nonsense: ") + error.what());
          kill(process->pid, SIGKILL);
          return self->reap(process, 0);
        }
        self->read(process);
      });
}

void WorkerPool::State::send(const ProcessPtr& process, const Frame& frame) {
  process->frames.push_back(to_bytes(frame));
  if (!process->writing) write_next(process);
}

void WorkerPool::State::write_next(const ProcessPtr& process) {
  process->writing = !process->frames.empty();
  if (!process->writing) return;
  asio::async_write(process->socket, asio::buffer(process->frames.front()),
                    [self = shared_from_this(), process](error_code failed, size_t) {
                      if (failed) return;  // the reader sees the end as well
                      process->frames.pop_front();
                      self->write_next(process);
                    });
}

// The socket is closed; the process ends a moment later, or is made to.
void WorkerPool::State::reap(const ProcessPtr& process, int tries) {
  int status = 0;
  const pid_t found = waitpid(process->pid, &status, WNOHANG);
  if (found == process->pid) return ended(process, end_text(status));
  if (found < 0) return ended(process, "it is gone");
  if (tries == kMostReaps) kill(process->pid, SIGKILL);
  const auto timer = std::make_shared<asio::steady_timer>(loop, kReapPause);
  timer->async_wait([self = shared_from_this(), timer, process, tries](error_code) {
    self->reap(process, tries + 1);
  });
}

void WorkerPool::State::ended(const ProcessPtr& process, const std::string& why) {
  processes.erase(process->pid);
  error_code ignored;
  process->socket.close(ignored);
  queue.worker_gone(process->number, why);
  if (stopping) return;
  log("worker " + std::to_string(process->number) + " is gone: " + why);
  auto& pause = pauses[process->command];
  pause = process->was_ready ? std::chrono::milliseconds(kFirstPause)
                             : std::min<std::chrono::milliseconds>(2 * pause, kLongestPause);
  start_later(process->command, pause);
}

WorkerPool::WorkerPool(asio::io_context& loop, JobQueue& queue, JobQueue::Log log)
    : state_(std::make_shared<State>(loop, queue, std::move(log))) {}

WorkerPool::~WorkerPool() {
  state_->stopping = true;
  for (const auto& [pid, process] : std::exchange(state_->processes, {})) {
    kill(pid, SIGKILL);
    // The queue lets go of the socket before its loop ends.
    state_->queue.worker_gone(process->number, "the server ends");
    waitpid(pid, nullptr, 0);
  }
}

void WorkerPool::start(std::vector<WorkerCommand> commands) {
  state_->commands = std::move(commands);
  state_->pauses.assign(state_->commands.size(), kFirstPause);
  for (size_t i = 0; i < state_->commands.size(); ++i) state_->start_one(i);
}

void WorkerPool::stop() {
  state_->stopping = true;
  for (const auto& [pid, process] : state_->processes) {
    state_->send(process, {{{"type", "quit"}}, ""});
  }
}

bool WorkerPool::is_empty() const { return state_->processes.empty(); }

}  // namespace pangu::serve
