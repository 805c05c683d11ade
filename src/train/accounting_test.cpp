// The numbers that strategies of training are compared by.
#include "train/accounting.h"

#include <doctest/doctest.h>
#include <torch/types.h>

#include <nlohmann/json.hpp>

#include "train/muon.h"

namespace pangu::train {
namespace {

TEST_CASE("the operations of a run are those of its samples and of the optimiser's steps") {
  Accounting a;
  a.samples = 640;
  a.steps = 10;
  a.pictures = 64;
  a.gflop_a_sample = 2;
  a.optimizer_gflop_a_step = 0.5;
  CHECK(a.gflop() == 1285.0);
  CHECK(a.epochs() == 10.0);
  CHECK(Accounting{}.epochs() == 0.0);
}

TEST_CASE("an accounting that is written is read as the same") {
  Accounting a;
  a.pictures = 3;
  a.parameters = 5;
  a.samples = 7;
  a.gflop_a_sample = 0.25;
  a.peak_memory_bytes = 1 << 20;
  a.seconds_a_picture = 0.125;
  CHECK(to_json(accounting_from(to_json(a))) == to_json(a));
  CHECK(accounting_from(nlohmann::json::object()).samples == 0);
}

TEST_CASE("the peak of memory is that since it was restarted") {
  constexpr int64_t kMany = int64_t{1} << 26;
  {
    const at::Tensor large = at::ones({kMany / 4});
  }
  restart_peak_memory();
  const int64_t before = peak_memory_bytes();
  CHECK(before > 0);
  {
    const at::Tensor large = at::ones({kMany});
  }
  // Pages of other sizes and other allocations make a few percent.
  CHECK(peak_memory_bytes() - before > kMany * 4 * 9 / 10);
}

TEST_CASE("Muon's products are counted on the smaller side of a matrix") {
  for (const auto dtype : {at::kFloat, at::kBFloat16}) {
    CHECK(orthogonalising_flop({3, 100}, dtype) == orthogonalising_flop({100, 3}, dtype));
    CHECK(orthogonalising_flop({8, 4, 3, 3}, dtype) == orthogonalising_flop({8, 36}, dtype));
  }
  // Five iterations of X X^T, A A and A X with A [2,2] and X [2,10].
  constexpr double kSquare = 2 * 2 * 2 * 2, kOblong = 2 * 2 * 2 * 10;
  CHECK(orthogonalising_flop({2, 10}, at::kBFloat16) == 5 * (2 * kOblong + kSquare));
  // X X^T; five squares, four products of factors and four pairs for the next square; one with X.
  CHECK(orthogonalising_flop({2, 10}, at::kFloat) == 2 * kOblong + 17 * kSquare);
  CHECK(orthogonalising_flop({8, 10}, at::kFloat) == orthogonalising_flop({8, 10}, at::kBFloat16));
}

}  // namespace
}  // namespace pangu::train
