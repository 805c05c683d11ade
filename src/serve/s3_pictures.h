// Pictures as objects of an S3-compatible service, PREFIX/ID each.
#pragma once
#include <curl/curl.h>

#include <filesystem>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "serve/aws_signature.h"
#include "serve/picture_store.h"

namespace pangu::serve {

struct S3Place {
  std::string endpoint;  // "https://s3.eu-west-1.amazonaws.com"
  std::string bucket, prefix;
  AwsIdentity identity;
};

bool is_s3_url(std::string_view url);
// Of s3://BUCKET or s3://BUCKET/PREFIX and the environment: AWS_ACCESS_KEY_ID,
// AWS_SECRET_ACCESS_KEY, AWS_SESSION_TOKEN, AWS_REGION (or AWS_DEFAULT_REGION), AWS_ENDPOINT_URL_S3
// (or AWS_ENDPOINT_URL). Error kBadInput names what is missing.
S3Place s3_place_of(const std::string& url);

// Every call may be made from any thread. A request is given up after seconds: StoreAway, as for an
// answer of 500 and above; what the service refuses is kIo with the service's own code.
class S3Pictures final : public PictureStore {
 public:
  // Writes an object of a few bytes, so that a wrong key or bucket shows at the start.
  explicit S3Pictures(S3Place place);
  ~S3Pictures() override;

  void write(const StoredPicture& picture, std::string_view bytes) const override;
  std::string read(const std::string& id) const override;
  bool has(const std::string& id) const override;
  void remove(const std::string& id) const override;
  // Downloads it into a folder of this process; of those the ones used last stay.
  std::string path_of(const std::string& id) const override;

 private:
  struct Answer {
    long status = 0;
    std::string body;
  };
  struct CloseCurl {
    void operator()(CURL* handle) const { curl_easy_cleanup(handle); }
  };
  using Handle = std::unique_ptr<CURL, CloseCurl>;

  // Error kIo for a status of 400 and above, but for 404.
  Answer ask(const std::string& method, const std::string& name, std::string_view body = {},
             const std::string& type = {}) const;
  Handle take_handle() const;
  void trim_folder() const;

  S3Place place_;
  std::filesystem::path folder_;
  mutable std::mutex mutex_;
  mutable std::vector<Handle> handles_;  // that are idle, with their connections
};

}  // namespace pangu::serve
