// What a store does that several processes share, beyond a JobStore: events of jobs that are drawn
// in one process and followed in another, and signals between the processes.
#pragma once
#include <cstdint>
#include <deque>
#include <optional>
#include <string>

#include "serve/events.h"
#include "serve/job_store.h"

namespace pangu::serve {

// Errors: StoreAway and kIo as of a JobStore.
class EventRelay {
 public:
  virtual ~EventRelay() = default;

  // Keeps an event and tells every process of it.
  virtual void publish(const std::string& job, const std::string& name,
                       const nlohmann::json& data) = 0;
  // The events of a job behind a number, in their order; of previews only the last.
  virtual std::deque<Event> since(const std::string& job, int64_t number) = 0;
  // The last event of this name.
  virtual std::optional<Event> last_of(const std::string& job, const std::string& name) = 0;
  // The number of a job's last event; 0 if it has none.
  virtual int64_t last_number(const std::string& job) = 0;
  // Forgets events of jobs that ended a minute ago.
  virtual void tidy() = 0;
};

class SharedStore : public JobStore, public EventRelay {
 public:
  // The process of this name lives and has so many workers that draw.
  virtual void say_alive(const std::string& process, int64_t workers) = 0;
  // Workers of all processes that said so within a lease.
  virtual int64_t worker_count() = 0;
};

// What one process tells all others: something about a job happened, somebody wants it cancelled,
// or the queue is another one.
struct Signal {
  enum class Kind { kQueue, kEvent, kCancel } kind = Kind::kQueue;
  std::string job;  // of kEvent and kCancel
};

}  // namespace pangu::serve
