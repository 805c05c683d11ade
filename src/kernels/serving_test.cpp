#include "kernels/serving.h"

#include <doctest/doctest.h>

#include <ostream>

using namespace pangu::kernels;

TEST_CASE(
    "on every level with kernels the table serves a shape by a level that such a machine has") {
  for (const Level machine : {Level::kAvx2, Level::kAvx512, Level::kAvx512Bf16, Level::kAmx}) {
    for (const Served served : {Served::kAttention, Served::kAttentionGradient, Served::kProduct,
                                Served::kRoundedProduct}) {
      for (const int64_t numbers : {2, 40, 320, 20000}) {
        for (const int64_t rows : {1, 9, 77, 100000}) {
          const Level level = level_in_table(machine, served, numbers, rows);
          CHECK(level <= machine);
          CHECK(level != Level::kAmxEmulated);
        }
      }
    }
  }
}

TEST_CASE("without kernels nothing is served, and tiles serve what the table of tiles says") {
  CHECK(level_in_table(Level::kPlain, Served::kAttention, 40, 4096) == Level::kPlain);
  CHECK(level_in_table(Level::kAvx512Bf16, Served::kAttention, 40, 4096) == Level::kAvx512Bf16);
  CHECK(level_in_table(Level::kAmx, Served::kAttention, 40, 4096) == Level::kAmx);
  CHECK(level_in_table(Level::kAmx, Served::kAttention, 512, 4096) == Level::kPlain);
  CHECK(level_in_table(Level::kAmx, Served::kRoundedProduct, 512, 9) == Level::kAmx);
  CHECK(level_in_table(Level::kAmx, Served::kProduct, 512, 9) == Level::kPlain);
}
