#include "app/table.h"

#include <doctest/doctest.h>

using namespace pangu::app;

TEST_CASE("columns are as wide as their widest cell, numbers to the right") {
  CHECK(table({{"name", "1"}, {"x", "200"}}) == "name    1\nx     200\n");
}

TEST_CASE("a Chinese character takes two columns") {
  CHECK(table({{"苹果", "a"}, {"four", "b"}}) == "苹果  a\nfour  b\n");
}

TEST_CASE("sizes and counts are rounded to what a person reads") {
  CHECK(human_bytes(0) == "0 B");
  CHECK(human_bytes(999) == "999 B");
  CHECK(human_bytes(1500) == "1.5 kB");
  CHECK(human_bytes(123456789) == "123 MB");
  CHECK(human_count(12345678) == "12.3 M");
  CHECK(human_count(7) == "7");
}
