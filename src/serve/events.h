// What happens to jobs, as it is told to whoever listens: a log a job in memory, and server-sent
// events (https://html.spec.whatwg.org/multipage/server-sent-events.html). What must not be lost is
// in the store; the log serves those who come back after a break of the connection.
#pragma once
#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

#include "serve/times.h"

namespace pangu::serve {

struct Event {
  int64_t number = 0;  // counts up over all jobs
  std::string name;    // "step"
  nlohmann::json data;
};

// Ids of events are "START-NUMBER": the number of the server's start on its store, and the event's.
struct EventId {
  int64_t start = 0, number = 0;
};
std::string text_of(const EventId& id);
// Nothing for a text that is no id of an event.
std::optional<EventId> event_id_of(std::string_view text);

// The bytes of one event.
std::string sse_text(const EventId& id, const Event& event);

// Whether an event may be left out for a client that does not keep up: the next one replaces it.
bool is_droppable(const Event& event);
// Whether it is the last of its job.
bool is_last(const Event& event);

class EventHub {
 public:
  using Listener = std::function<void(const Event&)>;

  EventHub(int64_t start, Clock clock) : start_(start), clock_(std::move(clock)) {}

  int64_t start() const { return start_; }

  void publish(const std::string& job, std::string name, nlohmann::json data);

  // Calls `listener` for every event of the job from now on. Returns what ends that.
  std::function<void()> listen(const std::string& job, Listener listener);

  // The events behind `after` of this start, in their order; of previews only the last. Nothing if
  // some of them are no longer known, or the id is of another start.
  std::optional<std::deque<Event>> since(const std::string& job, const EventId& after) const;
  // The last preview of a job.
  std::optional<Event> last_preview(const std::string& job) const;
  int64_t last_number() const { return next_ - 1; }
  bool has_listeners(const std::string& job) const;

  // Forgets logs of jobs that ended a minute ago.
  void tidy();

 private:
  struct Log {
    std::deque<Event> events;  // without previews
    std::optional<Event> preview;
    int64_t forgotten = 0;  // number of the last event that is no longer in `events`
    std::map<int64_t, Listener> listeners;
    std::optional<SteadyTime> ended;
  };

  int64_t start_;
  Clock clock_;
  int64_t next_ = 1, next_listener_ = 1;
  std::map<std::string, Log> logs_;
};

}  // namespace pangu::serve
