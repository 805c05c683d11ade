#include "serve/stores.h"

#include <filesystem>
#include <utility>

#include "core/error.h"
#include "serve/picture_files.h"
#include "serve/postgres_store.h"
#include "serve/s3_pictures.h"

namespace pangu::serve {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kSqlite = "sqlite:";

}  // namespace

bool is_shared_queue(const ServeConfig& config) {
  const std::string& url = config.queue_url;
  if (url.starts_with("postgres://") || url.starts_with("postgresql://")) return true;
  if (url.empty() || url.starts_with(kSqlite)) return false;
  throw bad_input("queue_url", "sqlite:FILE or postgres://USER@HOST/DATABASE",
                  "'" + url.substr(0, url.find(':')) + "'");
}

Stores open_stores(const ServeConfig& config) {
  Stores stores;
  constexpr double kMsASecond = 1000.0;
  if (is_shared_queue(config)) {
    auto shared = open_postgres_store(config.queue_url,
                                      static_cast<WallMs>(config.lease_seconds * kMsASecond));
    stores.shared = shared.get();
    stores.jobs = std::move(shared);
  } else {
    fs::path file = fs::path(config.data) / "jobs.sqlite";
    if (!config.queue_url.empty()) file = config.queue_url.substr(kSqlite.size());
    stores.jobs = open_sqlite_store(file.string());
  }
  if (is_s3_url(config.pictures_url)) {
    stores.pictures = std::make_unique<S3Pictures>(s3_place_of(config.pictures_url));
    return stores;
  }
  fs::path folder = fs::path(config.data) / "pictures";
  if (!config.pictures_url.empty()) folder = config.pictures_url;
  auto files = std::make_unique<PictureFiles>(folder);
  // Another server's picture may be written and not yet known.
  if (!stores.shared) files->remove_unknown(*stores.jobs);
  stores.pictures = std::move(files);
  return stores;
}

}  // namespace pangu::serve
