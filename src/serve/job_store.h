// Where jobs are kept so that they outlive the server. Everything that a JobStore has answered
// survives the death of the process at any moment. The queue's order is job.h's.
#pragma once
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/error.h"
#include "serve/job.h"

namespace pangu::serve {

// A client's own name for a request, by which it may send it twice.
struct Idempotency {
  std::string key;        // empty: none
  std::string body_hash;  // of the request
};
struct KnownRequest {
  std::string job_id, body_hash;
};

struct JobFilter {
  std::string owner = {};             // empty: of all
  std::vector<JobState> states = {};  // empty: all
  int limit = 50;
  int64_t before = 0;  // only jobs with a smaller number; 0: all
};

// What the holder of a job hears when it says that it lives.
struct Hold {
  bool cancel_asked = false;
};

// Bytes that are kept under their hash; where they lie is picture_store.h.
struct StoredPicture {
  std::string id, content_type;
  int width = 0, height = 0;
  int64_t bytes = 0;
  WallMs used = 0;       // when it was made or asked for last
  bool removed = false;  // for space
};

// The store cannot be reached for now, and the same may work later: the database ends and starts
// again, or the network is cut.
struct StoreAway : Error {
  explicit StoreAway(const std::string& message) : Error(ErrorCode::kIo, message) {}
};

// Errors of all functions: kIo if the store cannot be read or written (disk full, locked), among
// them StoreAway. Functions of one store are called from one thread.
//
// Several processes may draw from one store. Whoever claimed a job holds it until it is released,
// finished, or taken back since its holder was not heard of (take_lost). Functions that take a job
// as it was claimed change nothing, and return false, if it is no longer held: its state is final,
// or it was claimed once more since (its `attempts` differ).
class JobStore {
 public:
  virtual ~JobStore() = default;

  // The first part of the ids of events: another number whenever the second part begins anew, which
  // is at every start of a server, unless the store itself counts the events (shared_store.h).
  virtual int64_t count_start() = 0;
  // The time of the store: jobs of several servers are dated by one clock.
  virtual WallMs now() = 0;

  // Adds a queued job and gives it its number. Returns false, and adds nothing, if the owner used
  // the idempotency key before.
  virtual bool add(Job& job, const Idempotency& idempotency) = 0;
  // What an owner sent under a key before.
  virtual std::optional<KnownRequest> known_request(const std::string& owner,
                                                    const std::string& key) = 0;
  virtual std::optional<Job> find(const std::string& id) = 0;
  // Whether there was a job of this id of this owner (empty: of any), whose time is over.
  virtual bool is_gone(const std::string& id, const std::string& owner) = 0;
  // Newest first.
  virtual std::vector<Job> list(const JobFilter& filter) = 0;
  // Ids of the queued jobs in the order in which they will be drawn.
  virtual std::vector<Waiting> waiting() = 0;
  virtual int64_t count(JobState state) = 0;

  // The first of waiting() becomes running, with one attempt more; nothing if none waits.
  virtual std::optional<Job> claim(WallMs now) = 0;
  // A running job waits again, at its old place, with its `deaths`.
  virtual bool release(const Job& job) = 0;
  // The caller still holds the job; nothing if not. To be called several times in the time that
  // `take_lost` waits for it.
  virtual std::optional<Hold> renew(const Job& job) = 0;
  // Running jobs whose holder is dead or was not heard of for long. They are the caller's, to be
  // released or finished.
  virtual std::vector<Job> take_lost() = 0;
  virtual void ask_cancel(const std::string& id) = 0;
  // resolved and warnings of `job`.
  virtual bool keep_told(const Job& job) = 0;
  // Replaces the picture of the same index; the owner of the job may see it.
  virtual bool add_picture(const Job& job, const JobPicture& picture,
                           const StoredPicture& stored) = 0;
  // state, error, seconds, finished, expires and deaths of `job`, which may also wait.
  virtual bool finish(const Job& job) = 0;
  // Jobs whose time is over, or this one, are forgotten but for their ids; ids that have been gone
  // for longer than `memory_ms` are forgotten too. Returns how many.
  virtual int64_t expire(WallMs now, WallMs memory_ms) = 0;
  virtual void forget(const std::string& id, WallMs now) = 0;

  // Pictures. An upload belongs to its owner until `expires`.
  virtual void add_upload(const std::string& owner, const StoredPicture& stored,
                          WallMs expires) = 0;
  virtual std::optional<StoredPicture> find_picture(const std::string& id) = 0;
  virtual bool may_see(const std::string& owner, const std::string& picture_id) = 0;
  virtual int64_t picture_bytes() = 0;
  // Pictures that nobody may see any more: their records are removed, their files are the caller's
  // to remove. At most `limit` of them.
  virtual std::vector<StoredPicture> take_orphans(WallMs now, int limit) = 0;
  // The oldest pictures that no queued or running job reads, marked as removed, until `bytes` are
  // freed.
  virtual std::vector<StoredPicture> remove_oldest(int64_t bytes) = 0;
};

// SQLite in write-ahead mode, in one file that is made if need be; ":memory:" for tests. Error kIo
// if it cannot be opened or is of a newer version of the program.
std::unique_ptr<JobStore> open_sqlite_store(const std::string& path);

}  // namespace pangu::serve
