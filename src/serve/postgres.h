// A thin layer over libpq: one connection that is made again when it was lost, statements whose
// wait is bounded, values that are bound by type, errors as pangu::Error. It knows no table, and
// has the calls of serve/sqlite.h, so that sql_store.h is written once.
#pragma once
#include <libpq-fe.h>

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

namespace pangu::serve {

struct CloseConnection {
  void operator()(PGconn* connection) const { PQfinish(connection); }
};
using PostgresConnection = std::unique_ptr<PGconn, CloseConnection>;

// Connects within a few seconds. StoreAway if the server cannot be reached, Error kBadInput for an
// address that is none. The password is never in a message.
PostgresConnection connect_postgres(const std::string& url);

// Connects again and again without holding up its thread: after a failure the next two thirds of
// the time are free of trying.
class PausedConnecting {
 public:
  // As connect_postgres(); StoreAway at once during the pause.
  PostgresConnection connect(const std::string& url);

 private:
  std::chrono::steady_clock::time_point next_try_{};
};

class Postgres {
 public:
  class Query {
   public:
    Query(Postgres& database, const char* sql) : database_(&database), sql_(sql) {}

    template <class... Values>
    Query& bind(const Values&... values) {
      (values_.push_back(text_of_value(values)), ...);
      return *this;
    }
    bool next();    // whether there is a row
    int64_t run();  // how many rows it changed
    int64_t integer(int column) const;
    std::string text(int column) const;

   private:
    static std::string text_of_value(std::string_view value) { return std::string(value); }
    static std::string text_of_value(const char* value) { return value; }
    template <class Number>
      requires std::is_arithmetic_v<Number>
    static std::string text_of_value(Number value) {
      return std::to_string(value);
    }
    void send();

    struct ClearResult {
      void operator()(PGresult* result) const { PQclear(result); }
    };
    Postgres* database_;
    const char* sql_;
    std::vector<std::string> values_;
    std::unique_ptr<PGresult, ClearResult> result_;
    int row_ = -1;
  };

  // Connects. StoreAway if the server cannot be reached; Error kIo if it refuses.
  explicit Postgres(std::string url);

  // StoreAway if the connection is lost or the server does not answer in time: whether a change was
  // made is unknown then. The next call connects again.
  Query query(const char* sql) { return Query(*this, sql); }
  void execute(const char* sql) { query(sql).run(); }

  // Calls `action` inside of a transaction, which is undone if it throws.
  template <class Action>
  auto in_transaction(const Action& action) {
    execute("BEGIN");
    in_transaction_ = true;
    try {
      if constexpr (std::is_void_v<decltype(action())>) {
        action();
        commit();
      } else {
        auto result = action();
        commit();
        return result;
      }
    } catch (...) {
      undo();
      throw;
    }
  }

 private:
  PGresult* answer_to(const char* sql, const std::vector<std::string>& values);
  void need_connection();
  [[noreturn]] void lose_connection(const std::string& why);
  void await_socket(short events, std::chrono::steady_clock::time_point deadline);
  void commit();
  void undo() noexcept;

  std::string url_;
  PostgresConnection connection_;
  PausedConnecting pause_;
  bool in_transaction_ = false;
};

}  // namespace pangu::serve
