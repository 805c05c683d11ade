// Golden numbers from NumPy 2.4: RandomState(seed).randint / random_sample / randn.
#include "core/rng_numpy.h"

#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "core/error.h"

using namespace pangu;

TEST_CASE("the generator's words and uniforms are those of RandomState") {
  struct Case {
    uint64_t seed;
    uint32_t words[3];
    double uniform;  // after them
  };
  for (const Case& c : {Case{0, {2357136044u, 2546248239u, 3071714933u}, 0.8442657485810173},
                        {42, {1608637542u, 3421126067u, 4083286876u}, 0.1834347898661638},
                        {4294967295u, {419326371u, 479346978u, 3918654476u}, 0.5626933782475836}}) {
    CAPTURE(c.seed);
    NumpyRandom random(c.seed);
    for (const uint32_t word : c.words) CHECK(random.next_u32() == word);
    CHECK(random.uniform() == c.uniform);
  }
}

TEST_CASE("randn gives RandomState's normals, in pairs and far down the stream") {
  struct Case {
    uint64_t seed;
    double first[5];
    double sum_of_magnitudes, after;  // of 100000 normals, and the normal after them
  };
  for (const Case& c : {Case{0,
                             {1.764052345967664, 0.4001572083672233, 0.9787379841057392,
                              2.240893199201458, 1.8675579901499675},
                             79471.06292297062,
                             -0.48379749195754734},
                        {42,
                         {0.4967141530112327, -0.13826430117118466, 0.6476885381006925,
                          1.5230298564080254, -0.23415337472333597},
                         79876.31225633335,
                         1.0305945879905796},
                        {4294967295u,
                         {0.6484086742306527, 0.6693235306338161, -1.0805437227474493,
                          0.2845010447986309, 0.11388773652167104},
                         80228.2412734685,
                         0.1035678784622017}}) {
    CAPTURE(c.seed);
    NumpyRandom random(c.seed), again(c.seed);
    double sum = 0.0;
    for (int i = 0; i < 100000; ++i) {
      const double value = random.normal();
      if (i < 5) CHECK(value == doctest::Approx(c.first[i]).epsilon(1e-15));
      sum += std::abs(value);
    }
    CHECK(sum == doctest::Approx(c.sum_of_magnitudes).epsilon(1e-13));
    CHECK(random.normal() == doctest::Approx(c.after).epsilon(1e-15));
    std::vector<float> rounded(3), rest(2);
    again.fill_normal(rounded.data(), 3);  // an odd count keeps the second of a pair
    again.fill_normal(rest.data(), 2);
    CHECK(rounded[2] == static_cast<float>(c.first[2]));
    CHECK(rest[0] == static_cast<float>(c.first[3]));
    CHECK(rest[1] == static_cast<float>(c.first[4]));
  }
}

TEST_CASE("permutations are NumPy's, and the numbers behind them too") {
  // numpy.random.RandomState(2020): permutation(10), choice(7, 3, replace=False),
  // permutation(100000), then randint(0, 2**32, dtype=uint32); NumPy 2.4.
  NumpyRandom random(2020);
  CHECK(random.permutation(10) == std::vector<int64_t>{2, 4, 9, 1, 5, 7, 6, 3, 8, 0});
  const std::vector<int64_t> chosen = random.permutation(7);
  CHECK(std::vector<int64_t>(chosen.begin(), chosen.begin() + 3) == std::vector<int64_t>{4, 3, 1});
  const std::vector<int64_t> many = random.permutation(100000);
  CHECK(many[0] == 24258);
  CHECK(many[3] == 74488);
  CHECK(many.back() == 45195);
  CHECK(random.next_u32() == 0x4ef28f49u);
  CHECK(random.permutation(0).empty());
}

TEST_CASE("a seed that NumPy refuses is an error") {
  CHECK_THROWS_WITH_AS(NumpyRandom(uint64_t{1} << 32), doctest::Contains("4294967295"), Error);
}
