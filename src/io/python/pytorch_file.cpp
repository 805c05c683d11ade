// A tensor is a call of torch._utils._rebuild_tensor_v2(storage, offset, sizes, strides, ...),
// where the storage is a persistent id ("storage", type, key, place, numbers). Its bytes are the
// archive's entry data/KEY; in the older form they follow the pickles, in the order of a list of
// keys.
#include "io/python/pytorch_file.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>
#include <string_view>

#include "core/error.h"
#include "io/python/pickle.h"
#include "io/python/zip_archive.h"
#include "io/saved_forms.h"
#include "io/tensor_names.h"
#include "io/weights_file.h"

namespace pangu::io {
namespace {

using StorageBytes = std::span<const std::byte>;

constexpr std::string_view kZipSign = "PK\x03\x04";
// Protocol 2, then the number 0x1950a86a20f9469cfc6c, which old files begin with.
constexpr std::string_view kLegacySign =
    "\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.";
constexpr int kMostDepth = 32;             // of nested dicts and modules
constexpr size_t kMostVisits = 4'000'000;  // of values on the walk through them
constexpr size_t kMostTensors = 200'000, kLongestName = 512;

std::string_view text_of_bytes(StorageBytes bytes, size_t most) {
  return {reinterpret_cast<const char*>(bytes.data()), std::min(bytes.size(), most)};
}

std::optional<DType> dtype_of_storage(std::string_view global) {
  struct Type {
    std::string_view name;
    DType dtype;
  };
  constexpr Type kTypes[] = {
      {"torch.FloatStorage", DType::F32},     {"torch.HalfStorage", DType::F16},
      {"torch.BFloat16Storage", DType::BF16}, {"torch.DoubleStorage", DType::F64},
      {"torch.LongStorage", DType::I64},      {"torch.IntStorage", DType::I32},
      {"torch.ShortStorage", DType::I16},     {"torch.CharStorage", DType::I8},
      {"torch.ByteStorage", DType::U8},       {"torch.BoolStorage", DType::BOOL}};
  for (const Type& type : kTypes) {
    if (type.name == global) return type.dtype;
  }
  return std::nullopt;
}

// Finds the bytes of storages, by their keys.
using Storages = std::map<std::string, StorageBytes, std::less<>>;

class TensorWalk {
 public:
  TensorWalk(const Pickle& pickle, const Storages& storages, const std::string& name,
             std::deque<std::vector<std::byte>>& copies)
      : pickle_(pickle), storages_(storages), name_(name), copies_(copies) {
    for (const auto& [key, bytes] : storages) left_to_copy_ += bytes.size();
  }

  TensorViews run() {
    const PickleNode* root = &pickle_.at(pickle_.root);
    if (const PickleNode* state = pickle_.find(*root, "state_dict")) root = state;
    visit(*root, "", 0);
    return std::move(tensors_);
  }

 private:
  Error odd(const std::string& tensor, const std::string& found) const {
    return bad_input(name_ + ", tensor " + short_quoted(tensor), "a plain tensor", found);
  }

  void visit(const PickleNode& node, const std::string& prefix, int depth) {
    if (++visits_ > kMostVisits || depth > kMostDepth || prefix.size() > kLongestName ||
        tensors_.size() > kMostTensors) {
      throw bad_input(name_, "a dict of tensors", "values nested beyond measure");
    }
    if (node.kind == PickleKind::kDict) return visit_items(node.items, prefix, depth);
    if (node.kind != PickleKind::kCall) return;
    const std::string& called = pickle_.at(node.items[0]).text;
    const PickleNode& arguments = pickle_.at(node.items[1]);
    if (called == "torch._utils._rebuild_tensor_v2" || called == "torch._utils._rebuild_tensor") {
      add_tensor(prefix, arguments);
    } else if (called == "torch._utils._rebuild_parameter" && !arguments.items.empty()) {
      visit(pickle_.at(arguments.items[0]), prefix, depth + 1);
    } else if (called.starts_with("torch._utils._rebuild_")) {
      throw odd(prefix, called.substr(called.rfind('.') + 1));
    } else {
      // An ordered dict has entries; a module of TorchScript has its attributes as state.
      visit_items(node.entries, prefix, depth);
      for (size_t i = 2; called.starts_with("__torch__.") && i < node.items.size(); ++i) {
        visit(pickle_.at(node.items[i]), prefix, depth + 1);
      }
    }
  }

  void visit_items(const std::vector<uint32_t>& items, const std::string& prefix, int depth) {
    for (size_t i = 0; i + 1 < items.size(); i += 2) {
      const PickleNode& key = pickle_.at(items[i]);
      if (key.kind != PickleKind::kText) continue;
      visit(pickle_.at(items[i + 1]), prefix.empty() ? key.text : prefix + "." + key.text,
            depth + 1);
    }
  }

  std::vector<int64_t> numbers_of(uint32_t node, const std::string& tensor) const {
    if (pickle_.at(node).kind != PickleKind::kList) throw odd(tensor, "no list of sizes");
    std::vector<int64_t> numbers;
    for (const uint32_t item : pickle_.at(node).items) {
      const PickleNode& number = pickle_.at(item);
      if (number.kind != PickleKind::kNumber || number.number < 0)
        throw odd(tensor, "a size below 0");
      numbers.push_back(number.number);
    }
    return numbers;
  }

  struct Storage {
    DType dtype;
    StorageBytes bytes;
  };
  Storage storage_of(uint32_t node, const std::string& tensor) const {
    const PickleNode& outside = pickle_.at(node);
    if (outside.kind != PickleKind::kPersistent) throw odd(tensor, "no storage");
    const PickleNode& id = pickle_.at(outside.items[0]);
    constexpr size_t kParts = 5, kWithView = 6;  // the older form says at last of what it is a part
    if (id.kind != PickleKind::kList || id.items.size() < kParts ||
        pickle_.at(id.items[0]).text != "storage") {
      throw odd(tensor, "no storage");
    }
    if (id.items.size() >= kWithView && pickle_.at(id.items[5]).kind != PickleKind::kNone) {
      throw odd(tensor, "a part of another storage");
    }
    const PickleNode& type = pickle_.at(id.items[1]);
    const auto dtype = dtype_of_storage(type.text);
    if (!dtype) throw odd(tensor, short_quoted(type.text));
    const auto found = storages_.find(pickle_.at(id.items[2]).text);
    if (found == storages_.end()) throw odd(tensor, "no bytes");
    return {*dtype, found->second};
  }

  void add_tensor(const std::string& name, const PickleNode& arguments) {
    constexpr size_t kFewest = 4;
    if (arguments.items.size() < kFewest || name.empty()) throw odd(name, "a call with too little");
    const Storage storage = storage_of(arguments.items[0], name);
    const PickleNode& begins = pickle_.at(arguments.items[1]);
    TensorView view;
    view.dtype = storage.dtype;
    view.shape = numbers_of(arguments.items[2], name);
    const std::vector<int64_t> strides = numbers_of(arguments.items[3], name);
    if (strides.size() != view.shape.size() || begins.kind != PickleKind::kNumber ||
        begins.number < 0) {
      throw odd(name, "sizes and strides that do not fit");
    }
    const auto item = static_cast<int64_t>(size_of(view.dtype));
    const int64_t stored = static_cast<int64_t>(storage.bytes.size()) / item;
    if (begins.number > stored) throw odd(name, "a beginning outside of its bytes");
    // The last number that it uses lies in the storage; and so does its count, which an expanded
    // tensor (stride 0) could exceed.
    int64_t count = 1, last = begins.number;
    const bool is_empty = std::count(view.shape.begin(), view.shape.end(), 0) > 0;
    bool is_contiguous = true;
    for (size_t i = view.shape.size(); i-- > 0 && !is_empty;) {
      const int64_t size = view.shape[i], stride = strides[i];
      is_contiguous = is_contiguous && (size == 1 || stride == count);
      const bool fits = size <= stored / count && (size == 1 || stride <= stored) &&
                        (size == 1 || stride == 0 || size - 1 <= (stored - last) / stride);
      if (!fits) throw odd(name, "sizes beyond its bytes");
      count *= size;
      if (size > 1) last += (size - 1) * stride;
    }
    if (!is_empty && last >= stored) throw odd(name, "sizes beyond its bytes");
    view.size_bytes = is_empty ? 0 : static_cast<size_t>(count * item);
    view.data = storage.bytes.data() + begins.number * item;
    if (!is_empty && !is_contiguous) view.data = gathered(view, strides);
    if (!tensors_.emplace(name, view).second) throw odd(name, "two of this name");
  }

  // A copy in the order of the axes.
  const std::byte* gathered(const TensorView& view, const std::vector<int64_t>& strides) {
    const size_t item = size_of(view.dtype);
    if (view.size_bytes > left_to_copy_) {
      throw bad_input(name_, "tensors that lie apart", "one piece of bytes as many tensors");
    }
    left_to_copy_ -= view.size_bytes;
    std::vector<std::byte> out(view.size_bytes);
    std::vector<int64_t> index(view.shape.size());
    for (size_t at = 0; at < out.size(); at += item) {
      int64_t from = 0;
      for (size_t i = 0; i < index.size(); ++i) from += index[i] * strides[i];
      std::memcpy(out.data() + at, view.data + static_cast<size_t>(from) * item, item);
      for (size_t i = index.size(); i-- > 0 && ++index[i] == view.shape[i];) index[i] = 0;
    }
    copies_.push_back(std::move(out));
    return copies_.back().data();
  }

  const Pickle& pickle_;
  const Storages& storages_;
  const std::string& name_;
  std::deque<std::vector<std::byte>>& copies_;
  TensorViews tensors_;
  size_t visits_ = 0, left_to_copy_ = 0;
};

PytorchContent parse_archive(StorageBytes bytes, const std::string& name,
                             std::deque<std::vector<std::byte>>& copies_) {
  const std::vector<ZipEntry> entries = read_zip(bytes, name);
  const auto main = std::find_if(entries.begin(), entries.end(), [](const ZipEntry& entry) {
    return entry.name.ends_with("/data.pkl");
  });
  if (main == entries.end() || main->deflated) {
    throw bad_input(name, "an archive that torch.save wrote", "a zip without data.pkl");
  }
  const std::string folder = main->name.substr(0, main->name.rfind('/') + 1);
  PytorchContent content;
  Storages storages;
  for (const ZipEntry& entry : entries) {
    if (entry.name.starts_with(folder + "code/")) content.is_script = true;
    if (entry.name.starts_with(folder + "data/") && !entry.deflated) {
      storages[entry.name.substr(folder.size() + 5)] = entry.stored;
    }
    if (entry.name == folder + "byteorder" && text_of_bytes(entry.stored, 6) != "little") {
      throw bad_input(name, "little-endian numbers", "big-endian ones");
    }
  }
  const Pickle pickle = parse_pickle(main->stored, name);
  content.tensors = TensorWalk(pickle, storages, name, copies_).run();
  return content;
}

// Every storage that the pickle names, by its key: the size of its numbers.
std::map<std::string, size_t, std::less<>> item_sizes(const Pickle& pickle) {
  std::map<std::string, size_t, std::less<>> sizes;
  for (const PickleNode& node : pickle.nodes) {
    if (node.kind != PickleKind::kPersistent) continue;
    const PickleNode& id = pickle.at(node.items[0]);
    if (id.kind != PickleKind::kList || id.items.size() < 3) continue;
    const auto dtype = dtype_of_storage(pickle.at(id.items[1]).text);
    if (dtype) sizes[pickle.at(id.items[2]).text] = size_of(*dtype);
  }
  return sizes;
}

PytorchContent parse_legacy(StorageBytes bytes, const std::string& name,
                            std::deque<std::vector<std::byte>>& copies_) {
  constexpr int kInFront = 3;  // magic number, version, and facts of the machine
  for (int i = 0; i < kInFront; ++i) bytes = bytes.subspan(parse_pickle(bytes, name).size_bytes);
  const Pickle pickle = parse_pickle(bytes, name);
  bytes = bytes.subspan(pickle.size_bytes);
  const Pickle keys = parse_pickle(bytes, name);
  bytes = bytes.subspan(keys.size_bytes);
  const auto sizes = item_sizes(pickle);
  Storages storages;
  for (const uint32_t item : keys.at(keys.root).items) {
    const std::string& key = keys.at(item).text;
    const auto size = sizes.find(key);
    uint64_t count = 0;
    if (bytes.size() >= sizeof count) std::memcpy(&count, bytes.data(), sizeof count);
    if (size == sizes.end() || bytes.size() < sizeof count ||
        count > (bytes.size() - sizeof count) / size->second) {
      throw bad_input(name, "the bytes of every tensor", "a cut file", "fetch it again");
    }
    storages[key] = bytes.subspan(sizeof count, count * size->second);
    bytes = bytes.subspan(sizeof count + count * size->second);
  }
  PytorchContent content;
  content.tensors = TensorWalk(pickle, storages, name, copies_).run();
  return content;
}

}  // namespace

bool looks_like_pytorch(std::span<const std::byte> bytes) {
  const std::string_view text = text_of_bytes(bytes, kLegacySign.size());
  return text.starts_with(kZipSign) || text == kLegacySign;
}

PytorchContent parse_pytorch(std::span<const std::byte> bytes, const std::string& name,
                             std::deque<std::vector<std::byte>>& copies_) {
  const std::string_view text = text_of_bytes(bytes, kLegacySign.size());
  if (text.starts_with(kZipSign)) return parse_archive(bytes, name, copies_);
  if (text != kLegacySign) refuse_known_formats(bytes, name);
  if (text != kLegacySign) throw bad_input(name, "a file of torch.save", "other bytes");
  return parse_legacy(bytes, name, copies_);
}

PytorchFile PytorchFile::open(const std::string& path) {
  PytorchFile file{MappedFile(path)};
  const std::string name = "file '" + path + "'";
  PytorchContent content = parse_pytorch(file.file_.bytes(), name, file.copies_);
  file.tensors_ = without_wrappers(std::move(content.tensors), name);
  file.is_script_ = content.is_script;
  return file;
}

}  // namespace pangu::io
