// The standard's recursive iterator is not used: it follows links without end, and passes over what
// it cannot read in silence.
#include "data/folder_files.h"

#include <sys/stat.h>

#include <algorithm>
#include <cerrno>
#include <filesystem>
#include <system_error>
#include <utility>

#include "core/error.h"
#include "data/file_names.h"

namespace pangu::data {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kMaxEntries = 10'000'000;  // folders that are links to each other multiply

struct FolderWalk {
  std::string root;
  Report& report_;
  std::vector<std::string> names = {};
  std::vector<std::pair<dev_t, ino_t>> above = {};  // the folders on the way to this one
  int64_t entries = 0;

  void list(const std::string& inside) {
    const std::string folder = inside.empty() ? root : root + "/" + inside;
    const std::string called = inside.empty() ? root : inside;
    struct stat about{};
    if (stat(folder.c_str(), &about) != 0) {
      report_.skip(called, std::generic_category().message(errno));
      return;
    }
    const std::pair<dev_t, ino_t> self{about.st_dev, about.st_ino};
    if (std::find(above.begin(), above.end(), self) != above.end()) {
      report_.warn(called, "a link to a folder that holds it is not followed");
      return;
    }
    above.push_back(self);
    std::error_code failed;
    std::vector<fs::directory_entry> here;
    for (fs::directory_iterator it(folder, failed); !failed && it != fs::directory_iterator();
         it.increment(failed)) {
      if (++entries > kMaxEntries) {
        throw bad_input("dataset '" + root + "'", "at most ten million files", "more");
      }
      here.push_back(*it);
    }
    if (failed) report_.skip(called, failed.message());
    std::sort(here.begin(), here.end());  // so that reports do not depend on the file system
    for (const fs::directory_entry& entry : here) add(entry, inside.empty() ? "" : inside + "/");
    above.pop_back();
  }

  void add(const fs::directory_entry& entry, const std::string& prefix) {
    const std::string name = prefix + entry.path().filename().string();
    if (is_hidden(name)) return report_.pass_over("hidden");
    std::error_code ignored;
    const fs::file_status status = entry.status(ignored);  // of a link's target
    if (fs::is_directory(status)) {
      list(name);
    } else if (fs::is_regular_file(status)) {
      names.push_back(name);
    } else if (entry.is_symlink(ignored)) {
      report_.skip(name, "a broken link");
    }
  }
};

}  // namespace

std::vector<std::string> files_under(const std::string& folder, Report& report_) {
  FolderWalk walk{folder, report_};
  walk.list("");
  std::sort(walk.names.begin(), walk.names.end());
  return std::move(walk.names);
}

}  // namespace pangu::data
