#include "serve/frames.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

TEST_CASE("frames are read however the stream is cut") {
  const std::string stream = to_bytes({{{"type", "a"}}, std::string("\0\1", 2)}) +
                             to_bytes({{{"type", "b"}}, ""}) + to_bytes({{{"n", 3}}, "xyz"});
  for (const size_t piece : {1, 3, 7, 1000}) {
    CAPTURE(piece);
    FrameReader reader;
    std::vector<Frame> frames;
    for (size_t at = 0; at < stream.size(); at += piece) {
      reader.add(std::string_view(stream).substr(at, piece));
      while (auto frame = reader.next()) frames.push_back(*frame);
    }
    REQUIRE(frames.size() == 3);
    CHECK(frames[0].head["type"] == "a");
    CHECK(frames[0].bytes == std::string("\0\1", 2));
    CHECK(frames[1].bytes.empty());
    CHECK(frames[2].bytes == "xyz");
  }
}

TEST_CASE("a length above the limits and a head that is no object are refused") {
  FrameReader reader;
  reader.add(std::string_view("\xff\xff\xff\xff\0\0\0\0", 8));
  CHECK(contains(refusal_of([&] { reader.next(); }), "frame"));
  FrameReader other;
  other.add(std::string_view("\0\0\0\2\0\0\0\0[]", 10));
  CHECK(contains(refusal_of([&] { other.next(); }), "JSON object"));
}
