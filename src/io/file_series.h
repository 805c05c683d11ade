// Names of the files that a command makes one after another, and their writing, such that none
// replaces another: fixed names, folders, and patterns such as "cats/{date}/{number}-{seed}.png".
// It knows neither what is in the files nor what the words in braces mean.
#pragma once
#include <cstddef>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace pangu::io {

// What stands for {word} in the name of file `index`; nothing if there is no such word. {number} is
// the series' own.
using NameWord = std::function<std::optional<std::string>(const std::string& word, int index)>;

struct SeriesPlan {
  // With / and with words in braces; text that is no word in braces stands for itself.
  std::string pattern;
  int count = 1;           // of the files
  bool overwrite = false;  // a file of such a name may be replaced
  NameWord word;
  std::string words_known;  // for the error about another one: "seed, date"
};

// Whether a name holds a word in braces.
bool has_name_words(std::string_view name);

// {number} is one above the largest of the files there, of four digits at least, whose names begin
// alike. Without it, where two files would have one name, all get "-0", "-1", ... with zeros in
// front in front of the suffix; and where a file is there already, the count goes on behind it.
// Values lose what cannot stand in a name. Not thread-safe; several series may write to one folder
// at once.
class FileSeries {
 public:
  // Error kBadInput names a word that is not known.
  explicit FileSeries(SeriesPlan plan);

  // Makes the folders and tries to write there, so that what cannot be kept is not made first.
  // Error kIo says why.
  void try_place() const;

  // Writes file `index` whole or not at all, and returns its name. Error kIo.
  std::string write(int index, std::span<const std::byte> bytes);

  // The name that write(index) would try first.
  std::string name_of(int index) const;
  // Whether the last file could not have the name that it was to have.
  bool stepped_aside() const { return stepped_aside_; }

 private:
  bool has_alike_names() const;
  std::string filled(int index) const;
  std::string candidate(int index, int further) const;

  SeriesPlan plan_;
  bool numbered_ = false;  // the pattern has {number}
  bool alike_ = false;     // some files have one name
  int further_ = 0;        // by how much the count of alike names goes on behind files there
  bool stepped_aside_ = false;
};

}  // namespace pangu::io
