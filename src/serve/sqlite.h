// A thin layer over SQLite: statements that are prepared once, values that are bound by type,
// errors as pangu::Error. It knows no table.
#pragma once
#include <sqlite3.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <type_traits>

namespace pangu::serve {

class Sqlite {
 public:
  // A statement that runs: bind its values, then step through its rows. It is reset when it goes.
  class Query {
   public:
    Query(sqlite3* database, sqlite3_stmt* statement);
    ~Query();
    Query(Query&& other) noexcept;
    Query(const Query&) = delete;
    Query& operator=(const Query&) = delete;

    template <class... Values>
    Query& bind(const Values&... values) {
      int index = 0;
      (bind_one(++index, values), ...);
      return *this;
    }
    bool next();    // whether there is a row
    int64_t run();  // to the end; how many rows it changed
    // Values of a statement are $1, $2 and so on, as PostgreSQL writes them.
    int64_t integer(int column) const;
    std::string text(int column) const;

   private:
    int place_of(int index) const;
    void bind_one(int index, int64_t value);
    void bind_one(int index, int value) { bind_one(index, int64_t{value}); }
    void bind_one(int index, bool value) { bind_one(index, int64_t{value}); }
    void bind_one(int index, std::string_view value);
    void bind_one(int index, const std::string& value) { bind_one(index, std::string_view(value)); }
    void bind_one(int index, const char* value) { bind_one(index, std::string_view(value)); }

    sqlite3* database_;
    sqlite3_stmt* statement_;
  };

  // Error kIo. Waits up to `busy_ms` for another process's lock; the front answers nobody
  // meanwhile.
  explicit Sqlite(const std::string& path, int busy_ms = 100);

  void execute(const char* sql);  // any number of statements without values
  Query query(const char* sql);   // one statement, which is kept prepared; `sql` is a literal

  // Calls `action` inside of a transaction, which is undone if it throws.
  template <class Action>
  auto in_transaction(const Action& action) {
    execute("BEGIN IMMEDIATE");
    try {
      if constexpr (std::is_void_v<decltype(action())>) {
        action();
        execute("COMMIT");
      } else {
        auto result = action();
        execute("COMMIT");
        return result;
      }
    } catch (...) {
      undo();
      throw;
    }
  }

 private:
  struct CloseDatabase {
    void operator()(sqlite3* database) const;
  };
  struct CloseStatement {
    void operator()(sqlite3_stmt* statement) const;
  };
  void undo() noexcept;

  std::unique_ptr<sqlite3, CloseDatabase> database_;
  std::map<const char*, std::unique_ptr<sqlite3_stmt, CloseStatement>> statements_;
};

}  // namespace pangu::serve
