#include "serve/events.h"

#include <algorithm>
#include <charconv>
#include <memory>
#include <utility>
#include <vector>

#include "core/error.h"
#include "serve/shared_store.h"

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

bool came_first(const Event& a, const Event& b) { return a.number < b.number; }

// Whose guess a preview shows; "": the picture's.
std::string member_of_preview(const Event& event) {
  const auto member = event.data.find("member");
  return member != event.data.end() && member->is_string() ? member->get<std::string>() : "";
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
  if (relay_) {
    try {
      relay_->publish(job, name, data);
      pull(job);
    } catch (const Error&) {
      // Whoever listens begins again with the job's state.
    }
    return;
  }
  Log& log = logs_[job];
  const Event event{next_++, std::move(name), std::move(data)};
  if (event.name == "preview") {
    log.previews.insert_or_assign(member_of_preview(event), event);
  } else {
    // Of positions only the last counts; a long queue would fill the memory with the others.
    if (event.name == "queued") {
      std::erase_if(log.events, [](const Event& one) { return one.name == "queued"; });
    }
    log.events.push_back(event);
  }
  if (log.events.size() > kMostEvents) {
    log.forgotten = log.events.front().number;
    log.events.pop_front();
  }
  if (is_last(event)) {
    log.ended = clock_.steady();
    log.previews.clear();
  }
  tell_listeners(logs_, job, event);
}

void EventHub::tell(const std::string& job, std::string name, nlohmann::json data) {
  const auto found = logs_.find(job);
  if (found == logs_.end()) return;
  const int64_t number = relay_ ? found->second.told : next_ - 1;
  tell_listeners(logs_, job, {number, std::move(name), std::move(data)});
}

void EventHub::pull(const std::string& job) {
  if (!relay_ || !has_listeners(job)) return;
  for (const Event& event : relay_->since(job, logs_[job].told)) {
    const auto found = logs_.find(job);
    if (found == logs_.end()) return;
    found->second.told = event.number;
    tell_listeners(logs_, job, event);
  }
}

// A listener may leave, or another come, while it is told.
void EventHub::tell_listeners(std::map<std::string, Log>& logs, const std::string& job,
                              const Event& event) {
  const auto log = logs.find(job);
  if (log == logs.end()) return;
  std::vector<int64_t> told;
  for (const auto& [number, listener] : log->second.listeners) told.push_back(number);
  for (const int64_t number : told) {
    const auto found = logs.find(job);
    if (found == logs.end()) return;
    const auto listener = found->second.listeners.find(number);
    if (listener == found->second.listeners.end()) continue;
    const Listener call = listener->second;
    try {
      call(event);
    } catch (const Error&) {
      // It wanted to read the store, which is away. JobQueue tells it of the end once more.
    }
  }
}

std::function<void()> EventHub::listen(const std::string& job, Listener listener,
                                       std::optional<int64_t> after) {
  const int64_t number = next_listener_++;
  if (relay_) {
    const int64_t from = after ? *after : relay_->last_number(job);
    Log& log = logs_[job];
    // Listeners of one job are told together; none hears twice what another has yet to hear.
    listener = [heard = std::make_shared<int64_t>(from),
                call = std::move(listener)](const Event& event) {
      if (event.number <= *heard && !is_last(event) && event.name != "queued") return;
      *heard = std::max(*heard, event.number);
      call(event);
    };
    log.told = log.listeners.empty() ? from : std::min(log.told, from);
  }
  logs_[job].listeners[number] = std::move(listener);
  return [this, job, number] {
    const auto found = logs_.find(job);
    if (found == logs_.end()) return;
    found->second.listeners.erase(number);
    // With a relay there is nothing else to keep.
    if (relay_ && found->second.listeners.empty()) logs_.erase(found);
  };
}

std::optional<std::deque<Event>> EventHub::since(const std::string& job,
                                                 const EventId& after) const {
  if (after.start != start_) return {};
  if (relay_) {
    std::deque<Event> events = relay_->since(job, after.number);
    if (events.size() > kMostEvents) return {};
    return events;
  }
  if (after.number >= next_) return {};
  const auto found = logs_.find(job);
  if (found == logs_.end() || found->second.forgotten > after.number) return {};
  std::deque<Event> events;
  for (const Event& event : found->second.events) {
    if (event.number > after.number) events.push_back(event);
  }
  for (const auto& [member, preview] : found->second.previews) {
    if (preview.number > after.number) events.push_back(preview);
  }
  std::sort(events.begin(), events.end(), came_first);
  return events;
}

std::optional<Event> EventHub::last_preview(const std::string& job) const {
  if (relay_) return relay_->last_of(job, "preview");
  const auto found = logs_.find(job);
  if (found == logs_.end()) return {};
  const auto preview = found->second.previews.find("");
  if (preview == found->second.previews.end()) return {};
  return preview->second;
}

std::vector<Event> EventHub::last_previews(const std::string& job) const {
  std::vector<Event> all;
  if (relay_) {  // it keeps the last of all
    if (const auto last = relay_->last_of(job, "preview")) all.push_back(*last);
    return all;
  }
  const auto found = logs_.find(job);
  if (found == logs_.end()) return all;
  for (const auto& [member, preview] : found->second.previews) all.push_back(preview);
  std::sort(all.begin(), all.end(), came_first);
  return all;
}

std::optional<nlohmann::json> EventHub::last_step(const std::string& job) const {
  const auto step = relay_ ? relay_->last_of(job, "step") : std::nullopt;
  return step ? std::optional(step->data) : std::nullopt;
}

int64_t EventHub::last_number(const std::string& job) const {
  return relay_ ? relay_->last_number(job) : next_ - 1;
}

bool EventHub::has_listeners(const std::string& job) const {
  const auto found = logs_.find(job);
  return found != logs_.end() && !found->second.listeners.empty();
}

std::vector<std::string> EventHub::jobs_with_listeners() const {
  std::vector<std::string> jobs;
  for (const auto& [job, log] : logs_) {
    if (!log.listeners.empty()) jobs.push_back(job);
  }
  return jobs;
}

void EventHub::tidy() {
  if (relay_) return relay_->tidy();
  const SteadyTime now = clock_.steady();
  std::erase_if(logs_, [&](const auto& entry) {
    const Log& log = entry.second;
    return log.ended && log.listeners.empty() && now - *log.ended > kKept;
  });
}

}  // namespace pangu::serve
