#include "serve/http_server.h"

#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/core/tcp_stream.hpp>
#include <boost/beast/http.hpp>
#include <cctype>
#include <deque>
#include <limits>
#include <list>
#include <optional>

#include "core/error.h"

namespace pangu::serve {
namespace {

namespace asio = boost::asio;
namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;
using boost::system::error_code;

constexpr std::chrono::seconds kStreamBeat{15};
constexpr std::chrono::seconds kLinger{2};
constexpr std::chrono::milliseconds kLeastSending{500};  // before one makes way for others
constexpr std::chrono::milliseconds kPauseForRoom{20}, kPauseForEnd{1}, kPauseForFiles{100};
constexpr size_t kDropAbove = size_t{256} << 10;  // bytes of a stream that wait to be sent
constexpr size_t kCloseAbove = size_t{8} << 20;
constexpr double kSlowestBytesASecond = 128 << 10;  // of an upload

std::chrono::steady_clock::duration seconds_of(double seconds) {
  return std::chrono::duration_cast<std::chrono::steady_clock::duration>(
      std::chrono::duration<double>(seconds));
}

std::string lower_case(std::string_view text) {
  std::string lower(text);
  for (char& c : lower) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return lower;
}

// What every answer says beside its own headers.
template <class Message>
void add_headers(Message& message, const HttpResponse& response) {
  message.set("X-Content-Type-Options", "nosniff");
  message.set("Referrer-Policy", "no-referrer");
  message.set("Cross-Origin-Resource-Policy", "same-origin");
  message.set("Cache-Control", "no-store");
  for (const auto& [name, value] : response.headers) message.set(name, value);
}

}  // namespace

struct HttpServer::State : std::enable_shared_from_this<State> {
  explicit State(asio::io_context& loop, ServerOptions said)
      : options(std::move(said)), acceptor(loop) {}

  ServerOptions options;
  tcp::acceptor acceptor;
  const Router* router = nullptr;
  const Policy* policy = nullptr;
  int64_t connections = 0;
  // Connections that have yet to send a whole request, those that have been at it longest first.
  struct Sending {
    std::chrono::steady_clock::time_point since;
    std::function<void()> close;
  };
  std::list<Sending> sending;

  void accept();
  void accept_later(std::chrono::milliseconds pause);
  std::optional<std::chrono::milliseconds> pause_for_room();
};

namespace {

// One connection: reads a request, answers it, and so on. It lives as long as something of it is
// under way.
template <class ServerState>
class Connection : public std::enable_shared_from_this<Connection<ServerState>> {
 public:
  Connection(tcp::socket socket, std::shared_ptr<ServerState> server)
      : stream_(std::move(socket)),
        beat_(stream_.get_executor()),
        server_(std::move(server)),
        buffer_(server_->options.header_bytes + (size_t{64} << 10)) {
    ++server_->connections;
  }
  ~Connection() {
    if (leave_) leave_();
    end_sending();
    --server_->connections;
  }

  void read_head() {
    end_sending();
    const typename ServerState::Sending sending{std::chrono::steady_clock::now(), [this] {
                                                  end_sending();
                                                  stream_.close();
                                                }};
    sending_ = server_->sending.insert(server_->sending.end(), sending);
    parser_.emplace();
    parser_->header_limit(static_cast<uint32_t>(server_->options.header_bytes));
    // Set when the route is known. Boost 1.74 takes `none` for a limit that every body exceeds.
    parser_->body_limit(std::numeric_limits<uint64_t>::max());
    route_ = nullptr;
    stream_.expires_after(seconds_of(server_->options.receive_seconds));
    http::async_read_header(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](error_code failed, size_t) { self->on_head(failed); });
  }

 private:
  // Refuses a request whose body was not read, so that the connection cannot go on.
  void refuse(HttpResponse response) {
    closes_ = true;
    answer(std::move(response));
  }

  void on_head(error_code failed) {
    if (failed == http::error::end_of_stream) return close();
    if (failed == http::error::header_limit) {
      return refuse(error_response({431, "headers_too_large", "the request's head is too large"}));
    }
    if (failed == beast::error::timeout) return close();
    if (failed.category() == http::make_error_code(http::error::bad_method).category()) {
      return refuse(error_response({400, "bad_input", "the request is no HTTP/1.1"}));
    }
    if (failed) return close();
    request_ = {};
    size_t limit = 0;
    HttpResponse refusal = answered([&] {
      limit = admit();
      return HttpResponse{.status = 0};
    });
    if (refusal.status != 0) {
      if (refusal.status == 405) refusal.headers.emplace_back("Allow", allowed_);
      return refuse(std::move(refusal));
    }
    parser_->body_limit(limit);
    const double more =
        static_cast<double>(parser_->content_length().value_or(0)) / kSlowestBytesASecond;
    stream_.expires_after(seconds_of(server_->options.receive_seconds + more));
    if (beast::iequals(request_.header("expect"), "100-continue")) {
      static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
      asio::async_write(stream_, asio::buffer(kContinue),
                        [self = this->shared_from_this()](error_code lost, size_t) {
                          if (!lost) self->read_body();
                        });
      return;
    }
    read_body();
  }

  // The request's head as a value, its route and its caller. Bytes that its body may have.
  size_t admit() {
    const auto& message = parser_->get();
    if (message.version() != 10 && message.version() != 11) {
      throw HttpError(400, "bad_input", "the request is no HTTP/1.1");
    }
    request_.method = std::string(message.method_string());
    for (const auto& field : message) {
      std::string name = lower_case({field.name_string().data(), field.name_string().size()});
      std::string value(field.value());
      const auto [place, is_new] = request_.headers.emplace(name, value);
      if (is_new) continue;
      if (name == "host" || name == "authorization" || name == "content-type") {
        throw HttpError(400, "bad_input", name + ": expected once, found twice");
      }
      place->second += (name == "cookie" ? "; " : ", ") + value;
    }
    const auto target = message.target();
    if (!set_target({target.data(), target.size()}, request_)) {
      throw HttpError(400, "bad_input", "the request's path is none");
    }
    server_->policy->check_origin(request_);
    route_ = &server_->router->find(request_.method, request_.path, request_.path_parts, &allowed_);
    if (route_->needs_caller) request_.caller = server_->policy->caller_of(request_);
    const size_t limit = route_->body_limit ? route_->body_limit : server_->options.json_bytes;
    const auto length = parser_->content_length();
    if (length && *length > limit) throw too_large(limit);
    return limit;
  }

  static HttpError too_large(size_t limit) {
    return {413, "too_large", "body: expected at most " + std::to_string(limit) + " bytes"};
  }

  void read_body() {
    http::async_read(
        stream_, buffer_, *parser_,
        [self = this->shared_from_this()](error_code failed, size_t) { self->on_body(failed); });
  }

  void on_body(error_code failed) {
    if (failed == http::error::body_limit) {
      const size_t limit = route_->body_limit ? route_->body_limit : server_->options.json_bytes;
      return refuse(error_response(too_large(limit)));
    }
    if (failed == beast::error::timeout) return close();
    if (failed.category() == http::make_error_code(http::error::bad_method).category() &&
        failed != http::error::partial_message) {
      return refuse(error_response({400, "bad_input", "the request's body is broken"}));
    }
    if (failed) return close();
    end_sending();
    request_.body = std::move(parser_->get().body());
    closes_ = !parser_->get().keep_alive();
    stream_.expires_never();
    // Whatever answers later may outlive this connection.
    const std::weak_ptr<Connection> self = this->shared_from_this();
    waiting_ = this->shared_from_this();
    request_.when_gone = [self](std::function<void()> act) {
      const auto alive = self.lock();
      if (!alive || !alive->waiting_) return;
      alive->gone_ = std::move(act);
      alive->watch_while_waiting();
    };
    run_route(*route_, request_, [self](HttpResponse response) {
      const auto alive = self.lock();
      if (!alive) return;
      asio::post(alive->stream_.get_executor(), [alive, response = std::move(response)]() mutable {
        alive->end_waiting();
        alive->answer(std::move(response));
      });
    });
  }

  // Whether the client is still there while its answer is made. Bytes that it sends meanwhile
  // belong to its next request, and stay where they are.
  void watch_while_waiting() {
    stream_.socket().async_wait(
        tcp::socket::wait_read, [self = this->shared_from_this()](error_code failed) {
          if (failed || !self->gone_) return;
          char next = 0;
          self->stream_.socket().receive(asio::buffer(&next, 1), tcp::socket::message_peek, failed);
          const auto act = std::exchange(self->gone_, {});
          if (failed) act();
        });
  }
  void end_waiting() {
    waiting_.reset();
    error_code ignored;
    if (std::exchange(gone_, {})) stream_.socket().cancel(ignored);
  }

  void end_sending() {
    if (const auto place = std::exchange(sending_, {})) server_->sending.erase(*place);
  }

  void answer(HttpResponse response) {
    end_sending();
    stream_.expires_after(seconds_of(server_->options.stall_seconds));
    const unsigned version = parser_->get().version() == 10 ? 10 : 11;
    if (response.stream) return begin_stream(std::move(response), version);
    const auto message = std::make_shared<http::response<http::string_body>>();
    message->version(version);
    message->result(static_cast<unsigned>(response.status));
    add_headers(*message, response);
    message->keep_alive(!closes_);
    const size_t length = response.body.size();
    if (request_.method != "HEAD") message->body() = std::move(response.body);
    if (response.status != 204 && response.status != 304) message->content_length(length);
    http::async_write(stream_, *message,
                      [self = this->shared_from_this(), message](error_code lost, size_t) {
                        if (lost) return self->close();
                        if (self->closes_) return self->close_lingering();
                        self->read_head();
                      });
  }

  void close() {
    error_code ignored;
    stream_.socket().shutdown(tcp::socket::shutdown_send, ignored);
  }

  // Takes what the other end still sends, so that it reads the answer: data that comes to a closed
  // socket resets the connection, and the answer is lost.
  void close_lingering() {
    close();
    stream_.expires_after(kLinger);
    discard();
  }
  void discard() {
    stream_.async_read_some(asio::buffer(ignored_),
                            [self = this->shared_from_this()](error_code failed, size_t) {
                              if (!failed) self->discard();
                            });
  }

  // A stream has no length: it ends with its connection.
  void begin_stream(HttpResponse response, unsigned version) {
    const auto message = std::make_shared<http::response<http::empty_body>>();
    message->version(version);
    message->result(static_cast<unsigned>(response.status));
    add_headers(*message, response);
    message->keep_alive(false);
    const auto serializer = std::make_shared<http::response_serializer<http::empty_body>>(*message);
    http::async_write_header(stream_, *serializer,
                             [self = this->shared_from_this(), message, serializer,
                              start = std::move(response.stream)](error_code lost, size_t) {
                               if (lost) return;
                               self->run_stream(start);
                             });
  }

  void run_stream(const StartStream& start) {
    stream_.expires_never();
    streaming_ = true;
    if (request_.method == "HEAD") return close();
    const std::weak_ptr<Connection> weak = this->shared_from_this();
    watch_for_end();
    beat();
    const StreamSink sink{[weak](std::string bytes, bool droppable) {
                            const auto self = weak.lock();
                            return self && self->push(std::move(bytes), droppable);
                          },
                          [weak] {
                            if (const auto self = weak.lock()) self->end_stream();
                          }};
    std::function<void()> leave;
    try {
      leave = start(sink);
    } catch (const Error&) {  // such as a store that is away: the client comes back
      return close();
    }
    if (streaming_) {
      leave_ = std::move(leave);
    } else if (leave) {
      leave();
    }
  }

  // Whether the other end is still there; bytes that it sends are nothing to us.
  void watch_for_end() {
    stream_.async_read_some(asio::buffer(ignored_),
                            [self = this->shared_from_this()](error_code failed, size_t) {
                              if (failed) return self->drop();
                              self->watch_for_end();
                            });
  }

  bool push(std::string bytes, bool droppable) {
    if (!streaming_ || ending_) return false;
    if (droppable && pending_ > kDropAbove) return true;
    if (pending_ > kCloseAbove) {
      drop();
      return false;
    }
    pending_ += bytes.size();
    queue_.push_back(std::move(bytes));
    if (!writing_) write_next();
    return true;
  }

  void write_next() {
    if (queue_.empty()) {
      writing_ = false;
      if (ending_) finish_stream();
      return;
    }
    writing_ = true;
    asio::async_write(stream_, asio::buffer(queue_.front()),
                      [self = this->shared_from_this()](error_code lost, size_t size) {
                        if (lost) return self->drop();
                        self->pending_ -= size;
                        self->queue_.pop_front();
                        self->moved_ = true;
                        self->write_next();
                      });
  }

  void end_stream() {
    ending_ = true;
    if (!writing_) finish_stream();
  }

  void finish_stream() {
    close();
    drop();
  }

  void beat() {
    beat_.expires_after(kStreamBeat);
    beat_.async_wait([self = this->shared_from_this()](error_code stopped) {
      if (stopped || !self->streaming_) return;
      if (self->writing_ && !self->moved_) return self->drop();  // it takes nothing
      self->moved_ = false;
      self->push(":\n\n", true);
      self->beat();
    });
  }

  // The stream is over, whether it ended or the other end went away.
  void drop() {
    if (!std::exchange(streaming_, false)) return;
    if (const auto leave = std::exchange(leave_, {})) leave();
    beat_.cancel();
    error_code ignored;
    stream_.socket().cancel(ignored);
  }

  beast::tcp_stream stream_;
  asio::steady_timer beat_;
  std::shared_ptr<ServerState> server_;
  beast::flat_buffer buffer_;
  std::optional<http::request_parser<http::string_body>> parser_;
  HttpRequest request_;
  const Route* route_ = nullptr;
  std::string allowed_;
  bool closes_ = false;
  std::optional<typename std::list<typename ServerState::Sending>::iterator> sending_;
  std::shared_ptr<Connection> waiting_;  // itself, while a route has yet to answer
  std::function<void()> gone_;           // what is done if the client does not wait for that
  // Of a stream.
  std::deque<std::string> queue_;
  size_t pending_ = 0;
  bool streaming_ = false, writing_ = false, ending_ = false, moved_ = false;
  std::function<void()> leave_;
  std::array<char, 8192> ignored_{};
};

}  // namespace

// Nothing if there is room for one more connection. Who sends slowly, or sends nothing, makes way;
// where nobody does, those that come wait in the system's queue.
std::optional<std::chrono::milliseconds> HttpServer::State::pause_for_room() {
  if (connections < options.most_connections) return {};
  if (sending.empty() || std::chrono::steady_clock::now() - sending.front().since < kLeastSending) {
    return kPauseForRoom;
  }
  const auto close = sending.front().close;
  close();
  return kPauseForEnd;
}

void HttpServer::State::accept_later(std::chrono::milliseconds pause) {
  const auto later = std::make_shared<asio::steady_timer>(acceptor.get_executor(), pause);
  later->async_wait([self = shared_from_this(), later](error_code) {
    if (self->acceptor.is_open()) self->accept();
  });
}

void HttpServer::State::accept() {
  if (const auto pause = pause_for_room()) return accept_later(*pause);
  acceptor.async_accept([self = shared_from_this()](error_code failed, tcp::socket socket) {
    if (failed == asio::error::operation_aborted || !self->acceptor.is_open()) return;
    if (!failed) std::make_shared<Connection<State>>(std::move(socket), self)->read_head();
    if (!failed || failed == asio::error::connection_aborted) return self->accept();
    // Out of file descriptors: whoever waits is accepted when some are free again.
    self->accept_later(kPauseForFiles);
  });
}

HttpServer::HttpServer(asio::io_context& loop, ServerOptions options)
    : state_(std::make_shared<State>(loop, std::move(options))) {
  const std::string address = state_->options.host + ":" + std::to_string(state_->options.port);
  try {
    std::string host = state_->options.host == "localhost" ? "127.0.0.1" : state_->options.host;
    if (host.size() > 2 && host.front() == '[') host = host.substr(1, host.size() - 2);
    const tcp::endpoint endpoint(asio::ip::make_address(host),
                                 static_cast<uint16_t>(state_->options.port));
    state_->acceptor.open(endpoint.protocol());
    state_->acceptor.set_option(asio::socket_base::reuse_address(true));
    state_->acceptor.bind(endpoint);
    state_->acceptor.listen(asio::socket_base::max_listen_connections);
  } catch (const boost::system::system_error& failed) {
    throw Error(ErrorCode::kUnavailable, "cannot listen on " + address + ": " +
                                             failed.code().message() +
                                             ". Hint: --port 0 takes any free one");
  }
}

HttpServer::~HttpServer() { stop(); }

int HttpServer::port() const { return state_->acceptor.local_endpoint().port(); }

void HttpServer::start(const Router& router, const Policy& policy) {
  state_->router = &router;
  state_->policy = &policy;
  state_->accept();
}

void HttpServer::stop() {
  error_code ignored;
  state_->acceptor.close(ignored);
}

int64_t HttpServer::connections() const { return state_->connections; }

}  // namespace pangu::serve
