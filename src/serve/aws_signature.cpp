#include "serve/aws_signature.h"

#include <openssl/evp.h>
#include <openssl/hmac.h>

#include <array>
#include <cstdint>
#include <map>

#include "core/error.h"
#include "core/hash.h"

namespace pangu::serve {
namespace {

constexpr size_t kDateDigits = 8;  // of 20130524T000000Z

std::string hmac(std::string_view key, std::string_view text) {
  std::array<uint8_t, EVP_MAX_MD_SIZE> digest;
  unsigned size = 0;
  if (!HMAC(EVP_sha256(), key.data(), static_cast<int>(key.size()),
            reinterpret_cast<const uint8_t*>(text.data()), text.size(), digest.data(), &size)) {
    throw Error(ErrorCode::kInternal, "HMAC-SHA256 failed");
  }
  return {reinterpret_cast<const char*>(digest.data()), size};
}

std::string hex_of_text(const std::string& bytes) {
  return hex_of({reinterpret_cast<const uint8_t*>(bytes.data()), bytes.size()});
}

}  // namespace

std::string encoded_path(std::string_view path) {
  constexpr std::string_view kDigits = "0123456789ABCDEF";
  constexpr std::string_view kPlain =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";
  std::string encoded;
  for (const char c : path) {
    if (kPlain.find(c) != std::string_view::npos) {
      encoded += c;
      continue;
    }
    const auto byte = static_cast<uint8_t>(c);
    encoded += {'%', kDigits[byte >> 4], kDigits[byte & 15]};
  }
  return encoded;
}

std::vector<std::pair<std::string, std::string>> aws_headers(const AwsRequest& request,
                                                             const AwsIdentity& identity,
                                                             const std::string& time) {
  const std::string date = time.substr(0, kDateDigits);
  const std::string body_hash = sha256_hex(request.body);
  std::map<std::string, std::string> headers = {
      {"host", request.host}, {"x-amz-content-sha256", body_hash}, {"x-amz-date", time}};
  if (!identity.session_token.empty()) headers["x-amz-security-token"] = identity.session_token;
  std::string lines, names;
  for (const auto& [name, value] : headers) {
    lines += name + ":" + value + "\n";
    names += (names.empty() ? "" : ";") + name;
  }
  // The query, which no request of ours has, is the empty line.
  const std::string canonical =
      request.method + "\n" + request.path + "\n\n" + lines + "\n" + names + "\n" + body_hash;
  const std::string scope = date + "/" + identity.region + "/s3/aws4_request";
  const std::string text =
      "AWS4-HMAC-SHA256\n" + time + "\n" + scope + "\n" + sha256_hex(canonical);
  const std::string key = hmac(
      hmac(hmac(hmac("AWS4" + identity.secret_key, date), identity.region), "s3"), "aws4_request");
  headers["Authorization"] = "AWS4-HMAC-SHA256 Credential=" + identity.access_key + "/" + scope +
                             ",SignedHeaders=" + names +
                             ",Signature=" + hex_of_text(hmac(key, text));
  headers.erase("host");
  return {headers.begin(), headers.end()};
}

}  // namespace pangu::serve
