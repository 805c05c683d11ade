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
#include <vector>

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

class EventRelay;

class EventHub {
 public:
  using Listener = std::function<void(const Event&)>;

  // relay: where several processes keep their events together (shared_store.h); it replaces the log
  // in memory. Functions that read then throw as it does; what cannot be published is left out.
  EventHub(int64_t start, Clock clock, EventRelay* relay = nullptr)
      : start_(start), clock_(std::move(clock)), relay_(relay) {}

  int64_t start() const { return start_; }

  void publish(const std::string& job, std::string name, nlohmann::json data);
  // Tells the listeners of this process alone, and keeps nothing.
  void tell(const std::string& job, std::string name, nlohmann::json data);
  // Tells the listeners of this process what others have published of a job.
  void pull(const std::string& job);

  // Calls `listener` for every event of the job behind number `after`, without it: from now on.
  // Returns what ends that.
  std::function<void()> listen(const std::string& job, Listener listener,
                               std::optional<int64_t> after = {});

  // The events behind `after` of this start, in their order; of the picture's previews and of each
  // member's only the last. Nothing if some of them are no longer known, or the id is of another
  // start.
  std::optional<std::deque<Event>> since(const std::string& job, const EventId& after) const;
  // The last preview of a job's picture.
  std::optional<Event> last_preview(const std::string& job) const;
  // How far a running job is, as another process told it.
  std::optional<nlohmann::json> last_step(const std::string& job) const;
  // The number of the last event, with a relay that of the job.
  int64_t last_number(const std::string& job) const;
  // The same with the last of each member's own guess, in their order.
  std::vector<Event> last_previews(const std::string& job) const;
  bool has_listeners(const std::string& job) const;
  std::vector<std::string> jobs_with_listeners() const;

  // Forgets logs of jobs that ended a minute ago.
  void tidy();

 private:
  struct Log {
    std::deque<Event> events;               // without previews
    std::map<std::string, Event> previews;  // the last, by member; "": of the picture
    int64_t forgotten = 0;  // number of the last event that is no longer in `events`
    std::map<int64_t, Listener> listeners;
    int64_t told = 0;  // with a relay: the number of the last event that the listeners heard
    std::optional<SteadyTime> ended;
  };

  static void tell_listeners(std::map<std::string, Log>& logs, const std::string& job,
                             const Event& event);

  int64_t start_;
  Clock clock_;
  EventRelay* relay_;
  int64_t next_ = 1, next_listener_ = 1;
  std::map<std::string, Log> logs_;
};

}  // namespace pangu::serve
