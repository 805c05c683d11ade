#include "image/image.h"

#include <doctest/doctest.h>
#include <rapidcheck.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "core/error.h"
#include "core/testing.h"
#include "image/exif.h"

using namespace pangu;
using namespace pangu::image;

namespace {

// Written by tools/make_image_fixtures.py: 16x12, red = 16 x, green = 20 y, blue = 64.
const std::string kFolder = std::string(kSourceDir) + "/tests/fuzz/corpus/image/";

Bytes bytes_of(const std::string& name) {
  std::ifstream file(kFolder + name, std::ios::binary);
  REQUIRE(file.good());
  return {std::istreambuf_iterator<char>(file), {}};
}

int difference_from_gradient(const Image& image) {
  int largest = 0;
  for (int y = 0; y < 12; ++y) {
    for (int x = 0; x < 16; ++x) {
      const uint8_t* pixel = image.at(x, y);
      largest = std::max({largest, std::abs(pixel[0] - x * 16), std::abs(pixel[1] - y * 20),
                          std::abs(pixel[2] - 64)});
    }
  }
  return largest;
}

std::string refusal(std::span<const uint8_t> bytes, const DecodeLimits& limits = {}) {
  return refusal_of([&] { decode_image(bytes, limits); });
}

}  // namespace

TEST_CASE("every kind of file decodes to 8-bit RGB or RGBA with the right colours") {
  struct Kind {
    const char* name;
    int channels;
    int tolerance;  // lossy formats and the palette of 16 colours round
  };
  for (const Kind& kind : {Kind{"rgb.png", 3, 0},
                           {"rgba.png", 4, 0},
                           {"palette.png", 3, 70},
                           {"baseline.jpg", 3, 6},
                           {"progressive.jpg", 3, 6},
                           {"cmyk.jpg", 3, 16},
                           {"lossy.webp", 3, 16},
                           {"lossless.webp", 4, 0}}) {
    CAPTURE(kind.name);
    const Image image = read_image(kFolder + kind.name);
    CHECK(image.width == 16);
    CHECK(image.height == 12);
    CHECK(image.channels == kind.channels);
    REQUIRE(image.pixels.size() == size_t(16 * 12 * kind.channels));
    CHECK(difference_from_gradient(image) <= kind.tolerance);
  }
}

TEST_CASE("grey pictures become equal channels, 16 bits keep the high ones") {
  for (const char* name : {"grey.png", "grey_alpha.png", "grey16.png", "one_bit.png", "grey.jpg"}) {
    CAPTURE(name);
    const Image image = read_image(kFolder + name);
    CHECK(image.channels == (std::string(name) == "grey_alpha.png" ? 4 : 3));
    for (int x = 0; x < 16; ++x) {
      CHECK(image.at(x, 6)[0] == image.at(x, 6)[1]);
      CHECK(image.at(x, 6)[0] == image.at(x, 6)[2]);
    }
  }
  CHECK(read_image(kFolder + "grey16.png").at(7, 3)[0] == 7 * 16);
}

TEST_CASE("a transparent palette entry gives alpha 0 exactly where it is used") {
  const Image opaque = read_image(kFolder + "palette.png");
  const Image image = read_image(kFolder + "palette_transparent.png");
  REQUIRE(image.channels == 4);
  int clear = 0;
  for (int y = 0; y < 12; ++y) {
    for (int x = 0; x < 16; ++x) {
      clear += image.at(x, y)[3] == 0;
      CHECK(std::equal(opaque.at(x, y), opaque.at(x, y) + 3, image.at(x, y)));
    }
  }
  CHECK(clear > 0);
  CHECK(clear < 16 * 12);
}

TEST_CASE("a photograph that the camera held sideways comes out upright, in every format") {
  for (const char* name : {"rotated.jpg", "rotated.png", "rotated_behind.png", "rotated.webp",
                           "rotated_marked.webp"}) {
    CAPTURE(name);
    const Image image = read_image(kFolder + name);
    REQUIRE(image.width == 12);
    REQUIRE(image.height == 16);
    // Turned clockwise, red grows downwards and green to the left.
    CHECK(std::abs(image.at(6, 15)[0] - 240) <= 8);  // JPEG rounds
    CHECK(std::abs(image.at(0, 8)[1] - 220) <= 8);
    CHECK(std::abs(image.at(11, 8)[1] - 0) <= 8);
  }
}

TEST_CASE("a damaged EXIF block leaves a picture as it is stored") {
  for (const char* name : {"rotated.png", "rotated.webp"}) {
    CAPTURE(name);
    const Bytes whole = bytes_of(name);
    const auto orientation =
        std::string(name) == "rotated.png" ? orientation_of_png : orientation_of_webp;
    REQUIRE(orientation(whole) == 6);
    int found = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
      const int cut = orientation(std::span(whole).first(size));
      CHECK((cut == 1 || cut == 6));
      found += cut == 6;
    }
    CHECK(found < int(whole.size()) - 26);  // the block alone has 26 bytes
  }
}

TEST_CASE("the eight orientations undo the eight ways to store a picture") {
  // A 2x3 picture "upright" is 0 1 / 2 3 / 4 5; each row lists how EXIF 2.3 stores it.
  const Image straight{2, 3, 3, {0, 0, 0, 1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 4, 5, 5, 5}};
  const std::vector<std::vector<uint8_t>> stored = {
      {0, 1, 2, 3, 4, 5}, {1, 0, 3, 2, 5, 4}, {5, 4, 3, 2, 1, 0}, {4, 5, 2, 3, 0, 1},
      {0, 2, 4, 1, 3, 5}, {1, 3, 5, 0, 2, 4}, {5, 3, 1, 4, 2, 0}, {4, 2, 0, 5, 3, 1}};
  for (int orientation = 1; orientation <= 8; ++orientation) {
    CAPTURE(orientation);
    Image image{orientation >= 5 ? 3 : 2, orientation >= 5 ? 2 : 3, 3, {}};
    for (const uint8_t value : stored[orientation - 1]) {
      image.pixels.insert(image.pixels.end(), 3, value);
    }
    CHECK(upright(image, orientation) == straight);
  }
}

TEST_CASE("every cut of every file is refused or decoded, never a crash") {
  for (const char* name : {"rgba.png", "palette_transparent.png", "progressive.jpg", "rotated.jpg",
                           "lossy.webp", "lossless.webp", "rotated.png"}) {
    const Bytes whole = bytes_of(name);
    int refused = 0;
    for (size_t size = 0; size < whole.size(); ++size) {
      const std::string said = refusal(std::span(whole).first(size));
      refused += said != "accepted";
      CHECK(said.find("non-recoverable") == std::string::npos);  // says nothing of the file
    }
    CAPTURE(name);
    // Without its end marker and last checksum a file still holds all pixels.
    CHECK(int(whole.size()) - refused <= 20);
  }
}

TEST_CASE("a peek at the header says what decoding will give") {
  for (const char* name :
       {"rgb.png", "rgba.png", "grey_alpha.png", "palette.png", "palette_transparent.png",
        "baseline.jpg", "rotated.jpg", "rotated.png", "rotated.webp", "rotated_behind.png",
        "cmyk.jpg", "lossy.webp", "lossless.webp"}) {
    CAPTURE(name);
    const ImageInfo info = peek_image(bytes_of(name));
    const Image image = decode_image(bytes_of(name));
    CHECK(info.width == image.width);
    CHECK(info.height == image.height);
    CHECK(info.has_alpha == (image.channels == 4));
  }
  CHECK_THROWS_AS(peek_image(bytes_of("animated.webp")), Error);
  CHECK_THROWS_AS(peek_image({}), Error);
}

TEST_CASE("limits hold before pixels are allocated") {
  const DecodeLimits narrow{15, 1 << 20}, few{1000, 16 * 12 - 1};
  for (const char* name : {"rgb.png", "baseline.jpg", "lossy.webp"}) {
    CAPTURE(name);
    CHECK(contains(refusal(bytes_of(name), narrow), "found 16x12"));
    CHECK(contains(refusal(bytes_of(name), few), "found 16x12"));
    CHECK(refusal(bytes_of(name), {16, 16 * 12}) == "accepted");
  }
}

TEST_CASE("other formats, animations and missing files are named errors") {
  const std::string gif = "GIF89a";
  CHECK(contains(refusal({reinterpret_cast<const uint8_t*>(gif.data()), gif.size()}),
                 "PNG, JPEG or WebP"));
  CHECK(contains(refusal({}), "no bytes"));
  CHECK(contains(refusal(bytes_of("animated.webp")), "animation"));
  try {
    read_image(kFolder + "none.png");
    FAIL("read a missing file");
  } catch (const Error& error) {
    CHECK(error.code() == ErrorCode::kIo);
    CHECK(contains(error.what(), "none.png"));
  }
}

TEST_CASE("any picture survives PNG and lossless WebP unchanged") {
  CHECK(rc::check([] {
    const int width = *rc::gen::inRange(1, 20), height = *rc::gen::inRange(1, 20);
    const int channels = *rc::gen::inRange(3, 5);
    Image image{width, height, channels, {}};
    image.pixels = *rc::gen::container<std::vector<uint8_t>>(size_t(width * height * channels),
                                                             rc::gen::arbitrary<uint8_t>());
    RC_ASSERT(decode_image(encode_png(image)) == image);
    if (channels == 3) RC_ASSERT(decode_image(encode_webp(image, {true, 50})) == image);
  }));
}

TEST_CASE("lossy WebP keeps a gradient, and more so at higher quality") {
  const Image image = read_image(kFolder + "rgb.png");
  const Bytes fine = encode_webp(image, {false, 95}), coarse = encode_webp(image, {false, 20});
  CHECK(difference_from_gradient(decode_image(fine)) <= 24);
  CHECK(coarse.size() < fine.size());
  CHECK_THROWS_AS(encode_webp(image, {false, 101}), Error);
  CHECK_THROWS_AS(encode_webp(Image{}), Error);
}

TEST_CASE("text in a PNG comes back, in Latin and in Chinese, short and long") {
  const TextChunks text = {{"parameters", "a red apple\nSteps: 20, Seed: 7"},
                           {"pangu", "{\"prompt\": \"蓝色的鲸鱼\"}"},
                           {"long", std::string(100000, 'x') + "é"}};
  const Image image = filled(3, 2, {1, 2, 3});
  const Bytes png = encode_png(image, text);
  CHECK(read_png_text(png) == text);
  TextChunks with_empty = text;
  with_empty["empty"] = "";
  CHECK(encode_png(image, with_empty) == png);
  CHECK(decode_image(png) == image);
  CHECK(read_png_text(encode_png(image)).empty());
  CHECK_THROWS_AS(encode_png(image, {{std::string(80, 'k'), "x"}}), Error);
  CHECK_THROWS_AS(encode_png(image, {{"", "x"}}), Error);
  CHECK_THROWS_AS(read_png_text(bytes_of("baseline.jpg")), Error);
}
