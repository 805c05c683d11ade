// A set of files as pieces of bounded size, for doors that take only small files.
// FOLDER/pieces.json lists every file and every piece with size and SHA-256; the pieces are the
// files' bytes, one file after another, cut every `piece_bytes`. Knows nothing of what the files
// mean.
#pragma once
#include <cstddef>
#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace pangu::io {

struct PiecesInfo {
  struct Part {
    std::string name;  // of a file: relative to the folder it is unpacked into
    uint64_t size_bytes = 0;
    std::string sha256;
  };
  std::vector<Part> files, pieces;
  std::map<std::string, std::string> about;  // whatever the writer wanted to say
  uint64_t size_bytes() const;
};

// Packs FROM/NAME for every name into `folder`, which is made if need be. A set that was there
// before stays readable until the new one is complete, and its pieces are removed afterwards. Error
// kIo.
PiecesInfo write_pieces(const std::string& from, const std::vector<std::string>& names,
                        const std::string& folder, size_t piece_bytes,
                        const std::map<std::string, std::string>& about = {});

// Reads and checks pieces.json alone. Error kBadInput naming what is wrong with it.
PiecesInfo read_pieces_info(const std::string& folder);

// Unpacks every file under `to`, which is made if need be. Every piece and every file is checked
// before the first file is replaced. Error kBadInput names the piece that is missing or damaged;
// then nothing under `to` has changed.
PiecesInfo read_pieces(const std::string& folder, const std::string& to);

}  // namespace pangu::io
