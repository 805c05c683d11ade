#include "core/progress.h"

#include <doctest/doctest.h>

#include <string>

using namespace pangu;

namespace {

std::string content_of(std::FILE* file) {
  std::string text;
  std::rewind(file);
  for (int c = std::fgetc(file); c != EOF; c = std::fgetc(file)) text += static_cast<char>(c);
  return text;
}

Progress step(int64_t done, int64_t total) {
  Progress progress;
  progress.done = done;
  progress.total = total;
  return progress;
}

}  // namespace

TEST_CASE("a line shows share, count, loss, rate, time left and text") {
  Progress progress = step(250, 1000);
  progress.loss = 0.12345;
  progress.unit = "samples";
  progress.text = "structure";
  CHECK(progress_line(progress, 10, 0) ==
        " 25% 250/1000 | loss 0.1235 | 25.0 samples/s | 0:30 left | structure");
  progress.rate = 2;
  CHECK(progress_line(progress, 10, 200) ==
        " 25% [######------------------] 250/1000 | loss 0.1235 | 2.0 samples/s | 6:15 left | "
        "structure");
}

TEST_CASE("an unknown total and no time passed leave out what is not known") {
  CHECK(progress_line(step(3, 0), 0, 0) == "3 steps");
  CHECK(progress_line(step(0, 10), 5, 0) == "  0% 0/10");
  CHECK(progress_line(step(10, 10), 5, 0) == "100% 10/10 | 2.0 steps/s");
}

TEST_CASE("a line never exceeds its width, and wide characters are not cut in two") {
  Progress progress = step(1, 0);
  progress.text = "蓝色的鲸鱼";
  CHECK(progress_line(progress, 0, 13) == "1 steps | 蓝");
  CHECK(progress_line(progress, 0, 12) == "1 steps | 蓝");
  CHECK(progress_line(progress, 0, 11) == "1 steps | ");
}

TEST_CASE("durations are read at a glance") {
  CHECK(duration_text(7.4) == "0:07");
  CHECK(duration_text(754) == "12:34");
  CHECK(duration_text(3 * 3600 + 4 * 60 + 5) == "3:04:05");
  CHECK(duration_text(INFINITY) == "?");
}

TEST_CASE("a log gets plain lines, few, and always the last one") {
  std::FILE* file = std::tmpfile();
  double now_s = 0;
  {
    ProgressBar bar("train", {file, 10, [&] { return now_s; }, 0});
    for (int i = 0; i <= 25; ++i, now_s += 1) bar(step(i, 1000));
  }
  CHECK(content_of(file) ==
        "train   0% 0/1000\n"
        "train   1% 10/1000 | 1.0 steps/s | 16:30 left\n"
        "train   2% 20/1000 | 1.0 steps/s | 16:20 left\n"
        "train   2% 25/1000 | 1.0 steps/s | 16:54 left\n");
  std::fclose(file);
}

TEST_CASE("a terminal gets one line that is drawn over, at most ten times a second") {
  std::FILE* file = std::tmpfile();
  double now_s = 0;
  {
    ProgressBar bar("draw", {file, 10, [&] { return now_s; }, 60});
    for (int i = 0; i <= 100; ++i, now_s += 0.01) bar(step(i, 100));
  }
  const std::string text = content_of(file);
  size_t drawn = 0;
  for (const char c : text) drawn += c == '\r';
  CHECK(drawn >= 10);
  CHECK(drawn <= 12);
  CHECK(text.find("100% [########################] 100/100") != std::string::npos);
  CHECK(text.back() == '\n');
  CHECK(text.find('\n') == text.size() - 1);
  std::fclose(file);
}
