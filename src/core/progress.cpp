// Formats progress and draws it in one of two ways: a bar that moves, or plain lines for logs.
#include "core/progress.h"

#include <sys/ioctl.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <utility>

namespace pangu {
namespace {

constexpr double kRedrawEveryS = 0.1;
constexpr int kBarColumns = 24;

double steady_seconds() {
  return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

// Returns the columns of the terminal; 0 if `out` is no terminal.
int terminal_width(std::FILE* out) {
  const int fd = fileno(out);
  if (!isatty(fd)) return 0;
  winsize size{};
  const bool known = ioctl(fd, TIOCGWINSZ, &size) == 0 && size.ws_col > 0;
  return known ? size.ws_col : 80;
}

std::string number(double value, const char* format) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return text;
}

// The longest beginning of a UTF-8 text that fits; characters of three and four bytes count as two
// columns.
std::string fitted(const std::string& text, int columns) {
  int used = 0;
  size_t at = 0;
  while (at < text.size()) {
    const auto lead = static_cast<unsigned char>(text[at]);
    const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
    used += length >= 3 ? 2 : 1;
    if (used > columns) break;
    at = std::min(text.size(), at + length);
  }
  return text.substr(0, at);
}

}  // namespace

std::string duration_text(double seconds) {
  if (!std::isfinite(seconds) || seconds < 0 || seconds > 1e9) return "?";
  const auto whole = static_cast<long long>(seconds + 0.5);
  char text[64];
  if (whole >= 3600) {
    std::snprintf(text, sizeof text, "%lld:%02lld:%02lld", whole / 3600, whole / 60 % 60,
                  whole % 60);
  } else {
    std::snprintf(text, sizeof text, "%lld:%02lld", whole / 60, whole % 60);
  }
  return text;
}

std::string progress_line(const Progress& progress, double elapsed_s, int width_columns) {
  std::string line;
  if (progress.total > 0) {
    const double part = std::clamp(
        static_cast<double>(progress.done) / static_cast<double>(progress.total), 0.0, 1.0);
    line += number(100 * part, "%3.0f%% ");
    if (width_columns > 0) {
      const int full = static_cast<int>(part * kBarColumns);
      line += "[" + std::string(full, '#') + std::string(kBarColumns - full, '-') + "] ";
    }
    line += std::to_string(progress.done) + "/" + std::to_string(progress.total);
  } else {
    line += std::to_string(progress.done) + " " + progress.unit;
  }
  if (!std::isnan(progress.loss)) line += " | loss " + number(progress.loss, "%.4f");
  double rate = progress.rate;
  if (std::isnan(rate) && elapsed_s > 0) rate = static_cast<double>(progress.done) / elapsed_s;
  if (rate > 0) line += " | " + number(rate, "%.1f ") + progress.unit + "/s";
  if (progress.total > progress.done && rate > 0) {
    line +=
        " | " + duration_text(static_cast<double>(progress.total - progress.done) / rate) + " left";
  }
  if (!progress.text.empty()) line += " | " + progress.text;
  return width_columns > 0 ? fitted(line, width_columns) : line;
}

ProgressBar::ProgressBar(std::string label) : ProgressBar(std::move(label), Options()) {}

ProgressBar::ProgressBar(std::string label, Options options)
    : label_(std::move(label)), options_(std::move(options)) {
  if (!options_.now_s) options_.now_s = &steady_seconds;
  if (options_.width_columns < 0) options_.width_columns = terminal_width(options_.out);
  started_s_ = options_.now_s();
  last_s_ = started_s_ - 1e9;  // the first event is always shown
}

ProgressBar::~ProgressBar() { finish(); }

void ProgressBar::operator()(const Progress& progress) {
  latest_ = progress;
  pending_ = true;
  const double now_s = options_.now_s();
  const bool terminal = options_.width_columns > 0;
  const bool last = progress.total > 0 && progress.done >= progress.total;
  if (!last && now_s - last_s_ < (terminal ? kRedrawEveryS : options_.plain_every_s)) return;
  last_s_ = now_s;
  print(progress_line(
      progress, now_s - started_s_,
      terminal ? std::max(1, options_.width_columns - 1 - static_cast<int>(label_.size()) - 1)
               : 0));
}

void ProgressBar::print(const std::string& line) {
  pending_ = false;
  if (options_.width_columns > 0) {
    // Return to the first column, draw, and clear what an older, longer line left behind.
    std::fprintf(options_.out, "\r%s %s\x1b[K", label_.c_str(), line.c_str());
    line_open_ = true;
  } else {
    std::fprintf(options_.out, "%s %s\n", label_.c_str(), line.c_str());
  }
  std::fflush(options_.out);
}

void ProgressBar::finish() {
  if (pending_) {
    const int room = options_.width_columns - 2 - static_cast<int>(label_.size());
    print(progress_line(latest_, options_.now_s() - started_s_,
                        options_.width_columns > 0 ? std::max(1, room) : 0));
  }
  if (line_open_) {
    std::fputc('\n', options_.out);
    std::fflush(options_.out);
    line_open_ = false;
  }
}

}  // namespace pangu
