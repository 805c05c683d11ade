// Who may ask the server what: Host and Origin against pages of other sites and against DNS
// rebinding, keys, sessions of the page. It knows no route's meaning and no socket.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "serve/http.h"
#include "serve/keys.h"

namespace pangu::serve {

struct PolicyOptions {
  // "localhost:7860", in lower case: what the Host of a request may say. A name without a port
  // stands for any port.
  std::vector<std::string> hosts;
  std::vector<ApiKey> keys;  // empty: everyone who may connect is the administrator "local"
};

// The hosts by which a server that listens on `host` and `port` is known: loopback's names, and
// `more` of the configuration. An address that stands for all interfaces adds nothing.
std::vector<std::string> hosts_of(const std::string& host, int port,
                                  const std::vector<std::string>& more);

class Policy {
 public:
  explicit Policy(PolicyOptions options) : options_(std::move(options)) {}

  // HttpError 403 if the Host is not the server's, if the Origin is another site's, or if a
  // browser says that another site's page asks.
  void check_origin(const HttpRequest& request) const;

  // Who asks. HttpError 401 without a valid key or session, where the server has keys.
  Caller caller_of(const HttpRequest& request) const;
  bool has_keys() const { return !options_.keys.empty(); }

  // Opens a session; the value of its Set-Cookie. HttpError 401 for an unknown key.
  std::string open_session(const std::string& key);
  // Ends the request's session, if it has one; the Set-Cookie that removes it.
  std::string close_session(const HttpRequest& request);

 private:
  PolicyOptions options_;
  std::map<std::string, Caller> sessions_;  // by the hash of the cookie's value
};

}  // namespace pangu::serve
