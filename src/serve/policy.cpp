#include "serve/policy.h"

#include <algorithm>
#include <cctype>

#include "core/hash.h"

namespace pangu::serve {
namespace {

constexpr std::string_view kCookie = "pangu_session";
constexpr size_t kMostSessions = 10000;

std::string lower(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  return text;
}

// "name:80" -> "name"; "[::1]:80" -> "[::1]".
std::string without_port(const std::string& host) {
  const size_t colon = host.rfind(':');
  if (colon == std::string::npos || host.find(']', colon) != std::string::npos) return host;
  return host.substr(0, colon);
}

bool is_known(const std::vector<std::string>& hosts, const std::string& host) {
  return std::any_of(hosts.begin(), hosts.end(), [&](const std::string& known) {
    return known == host || (without_port(known) == known && known == without_port(host));
  });
}

std::string cookie_of(const HttpRequest& request) {
  std::string_view rest = request.header("cookie");
  while (!rest.empty()) {
    const size_t end = std::min(rest.find(';'), rest.size());
    std::string_view pair = rest.substr(0, end);
    rest.remove_prefix(std::min(end + 1, rest.size()));
    while (!pair.empty() && pair.front() == ' ') pair.remove_prefix(1);
    const size_t equals = pair.find('=');
    if (pair.substr(0, equals) == kCookie && equals != std::string_view::npos) {
      return std::string(pair.substr(equals + 1));
    }
  }
  return "";
}

// The key that a request brings along, in a header that anyone may set.
std::string key_of(const HttpRequest& request) {
  const std::string key = key_of_header(request.header("authorization"));
  return key.empty() ? request.header("x-api-key") : key;
}

}  // namespace

std::vector<std::string> hosts_of(const std::string& host, int port,
                                  const std::vector<std::string>& more) {
  constexpr int kHttp = 80;  // which browsers leave out
  const std::string end = port == kHttp ? "" : ":" + std::to_string(port);
  std::vector<std::string> hosts = {"localhost" + end, "127.0.0.1" + end, "[::1]" + end};
  if (host != "0.0.0.0" && host != "::") {
    const bool bare_v6 = host.find(':') != std::string::npos && host.front() != '[';
    hosts.push_back(lower(bare_v6 ? "[" + host + "]" : host) + end);
  }
  for (const std::string& one : more) hosts.push_back(lower(one));
  return hosts;
}

void Policy::check_origin(const HttpRequest& request) const {
  const std::string host = lower(request.header("host"));
  if (!is_known(options_.hosts, host)) {
    throw HttpError(403, "forbidden",
                    "Host: expected a name of this server, found '" + host.substr(0, 100) + "'",
                    "the key 'hosts' of the configuration lists further names");
  }
  const std::string origin = lower(request.header("origin"));
  if (!origin.empty()) {
    const size_t scheme = origin.find("://");
    const std::string site = scheme == std::string::npos ? "" : origin.substr(scheme + 3);
    if (!is_known(options_.hosts, site)) {
      throw HttpError(
          403, "forbidden",
          "Origin: expected this server's own page, found '" + origin.substr(0, 100) + "'");
    }
  }
  const std::string& site = request.header("sec-fetch-site");
  const bool own = site.empty() || site == "same-origin" || site == "none";
  const bool opens_page = request.path == "/" && request.method == "GET";
  if (!own && !opens_page) {
    throw HttpError(403, "forbidden", "the page of another site asks, which this server refuses");
  }
}

Caller Policy::caller_of(const HttpRequest& request) const {
  if (!has_keys()) return {"local", true};
  const std::string key = key_of(request);
  if (!key.empty()) {
    if (const auto owner = owner_of(options_.keys, key)) return *owner;
    throw HttpError(401, "unauthorized", "the key is not one of this server's");
  }
  const std::string cookie = cookie_of(request);
  const auto session = sessions_.find(sha256_hex(cookie));
  if (!cookie.empty() && session != sessions_.end()) return session->second;
  throw HttpError(401, "unauthorized", "this server wants a key",
                  "the header Authorization: Bearer KEY");
}

std::string Policy::open_session(const std::string& key) {
  const auto owner = has_keys() ? owner_of(options_.keys, key) : Caller{"local", true};
  if (!owner) throw HttpError(401, "unauthorized", "the key is not one of this server's");
  const std::string token = random_hex(32);
  if (sessions_.size() >= kMostSessions)
    sessions_.clear();  // whoever still needs one logs in again
  sessions_[sha256_hex(token)] = *owner;
  return std::string(kCookie) + "=" + token + "; HttpOnly; SameSite=Strict; Path=/";
}

std::string Policy::close_session(const HttpRequest& request) {
  sessions_.erase(sha256_hex(cookie_of(request)));
  return std::string(kCookie) + "=; HttpOnly; SameSite=Strict; Path=/; Max-Age=0";
}

}  // namespace pangu::serve
