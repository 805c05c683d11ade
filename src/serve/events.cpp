#include "serve/events.h"

#include <algorithm>
#include <charconv>
#include <utility>
#include <vector>

namespace pangu::serve {
namespace {

constexpr size_t kMostEvents = 512;  // of a job
constexpr std::chrono::seconds kKept{60};

std::optional<int64_t> whole_number(std::string_view text) {
  int64_t number = 0;
  const auto [end, failed] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (failed != std::errc() || end != text.data() + text.size() || number < 0) return {};
  return number;
}

}  // namespace

std::string text_of(const EventId& id) {
  return std::to_string(id.start) + "-" + std::to_string(id.number);
}

std::optional<EventId> event_id_of(std::string_view text) {
  const size_t dash = text.find('-');
  if (dash == std::string_view::npos) return {};
  const auto start = whole_number(text.substr(0, dash));
  const auto number = whole_number(text.substr(dash + 1));
  if (!start || !number) return {};
  return EventId{*start, *number};
}

std::string sse_text(const EventId& id, const Event& event) {
  return "id: " + text_of(id) + "\nevent: " + event.name +
         "\ndata: " + event.data.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace) +
         "\n\n";
}

bool is_droppable(const Event& event) {
  return event.name == "preview" || event.name == "step" || event.name == "queued";
}

bool is_last(const Event& event) {
  return event.name == "done" || event.name == "failed" || event.name == "cancelled";
}

void EventHub::publish(const std::string& job, std::string name, nlohmann::json data) {
  Log& log = logs_[job];
  const Event event{next_++, std::move(name), std::move(data)};
  if (event.name == "preview") {
    log.preview = event;
  } else {
    log.events.push_back(event);
  }
  if (log.events.size() > kMostEvents) {
    log.forgotten = log.events.front().number;
    log.events.pop_front();
  }
  if (is_last(event)) {
    log.ended = clock_.steady();
    log.preview.reset();
  }
  // A listener may leave, or another come, while it is told.
  std::vector<int64_t> told;
  for (const auto& [number, listener] : log.listeners) told.push_back(number);
  for (const int64_t number : told) {
    const auto found = logs_.find(job);
    if (found == logs_.end()) return;
    const auto listener = found->second.listeners.find(number);
    if (listener == found->second.listeners.end()) continue;
    const Listener call = listener->second;
    call(event);
  }
}

std::function<void()> EventHub::listen(const std::string& job, Listener listener) {
  const int64_t number = next_listener_++;
  logs_[job].listeners[number] = std::move(listener);
  return [this, job, number] {
    const auto found = logs_.find(job);
    if (found != logs_.end()) found->second.listeners.erase(number);
  };
}

std::optional<std::deque<Event>> EventHub::since(const std::string& job,
                                                 const EventId& after) const {
  if (after.start != start_ || after.number >= next_) return {};
  const auto found = logs_.find(job);
  if (found == logs_.end() || found->second.forgotten > after.number) return {};
  std::deque<Event> events;
  for (const Event& event : found->second.events) {
    if (event.number > after.number) events.push_back(event);
  }
  const auto& preview = found->second.preview;
  if (preview && preview->number > after.number) {
    const auto place = std::find_if(events.begin(), events.end(), [&](const Event& event) {
      return event.number > preview->number;
    });
    events.insert(place, *preview);
  }
  return events;
}

std::optional<Event> EventHub::last_preview(const std::string& job) const {
  const auto found = logs_.find(job);
  return found == logs_.end() ? std::nullopt : found->second.preview;
}

bool EventHub::has_listeners(const std::string& job) const {
  const auto found = logs_.find(job);
  return found != logs_.end() && !found->second.listeners.empty();
}

void EventHub::tidy() {
  const SteadyTime now = clock_.steady();
  std::erase_if(logs_, [&](const auto& entry) {
    const Log& log = entry.second;
    return log.ended && log.listeners.empty() && now - *log.ended > kKept;
  });
}

}  // namespace pangu::serve
