#include "image/exif_text.h"

#include <doctest/doctest.h>

#include "core/error.h"
#include "core/testing.h"

using namespace pangu;
using namespace pangu::image;

namespace {

const TextChunks kText = {{"parameters", "a cat, 一只猫 \xF0\x9F\x90\xB1\nSteps: 4"},
                          {"pangu-draw", "{\"request\": {\"prompt\": \"一只猫\"}}"}};

Image gradient(int width, int height, int channels = 3) {
  Image image = filled(width, height, {0, 0, 64}, channels);
  for (int y = 0; y < height; ++y) {
    for (int x = 0; x < width; ++x) {
      image.at(x, y)[0] = static_cast<uint8_t>(x * 8);
      image.at(x, y)[1] = static_cast<uint8_t>(y * 8);
    }
  }
  return image;
}

double mean_off(const Image& a, const Image& b) {
  REQUIRE(a.pixels.size() == b.pixels.size());
  double sum = 0;
  for (size_t i = 0; i < a.pixels.size(); ++i) sum += std::abs(a.pixels[i] - b.pixels[i]);
  return sum / static_cast<double>(a.pixels.size());
}

Bytes block(const std::string& text) { return {text.begin(), text.end()}; }

// A TIFF block with one directory of one EXIF directory with this comment.
Bytes comment_block(bool big_endian, const std::string& comment) {
  const auto number = [&](uint32_t value, int size) {
    std::string text;
    for (int i = 0; i < size; ++i) {
      text += static_cast<char>(value >> 8 * (big_endian ? size - 1 - i : i));
    }
    return text;
  };
  return block((big_endian ? "MM" : "II") + number(42, 2) + number(8, 4) + number(1, 2) +
               number(0x8769, 2) + number(4, 2) + number(1, 4) + number(26, 4) + number(0, 4) +
               number(1, 2) + number(0x9286, 2) + number(7, 2) +
               number(static_cast<uint32_t>(comment.size()), 4) + number(44, 4) + number(0, 4) +
               comment);
}

}  // namespace

TEST_CASE("every format of a picture carries its text, and its pixels survive") {
  for (const int channels : {3, 4}) {
    const Image image = gradient(32, 24, channels);
    for (const FileFormat format : {FileFormat::kPng, FileFormat::kJpeg, FileFormat::kWebp}) {
      const Bytes bytes = encode_image(image, format, kText);
      CHECK(read_text(bytes) == kText);
      const Image again = decode_image(bytes);
      CHECK(again.width == 32);
      CHECK(again.height == 24);
      // 2 of 255: what the qualities that are usual for pictures lose of a smooth one.
      if (again.channels == channels) CHECK(mean_off(image, again) < 2.0);
      CHECK(read_text(encode_image(image, format)).empty());
    }
  }
}

TEST_CASE("a lossless WebP with alpha keeps it beside its text") {
  Image image = gradient(5, 7, 4);
  image.at(1, 1)[3] = 10;
  const Bytes bytes =
      webp_with_exif(encode_webp(image, {.lossless = true}), exif_of_text(kText), 5, 7);
  CHECK(decode_image(bytes).at(1, 1)[3] == 10);
  CHECK(read_text(bytes) == kText);
}

TEST_CASE("comments of other programs are read in both orders of bytes and as ASCII") {
  const std::string unicode("UNICODE\0", 8), ascii("ASCII\0\0\0", 8);
  for (const bool file_order : {true, false}) {
    for (const std::string& comment :
         {unicode + std::string("\0a\0b", 4), unicode + std::string("a\0b\0", 4),
          unicode + std::string("\xFE\xFF\0a\0b", 6),
          unicode + std::string("\xFF\xFE"
                                "a\0b\0",
                                6),
          ascii + "ab"}) {
      const TextChunks found = text_of_exif(comment_block(file_order, comment));
      REQUIRE(found.count("parameters") == 1);
      CHECK(found.at("parameters") == "ab");
    }
  }
}

TEST_CASE("every cut of a block is read without harm") {
  const Bytes whole = exif_of_text(kText);
  for (size_t size = 0; size < whole.size(); ++size) {
    CHECK(text_of_exif(std::span(whole).first(size)).size() <= kText.size());
  }
  CHECK(text_of_exif(whole) == kText);
}

TEST_CASE("a JPEG refuses more text than it can hold, and says what holds it") {
  const Image image = gradient(8, 8);
  const TextChunks text = {{"parameters", std::string(40000, 'x')}};
  const std::string refused = refusal_of([&] { encode_image(image, FileFormat::kJpeg, text); });
  CHECK(contains(refused, "64 kB"));
  CHECK(contains(refused, ".webp"));
  CHECK(read_text(encode_image(image, FileFormat::kWebp, text)) == text);
}

TEST_CASE("a format is told by the end of a name, in any case") {
  CHECK(format_of_name("a/b.PNG") == FileFormat::kPng);
  CHECK(format_of_name("b.Jpeg") == FileFormat::kJpeg);
  CHECK(format_of_name("b.jpg") == FileFormat::kJpeg);
  CHECK(format_of_name("x.y.webp") == FileFormat::kWebp);
  CHECK_FALSE(format_of_name("png"));
  CHECK_FALSE(format_of_name("a.gif"));
}
