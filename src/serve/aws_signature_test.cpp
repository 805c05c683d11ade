// Expected values are what botocore 1.44.8 (S3SigV4Auth) signs.
#include "serve/aws_signature.h"

#include "core/testing.h"

using namespace pangu;
using namespace pangu::serve;

namespace {

const AwsIdentity kIdentity{"AKIDEXAMPLE", "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY", "",
                            "eu-west-1"};
constexpr const char* kTime = "20261128T213005Z";

std::string value_of(const std::vector<std::pair<std::string, std::string>>& headers,
                     const std::string& name) {
  for (const auto& [key, value] : headers) {
    if (key == name) return value;
  }
  return "";
}

}  // namespace

TEST_CASE("a path is sent as it is signed: encoded but for its slashes") {
  CHECK(encoded_path("/draw/team a/\xc3\xa9+/abc") == "/draw/team%20a/%C3%A9%2B/abc");
}

TEST_CASE("an upload is signed as botocore signs it") {
  const auto headers = aws_headers(
      {"PUT", "127.0.0.1:8333", "/draw/team%20a/%C3%A9%2B/abc", "picture"}, kIdentity, kTime);
  CHECK(value_of(headers, "x-amz-date") == kTime);
  CHECK(value_of(headers, "x-amz-content-sha256") ==
        "2cea274d0bedc39ec4ab6ba9e59ec889e3ed6fb56a1cf088a64d9b383378dc97");
  CHECK(value_of(headers, "Authorization") ==
        "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20261128/eu-west-1/s3/aws4_request,"
        "SignedHeaders=host;x-amz-content-sha256;x-amz-date,"
        "Signature=3d641550f799967e2d29b34bda69922d600ea76a7016bd0812336a3930ef8447");
}

TEST_CASE("the token of temporary keys is signed with the rest") {
  AwsIdentity identity = kIdentity;
  identity.session_token = "TOKEN/x==";
  const auto headers =
      aws_headers({"GET", "s3.eu-west-1.amazonaws.com", "/draw/abc"}, identity, kTime);
  CHECK(value_of(headers, "x-amz-security-token") == "TOKEN/x==");
  CHECK(contains(value_of(headers, "Authorization"),
                 "Signature=f8a1a20ef6e2a0a8bfed342c1989bad14f3d12fa6d81d28881ea6f617ee51007"));
}
