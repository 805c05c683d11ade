#include "train/metrics_page.h"

#include <doctest/doctest.h>

#include <cstdlib>
#include <string>
#include <vector>

using pangu::train::metrics_page;

namespace {

std::string line(int step, double loss) {
  return "{\"step\":" + std::to_string(step) + ",\"loss\":" + std::to_string(loss) +
         ",\"learning_rate\":0.001,\"samples_per_second\":50,\"seconds\":" + std::to_string(step) +
         ",\"skipped\":0}\n";
}

int count(const std::string& text, const std::string& word) {
  int n = 0;
  for (size_t at = text.find(word); at != std::string::npos; at = text.find(word, at + 1)) ++n;
  return n;
}

// x, y, x, y, ... of the n-th line.
std::vector<double> points(const std::string& page, int n) {
  size_t at = 0;
  for (int i = 0; i <= n; ++i) at = page.find("points=\"", at) + 8;
  const std::string text = page.substr(at, page.find('"', at) - at);
  std::vector<double> numbers;
  for (const char* p = text.c_str(); *p;) {
    char* end = nullptr;
    numbers.push_back(std::strtod(p, &end));
    for (p = end; *p == ',' || *p == ' ';) ++p;
  }
  return numbers;
}

}  // namespace

TEST_CASE("three plots of two curves, inside their frame, that fall as the loss falls") {
  std::string jsonl;
  for (int i = 1; i <= 3000; ++i) jsonl += line(i * 20, 2.0 / i + 0.01 * (i % 3));
  const std::string page = metrics_page("out/run", jsonl);
  CHECK(count(page, "<svg") == 3);
  CHECK(count(page, "<polyline") == 6);
  CHECK(page.size() < 100'000);  // however long the run
  const std::vector<double> smooth = points(page, 1);
  CHECK(smooth.size() == 1000);
  for (size_t i = 0; i < smooth.size(); i += 2) {
    CHECK(smooth[i] >= 0);
    CHECK(smooth[i] <= 860);
    CHECK(smooth[i + 1] >= 0);
    CHECK(smooth[i + 1] <= 260);
  }
  CHECK(smooth.back() > smooth[1] + 100);  // down is larger in SVG
}

TEST_CASE("a page needs nothing from elsewhere and shows its title as text") {
  const std::string page = metrics_page("<b>&\"", line(20, 1) + line(40, 1));
  CHECK(count(page, "http") == 0);
  CHECK(count(page, "<script") == 0);
  CHECK(count(page, "<b>") == 0);
}

TEST_CASE("lines that are none, not finite or of an earlier step are left out") {
  const std::string whole = metrics_page("run", line(20, 1) + line(40, 0.5));
  CHECK(metrics_page("run", "half a li\n[]\n" + line(20, 1) + line(40, 0.5) + line(20, 3) +
                                "{\"step\":60,\"loss\":null}\n{\"step\":\"x\",\"loss\":1}\n") ==
        whole);
  CHECK(count(metrics_page("run", ""), "Nothing is logged yet") == 3);
  CHECK(count(metrics_page("run", line(20, 1)), "nan") == 0);
}
