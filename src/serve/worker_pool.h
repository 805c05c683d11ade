// Worker processes: started, connected by a socket pair, watched, started again when they end.
#pragma once
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "serve/job_queue.h"

namespace boost::asio {
class io_context;
}

namespace pangu::serve {

inline constexpr int kWorkerSocket = 3;  // the open file that is a worker's end of its socket

struct WorkerCommand {
  std::vector<std::string> words;  // the program and its arguments
  nlohmann::json configure;        // the first frame that it gets
};

class WorkerPool {
 public:
  // The queue outlives the pool. `log` is told why workers ended.
  WorkerPool(boost::asio::io_context& loop, JobQueue& queue, JobQueue::Log log);
  ~WorkerPool();  // ends all of them

  // Starts one process for every command, and starts it again after a second (up to half a minute
  // if it ends without having been ready) whenever it has ended.
  void start(std::vector<WorkerCommand> commands);
  // Starts none again. Workers that are idle end.
  void stop();
  // Whether all have ended.
  bool is_empty() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pangu::serve
