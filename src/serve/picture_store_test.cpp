// The contract of every PictureStore: files, and an S3-compatible service where the environment
// names one (tests/e2e/with_services.py does).
#include "serve/picture_store.h"

#include <stdlib.h>

#include <functional>

#include "core/testing.h"
#include "image/image.h"
#include "io/mapped_file.h"
#include "serve/picture_files.h"
#include "serve/s3_pictures.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

const char* s3_url() { return getenv("PANGU_TEST_S3"); }

std::string png_of_side(int side) {
  const image::Bytes bytes = image::encode_png(image::filled(side, side, {1, 2, 3}));
  return {bytes.begin(), bytes.end()};
}

void in_every_picture_store(const std::function<void(const PictureStore&)>& test) {
  {
    CAPTURE("files");
    const TestFolder folder;
    test(PictureFiles(folder.path / "pictures"));
  }
  if (!s3_url()) return;
  CAPTURE("S3");
  // A space and a plus, which wrong signatures fail at.
  test(S3Pictures(s3_place_of(std::string(s3_url()) + "/a b+c")));
}

}  // namespace

TEST_CASE("a picture is read as it was written, has a file, and is gone when removed") {
  in_every_picture_store([](const PictureStore& store) {
    const std::string png = png_of_side(8);
    const StoredPicture picture = picture_of_bytes(png, {}, 1);
    CHECK_FALSE(store.has(picture.id));
    CHECK_THROWS_AS(store.read(picture.id), Error);
    store.write(picture, png);
    store.write(picture, png);
    CHECK(store.has(picture.id));
    CHECK(store.read(picture.id) == png);
    CHECK(io::read_text_file(store.path_of(picture.id), 1 << 20) == png);
    store.remove(picture.id);
    store.remove(picture.id);
    CHECK_FALSE(store.has(picture.id));
  });
}

TEST_CASE("a wrong secret and a wrong key are refused" * doctest::skip(!s3_url())) {
  const S3Place right = s3_place_of(s3_url());
  const auto refused_as = [&](const std::function<void(S3Place&)>& change) -> std::string {
    S3Place place = right;
    change(place);
    try {
      S3Pictures{place};
    } catch (const Error& error) {
      return error.what();
    }
    return "accepted";
  };
  CHECK(contains(refused_as([](S3Place& place) { place.identity.secret_key += "x"; }),
                 "SignatureDoesNotMatch"));
  CHECK(contains(refused_as([](S3Place& place) { place.identity.access_key = "nobody"; }),
                 "InvalidAccessKeyId"));
  CHECK(refused_as([](S3Place&) {}) == "accepted");
}

TEST_CASE("a service that is away is StoreAway, so that the picture is kept and tried again") {
  S3Place place{"http://127.0.0.1:1", "bucket", "", {"key", "secret"}};
  CHECK_THROWS_AS(S3Pictures{place}, StoreAway);
}

TEST_CASE("an address names bucket and prefix, and the environment the rest") {
  setenv("AWS_ENDPOINT_URL_S3", "http://127.0.0.1:9000/", 1);
  const std::string key = getenv("AWS_ACCESS_KEY_ID") ? getenv("AWS_ACCESS_KEY_ID") : "";
  unsetenv("AWS_ACCESS_KEY_ID");
  CHECK(contains(refusal_of([] { s3_place_of("s3://bucket/a"); }), "AWS_ACCESS_KEY_ID"));
  setenv("AWS_ACCESS_KEY_ID", "key", 1);
  setenv("AWS_SECRET_ACCESS_KEY", "secret", 0);
  const S3Place place = s3_place_of("s3://bucket/a/b/");
  CHECK(place.bucket == "bucket");
  CHECK(place.prefix == "a/b");
  CHECK(place.endpoint == "http://127.0.0.1:9000");
  CHECK(contains(refusal_of([] { s3_place_of("s3:///a"); }), "no bucket"));
  unsetenv("AWS_ENDPOINT_URL_S3");
  if (!key.empty()) setenv("AWS_ACCESS_KEY_ID", key.c_str(), 1);
}
