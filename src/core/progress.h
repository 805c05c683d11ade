// The progress of long work: events that a library emits, and a bar that an application shows.
// Libraries take an OnProgress; only the application decides where it is drawn.
#pragma once
#include <cmath>
#include <cstdint>
#include <cstdio>
#include <functional>
#include <string>

namespace pangu {

struct Progress {
  int64_t done = 0;
  int64_t total = 0;           // 0: not known
  double loss = std::nan("");  // NaN: not shown
  double rate = std::nan("");  // units a second; NaN: done / elapsed time; 0: unknown, not shown
  const char* unit = "steps";  // what done, total and rate count
  std::string text;            // shown last
};

using OnProgress = std::function<void(const Progress&)>;

// "  12% [###-----] 120/1000 | loss 0.1234 | 83.1 samples/s | 1:23 left | text", cut to
// width_columns (0: not cut, and without the bar). Chinese characters count as two columns.
std::string progress_line(const Progress& progress, double elapsed_s, int width_columns);

// "0:07", "12:34", "3:04:05"; "?" if not finite.
std::string duration_text(double seconds);

// Redraws one line on a terminal, at most ten times a second. Elsewhere it prints a plain line
// every `plain_every_s` seconds and at the end. It is not thread-safe.
class ProgressBar {
 public:
  struct Options {
    std::FILE* out = stderr;
    double plain_every_s = 10;
    std::function<double()> now_s;  // a steady clock if empty
    int width_columns = -1;         // of the terminal; -1: ask `out`; 0: not a terminal
  };
  explicit ProgressBar(std::string label);
  ProgressBar(std::string label, Options options);
  ~ProgressBar();  // ends the line
  ProgressBar(const ProgressBar&) = delete;
  ProgressBar& operator=(const ProgressBar&) = delete;

  void operator()(const Progress& progress);

  // Ends the bar's line, so that other text can follow. The destructor calls it too.
  void finish();

 private:
  void print(const std::string& line);

  std::string label_;
  Options options_;
  double started_s_, last_s_;
  Progress latest_;
  bool pending_ = false;    // `latest_` has not been shown
  bool line_open_ = false;  // the cursor stands behind a bar
};

}  // namespace pangu
