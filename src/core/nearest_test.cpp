#include "core/nearest.h"

#include <doctest/doctest.h>

namespace pangu {
namespace {

using Words = std::vector<std::string>;

TEST_CASE("A slip of the keyboard costs one, whatever its kind") {
  CHECK(edit_distance("steps", "steps") == 0);
  for (const char* slip : {"step", "stepss", "stepz", "setps"}) {
    CAPTURE(slip);
    CHECK(edit_distance(slip, "steps") == 1);
  }
  CHECK(edit_distance("", "steps") == 5);
  CHECK(edit_distance("steps", "") == 5);
  CHECK(edit_distance("kitten", "sitting") == 3);
}

TEST_CASE("The nearest words come nearest first, and those far away do not come") {
  const Words known = {"draw", "train", "train-bridge", "data", "inspect"};
  CHECK(nearest_words("drwa", known) == Words{"draw"});
  CHECK(nearest_words("TRAIN", known) == Words{"train", "train-bridge"});
  CHECK(nearest_words("paint", known).empty());
  CHECK(nearest_words("", known).empty());
  CHECK(nearest_words(std::string(100'000, 'x'), known).empty());
  CHECK(nearest_words("dat", {"data", "date", "dat1", "dat2"}, 2) == Words{"data", "date"});
}

TEST_CASE("A word that is part of a known one is near it") {
  CHECK(nearest_words("--image", {"--init-image", "--image-prompt", "--size"}) ==
        Words{"--init-image", "--image-prompt"});
  CHECK(nearest_words("--guidance-scale", {"--guidance", "--seed"}) == Words{"--guidance"});
}

TEST_CASE("A hint asks for what was meant") {
  CHECK(did_you_mean("eular", {"euler", "lms"}) == "did you mean 'euler'?");
  CHECK(did_you_mean("dat", {"data", "date"}) == "did you mean 'data' or 'date'?");
  CHECK(did_you_mean("zzzzzz", {"data", "date"}).empty());
}

}  // namespace
}  // namespace pangu
