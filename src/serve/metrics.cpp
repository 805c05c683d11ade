#include "serve/metrics.h"

#include "core/message.h"

namespace pangu::serve {
namespace {

class MetricsText {
 public:
  void family(const char* name, const char* type, const char* help) {
    text_ += std::string("# HELP ") + name + " " + help + "\n# TYPE " + name + " " + type + "\n";
    name_ = name;
  }
  // labels: "{state=\"done\"}", or nothing.
  void sample(double value, const std::string& labels = "") {
    text_ += name_ + labels + " " + number_text(value) + "\n";
  }
  const std::string& text() const { return text_; }

 private:
  std::string text_, name_;
};

std::string label(const char* name, const std::string& value) {
  return std::string("{") + name + "=\"" + value + "\"}";
}

}  // namespace

std::string metrics_text(JobQueue& queue, JobStore& store) {
  const QueueCounters& counters = queue.counters();
  MetricsText out;
  const auto one = [&](const char* name, const char* type, const char* help, double value) {
    out.family(name, type, help);
    out.sample(value);
  };
  one("pangu_queue_jobs", "gauge", "Jobs that wait.", static_cast<double>(queue.waiting_count()));
  one("pangu_queue_oldest_seconds", "gauge", "Age of the job that waits longest.",
      queue.seconds_waited());
  one("pangu_running_jobs", "gauge", "Jobs that are drawn.",
      static_cast<double>(queue.running_count()));
  one("pangu_workers", "gauge", "Worker processes.", static_cast<double>(queue.worker_count()));
  one("pangu_jobs_submitted_total", "counter", "Jobs that were added.",
      static_cast<double>(counters.submitted));
  out.family("pangu_jobs_finished_total", "counter", "Jobs that ended, by state.");
  for (const char* state : {"done", "failed", "cancelled"}) {
    const auto found = counters.finished.find(state);
    out.sample(found == counters.finished.end() ? 0.0 : static_cast<double>(found->second),
               label("state", state));
  }
  one("pangu_jobs_retried_total", "counter", "Jobs that wait again since their worker died.",
      static_cast<double>(counters.retried));
  one("pangu_workers_died_total", "counter", "Workers that died while they drew.",
      static_cast<double>(counters.workers_died));
  one("pangu_pictures_total", "counter", "Finished pictures.",
      static_cast<double>(counters.pictures));
  one("pangu_pictures_removed_total", "counter", "Pictures that were removed for space.",
      static_cast<double>(counters.pictures_removed));
  one("pangu_picture_bytes", "gauge", "Bytes of all pictures.",
      static_cast<double>(store.picture_bytes()));
  one("pangu_steps_total", "counter", "Steps of the samplers.",
      static_cast<double>(counters.steps));
  out.family("pangu_stage_seconds_total", "counter", "Seconds that jobs spent in a stage.");
  for (const auto& [stage, seconds] : counters.stage_seconds) {
    if (!stage.empty()) out.sample(seconds, label("stage", stage));
  }
  one("pangu_model_cache_hits_total", "counter", "Jobs whose model was in memory.",
      static_cast<double>(counters.cache_hits));
  one("pangu_model_cache_misses_total", "counter", "Jobs whose model had to be opened.",
      static_cast<double>(counters.cache_misses));
  out.family("pangu_worker_memory_bytes", "gauge",
             "Resident memory of a worker after its last job.");
  for (const auto& facts : queue.worker_facts()) {
    if (facts.contains("memory_bytes")) {
      out.sample(facts["memory_bytes"].get<double>(),
                 label("worker", std::to_string(facts["worker"].get<int>())));
    }
  }
  return out.text();
}

}  // namespace pangu::serve
