// `pangu-draw worker --socket`: draws what a server sends through a socket, one job at a time. It
// is started by `pangu-draw serve` and ends with it.
#include <c10/util/Exception.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <csignal>
#include <cstring>
#include <deque>
#include <fstream>
#include <memory>
#include <mutex>
#include <new>
#include <thread>

#include "app/commands.h"
#include "app/control_image.h"
#include "app/drawing.h"
#include "app/serve/catalog.h"
#include "app/serve/job_drawing.h"
#include "app/serve/job_plan.h"
#include "app/serve/picture_settings.h"
#include "app/threads.h"
#include "core/error.h"
#include "serve/frames.h"
#include "serve/http.h"

namespace pangu::app {
namespace {

using nlohmann::json;
using serve::Frame;

// The worker's end of the socket. Frames may be written from several threads.
class FrontLine {
 public:
  explicit FrontLine(int file) : file_(file) {}

  // The next frame; nothing when the front is gone.
  std::optional<Frame> read() {
    while (true) {
      if (auto frame = reader_.next()) return frame;
      char piece[65536];
      const ssize_t size = ::read(file_, piece, sizeof piece);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) return {};
      reader_.add({piece, static_cast<size_t>(size)});
    }
  }

  void say(json head, std::string bytes = "") {
    const std::string frame = to_bytes(Frame{std::move(head), std::move(bytes)});
    const std::lock_guard lock(mutex_);
    size_t done = 0;
    while (done < frame.size()) {
      const ssize_t size = ::write(file_, frame.data() + done, frame.size() - done);
      if (size < 0 && errno == EINTR) continue;
      if (size <= 0) _exit(0);  // the front is gone: nobody waits for anything
      done += static_cast<size_t>(size);
    }
  }

 private:
  int file_;
  serve::FrameReader reader_;
  std::mutex mutex_;
};

int64_t resident_bytes() {
  std::ifstream file("/proc/self/statm");
  int64_t size = 0, resident = 0;
  file >> size >> resident;
  return resident * sysconf(_SC_PAGESIZE);
}

json failure(const char* code, const std::string& message) {
  return {{"type", "failed"}, {"code", code}, {"message", message}};
}

// Of a process that cannot be relied on any more: memory that an allocator has taken apart is not
// there for the next job. It ends behind this, and a new one takes its place.
json last_failure(const std::string& message) {
  json told = failure("unavailable", message);
  told["ends"] = true;
  return told;
}

bool is_of_memory(const Error& error) {
  return std::string_view(error.what()).find(std::strerror(ENOMEM)) != std::string_view::npos;
}

// What a job ends with, whatever happens in it.
json outcome_of(WorkerState& state, const json& frame, const JobVoice& voice) {
  try {
    const json seconds = draw_job(state, frame, voice);
    return {{"type", "done"}, {"seconds", seconds}};
  } catch (const Stopped&) {
    return {{"type", "stopped"}};
  } catch (const Error& error) {
    if (is_of_memory(error)) return last_failure(state.names.without_folders(error.what()));
    return failure(serve::code_name(error.code()).c_str(),
                   state.names.without_folders(error.what()));
  } catch (const std::bad_alloc&) {
    return last_failure("out of memory. Hint: a smaller size or count needs less");
  } catch (const c10::Error& error) {
    return last_failure(std::string("libtorch: ") + error.what_without_backtrace());
  } catch (const std::exception& error) {
    return failure("internal", std::string("internal: ") + error.what());
  }
}

class Worker {
 public:
  explicit Worker(int file) : front_(file) {}

  void run() {
    const auto first = front_.read();
    if (!first) return;
    const json& configured = first->head;
    use_threads(configured.value("threads", 0));
    setup_ = {configured.value("device", "cpu"), configured.value("dtype", ""),
              configured.value("default_model", ""), configured.value("count", 100)};
    const NetworkNames names(configured.value("folders", json::object()));
    constexpr int64_t kMegabyte = int64_t{1} << 20;
    WorkerState state{setup_, names,
                      ModelCache(configured.value("cache_megabytes", int64_t{0}) * kMegabyte,
                                 pipeline::load_model)};
    for (const auto& folder : tiny_autoencoder_folders(names.folders("model"))) {
      state.look.add_folder(folder);
    }
    std::jthread reader([this] { listen(); });
    std::jthread answerer([this, &names] { answer_questions(names); });
    front_.say({{"type", "ready"},
                {"pid", getpid()},
                {"models", models_json(names, setup_)},
                {"capabilities", capabilities_json(names)}});
    while (const auto frame = next_job()) {
      if (!draw(state, *frame)) break;
    }
    // The other threads wait for a front that may never speak again.
    _exit(0);
  }

 private:
  // Runs on a thread of its own, so that wishes are heard while a job runs.
  void listen() {
    while (const auto frame = front_.read()) {
      const std::string type = frame->head.value("type", "");
      if (type == "draw" || type == "quit") {
        const std::lock_guard lock(mutex_);
        if (type == "quit") stop_ = true;
        jobs_.push_back(frame->head);
        woken_.notify_one();
      } else if (type == "cancel") {
        const std::lock_guard lock(mutex_);
        cancelled_ = frame->head.value("job", "");
        if (cancelled_ == current_) stop_ = true;
      } else {
        const std::lock_guard lock(mutex_);
        questions_.push_back(frame->head);
        asked_.notify_one();
      }
    }
    _exit(0);
  }

  // Runs on another thread: questions are answered while a job runs, and a plan, which may take
  // seconds, keeps no wish waiting.
  [[noreturn]] void answer_questions(const NetworkNames& names) {
    while (true) {
      std::unique_lock lock(mutex_);
      asked_.wait(lock, [&] { return !questions_.empty(); });
      const json question = std::move(questions_.front());
      questions_.pop_front();
      lock.unlock();
      front_.say(answer(question, names));
    }
  }

  json answer(const json& question, const NetworkNames& names) const {
    json answer = {{"type", "answer"}, {"ask", question.value("ask", 0)}};
    try {
      if (question["type"] == "catalog") {
        answer["models"] = models_json(names, setup_);
        answer["capabilities"] = capabilities_json(names);
      } else if (question["type"] == "settings") {
        answer["settings"] = picture_settings(question.at("path"), names);
      } else if (question["type"] == "plan") {
        answer["plan"] =
            job_plan(question, {setup_, names, [](const std::string& path, const auto& options) {
                                  return std::make_shared<const pipeline::Model>(
                                      pipeline::load_model(path, options));
                                }});
      } else if (question["kind"] == "control") {
        control_args_from(question.at("spec").at("options"));
        answer["inputs"] = {question.at("spec").at("source")};
      } else {
        answer["inputs"] = draw_job_from(question.at("spec"), names, setup_).inputs;
        answer["fresh_seed"] = fresh_seed();
      }
    } catch (const Error& error) {
      answer["error"] = {{"code", serve::code_name(error.code())},
                         {"message", names.without_folders(error.what())}};
    } catch (const std::exception& error) {
      answer["error"] = {{"code", "internal"}, {"message", error.what()}};
    }
    return answer;
  }

  // The next job; nothing if the worker is to end.
  std::optional<json> next_job() {
    std::unique_lock lock(mutex_);
    woken_.wait(lock, [&] { return !jobs_.empty(); });
    json frame = std::move(jobs_.front());
    jobs_.pop_front();
    if (frame.value("type", "") == "quit") return {};
    current_ = frame.value("job", "");
    stop_ = cancelled_ == current_;
    return frame;
  }

  // False if the process is to end.
  bool draw(WorkerState& state, const json& frame) {
    const std::string job = frame.value("job", "");
    const JobVoice voice{[&](json head, std::string bytes) {
                           head["job"] = job;
                           front_.say(std::move(head), std::move(bytes));
                         },
                         [this] { return stop_.load(); }};
    const int64_t hits = state.models.hits(), misses = state.models.misses();
    json outcome = outcome_of(state, frame, voice);
    {
      const std::lock_guard lock(mutex_);
      current_.clear();
    }
    front_.say({{"type", "facts"},
                {"memory_bytes", resident_bytes()},
                {"model_bytes", state.models.bytes()},
                {"models", state.models.size()},
                {"speeds", state.speeds},
                {"cache_hits", state.models.hits() - hits},
                {"cache_misses", state.models.misses() - misses}});
    const bool goes_on = !outcome.value("ends", false);
    voice.say(std::move(outcome), "");
    return goes_on;
  }

  FrontLine front_;
  WorkerSetup setup_;
  std::mutex mutex_;
  std::condition_variable woken_, asked_;
  std::deque<json> jobs_, questions_;
  std::string current_, cancelled_;
  std::atomic<bool> stop_{false};
};

}  // namespace

int run_worker(const WorkerArgs& args) {
  std::signal(SIGPIPE, SIG_IGN);
  std::signal(SIGINT, SIG_IGN);  // the front says when to end
  Worker(args.socket).run();
  return 0;
}

}  // namespace pangu::app
