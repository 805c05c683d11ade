// Pictures as files in folders named by the first two digits of their ids.
#pragma once
#include <filesystem>
#include <string>
#include <string_view>

#include "serve/picture_store.h"

namespace pangu::serve {

class PictureFiles final : public PictureStore {
 public:
  // Makes the folder if need be. Error kIo.
  explicit PictureFiles(std::filesystem::path folder);

  void write(const StoredPicture& picture, std::string_view bytes) const override;
  std::string read(const std::string& id) const override;
  bool has(const std::string& id) const override;
  void remove(const std::string& id) const override;
  std::string path_of(const std::string& id) const override;
  // Removes files that the store does not know: those that were written when a server died.
  void remove_unknown(JobStore& store) const;

 private:
  std::filesystem::path folder_;
};

}  // namespace pangu::serve
