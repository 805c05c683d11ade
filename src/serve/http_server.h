// HTTP/1.1 on a listening socket: connections with their limits of time and size, requests as
// values (http.h) to a Router, answers and streams back. What a request means is not known here.
#pragma once
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "serve/policy.h"
#include "serve/router.h"

namespace boost::asio {
class io_context;
}

namespace pangu::serve {

struct ServerOptions {
  std::string host = "127.0.0.1";
  int port = 0;  // 0: any free one
  int most_connections = 256;
  size_t header_bytes = size_t{16} << 10;
  size_t json_bytes = size_t{1} << 20;  // of bodies whose route says no limit of its own
  double receive_seconds = 30;          // in which a request must have come whole
  double stall_seconds = 30;            // in which a client must take something of an answer
};

class HttpServer {
 public:
  // Listens at once; accepts nothing before start(). Error kUnavailable if the address is in use or
  // is none of this machine.
  HttpServer(boost::asio::io_context& loop, ServerOptions options);
  ~HttpServer();

  int port() const;
  // The router and the policy outlive the server.
  void start(const Router& router, const Policy& policy);
  // Accepts no further connections; those that there are end when they are done.
  void stop();
  int64_t connections() const;

 private:
  struct State;
  std::shared_ptr<State> state_;
};

}  // namespace pangu::serve
