#include "pipeline/latent_space.h"

#include <unordered_set>

#include "core/testing.h"

namespace pangu::pipeline {
namespace {

TEST_CASE("the name of a latent space says its encoder, scale and shift") {
  CHECK(LatentSpace{"ab12", 0.18215, 0.0}.text() == "ab12 x 0.182150");
  CHECK(LatentSpace{"pixels / 8", 0.25, 0.62}.text() == "pixels / 8 x 0.250000 - 0.620000");
  for (const LatentSpace& space :
       {LatentSpace{"ab12", 0.18215, 0.0}, LatentSpace{"pixels / 8", 0.25, 0.62},
        LatentSpace{"ab12", 2.0, -0.5}}) {
    const LatentSpace read = LatentSpace::parse(space.text());
    CHECK(read.encoder == space.encoder);
    CHECK(read.scaling_factor == space.scaling_factor);
    CHECK(read.shift_factor == space.shift_factor);
  }
  for (const char* other :
       {"", "ab12", "a x b", "a x 0.5 - b", "a x 0", "a x -1", "a - 2", " x ", "a x nan"}) {
    const LatentSpace read = LatentSpace::parse(other);
    CHECK_MESSAGE(read.encoder == other, other);
    CHECK(read.scaling_factor == 1.0);
    CHECK(read.shift_factor == 0.0);
  }
}

TEST_CASE("a latent space is equal to the one that a file names") {
  const LatentSpace space{"ab12", 1.0 / 3, 0.0};
  CHECK(LatentSpace::parse(space.text()) == space);
  CHECK(LatentSpace::parse("ab12") == LatentSpace{"ab12", 1.0, 0.0});
  CHECK(!(space == LatentSpace{"ab12", 0.25, 0.0}));
  CHECK(!(space == LatentSpace{"ab13", 1.0 / 3, 0.0}));
  const std::unordered_set<LatentSpace> known = {space};
  CHECK(known.count(LatentSpace::parse(space.text())) == 1);
}

TEST_CASE("latents of one encoder differ by a linear map") {
  const LatentSpace a{"e", 0.5, 0.1}, b{"e", 0.25, -0.3};
  const double z = 0.7;  // of the encoder
  const auto [by, plus] = linear_map(a, b);
  CHECK((z - 0.1) * 0.5 * by + plus == doctest::Approx((z + 0.3) * 0.25));
}

}  // namespace
}  // namespace pangu::pipeline
