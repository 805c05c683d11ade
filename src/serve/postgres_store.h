// JobStore over PostgreSQL, for any number of servers and workers on any machines. Leases are timed
// by the database's clock alone.
#pragma once
#include <memory>
#include <string>
#include <vector>

#include "serve/postgres.h"
#include "serve/shared_store.h"

namespace pangu::serve {

// url: what libpq takes, such as postgres://USER@HOST/DATABASE; a password is better in PGPASSWORD
// or ~/.pgpass. Makes the tables if need be. A job whose holder has not renewed it for `lease_ms`
// is lost; none is for as long after the database started, so that holders can come back. StoreAway
// if the database cannot be reached; Error kIo if its tables are of a newer version of the program;
// kBadInput if it does not keep UTF-8.
std::unique_ptr<SharedStore> open_postgres_store(const std::string& url, WallMs lease_ms);

// Hears what the processes of one database tell each other, on a connection of its own, which is
// made again when it was lost.
class PostgresSignals {
 public:
  explicit PostgresSignals(std::string url) : url_(std::move(url)) {}

  // Connects if need be. Returns whether the connection is new: then
  // signals may have been missed. StoreAway.
  bool connect();
  // The file that can be read when a signal has come; -1 without a connection.
  int file() const;
  // What has come. Never waits. StoreAway if the connection was lost.
  std::vector<Signal> take();

 private:
  std::string url_;
  PostgresConnection connection_;
  PausedConnecting pause_;
};

}  // namespace pangu::serve
