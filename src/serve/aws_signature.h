// Signs requests to S3-compatible services: AWS Signature Version 4 with a payload in one piece
// (https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-header-based-auth.html). It sends
// nothing. CURLOPT_AWS_SIGV4 is not used, for what it signs differs between versions of libcurl.
#pragma once
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace pangu::serve {

struct AwsIdentity {
  std::string access_key, secret_key;
  std::string session_token = {};  // of temporary keys; empty: none
  std::string region = "us-east-1";
};

struct AwsRequest {
  std::string method;  // "GET"
  std::string host;    // as the Host header says it, with a port that is not the scheme's own
  std::string path;    // as it is sent: encoded, from the first slash on
  std::string_view body = {};
};

// Every byte but letters, digits and "-._~" as %XX, and "/" as it is.
std::string encoded_path(std::string_view path);

// Headers for a request at `time`, "20130524T000000Z" in UTC: x-amz-date, x-amz-content-sha256,
// x-amz-security-token where there is one, and Authorization.
std::vector<std::pair<std::string, std::string>> aws_headers(const AwsRequest& request,
                                                             const AwsIdentity& identity,
                                                             const std::string& time);

}  // namespace pangu::serve
