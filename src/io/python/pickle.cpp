// The stack machine of pickle. Every opcode is checked against the stack; nodes are numbers in one
// list, so that pickles which contain themselves need no care.
#include "io/python/pickle.h"

#include <algorithm>
#include <cstring>
#include <unordered_map>

#include "core/error.h"

namespace pangu::io {
namespace {

constexpr size_t kMostNodes = 2'000'000;

class PickleMachine {
 public:
  PickleMachine(std::span<const std::byte> bytes, const std::string& name)
      : bytes_(bytes), name_(name) {}

  Pickle run() {
    while (step(static_cast<uint8_t>(take(1)[0]))) {
    }
    if (stack_.size() != 1 || !marks_.empty())
      throw broken("a stack that does not end with one value");
    pickle_.root = stack_[0];
    pickle_.size_bytes = at_;
    return std::move(pickle_);
  }

 private:
  Error broken(const std::string& what) const {
    return bad_input(name_, "a pickle of tensors", what + " at byte " + std::to_string(at_));
  }

  std::string_view take(uint64_t size) {
    if (size > bytes_.size() - at_) throw broken("an end too early");
    const std::string_view part(reinterpret_cast<const char*>(bytes_.data()) + at_, size);
    at_ += size;
    return part;
  }
  template <typename T>
  T number() {
    T value;
    std::memcpy(&value, take(sizeof value).data(), sizeof value);
    return value;
  }
  std::string line() {
    std::string text;
    for (char c = take(1)[0]; c != '\n'; c = take(1)[0]) text += c;
    return text;
  }

  void push(PickleNode node) {
    if (pickle_.nodes.size() >= kMostNodes) throw broken("too many values");
    stack_.push_back(static_cast<uint32_t>(pickle_.nodes.size()));
    pickle_.nodes.push_back(std::move(node));
  }
  void push(PickleKind kind) { push(PickleNode{kind, 0, {}, {}}); }
  void push_number(int64_t value) { push(PickleNode{PickleKind::kNumber, value, {}, {}}); }
  void push_text(std::string_view text) {
    push(PickleNode{PickleKind::kText, 0, std::string(text), {}});
  }
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  uint32_t pop() {
    if (stack_.size() <= floor()) throw broken("an empty stack");
    const uint32_t node = stack_.back();
    stack_.pop_back();
    return node;
  }
  PickleNode& top() {
    if (stack_.size() <= floor()) throw broken("an empty stack");
    return pickle_.nodes[stack_.back()];
  }
  std::vector<uint32_t> pop_to_mark() {
    if (marks_.empty()) throw broken("no mark");
    const auto begin = stack_.begin() + static_cast<std::ptrdiff_t>(marks_.back());
    std::vector<uint32_t> items(begin, stack_.end());
    stack_.erase(begin, stack_.end());
    marks_.pop_back();
    return items;
  }
  void push_list(std::vector<uint32_t> items) {
    push(PickleNode{PickleKind::kList, 0, {}, std::move(items)});
  }
  void push_last(size_t count) {
    std::vector<uint32_t> items(count);
    for (size_t i = count; i-- > 0;) items[i] = pop();
    push_list(std::move(items));
  }
  // A list's or dict's items; of an object they are kept apart from its arguments.
  void extend(const std::vector<uint32_t>& items, PickleKind plain) {
    PickleNode& node = top();
    if (node.kind != plain && node.kind != PickleKind::kCall) throw broken("items of no container");
    auto& into = node.kind == plain ? node.items : node.entries;
    into.insert(into.end(), items.begin(), items.end());
  }
  void set_items(const std::vector<uint32_t>& items) {
    if (items.size() % 2 != 0) throw broken("a key without a value");
    extend(items, PickleKind::kDict);
  }
  void push_call() {
    const uint32_t arguments = pop(), callable = pop();
    if (pickle_.nodes[callable].kind != PickleKind::kGlobal ||
        pickle_.nodes[arguments].kind != PickleKind::kList) {
      throw broken("a call of no name");
    }
    push(PickleNode{PickleKind::kCall, 0, {}, {callable, arguments}});
  }
  void build() {
    const uint32_t state = pop();
    PickleNode& object = top();
    // State of anything else, as hooks have, says nothing of tensors.
    if (object.kind == PickleKind::kCall) object.items.push_back(state);
  }
  void push_global(const std::string& module, const std::string& name) {
    push(PickleNode{PickleKind::kGlobal, 0, module + "." + name, {}});
  }
  void push_stack_global() {
    const uint32_t name = pop(), module = pop();
    if (pickle_.nodes[name].kind != PickleKind::kText ||
        pickle_.nodes[module].kind != PickleKind::kText) {
      throw broken("a global without a name");
    }
    push_global(pickle_.nodes[module].text, pickle_.nodes[name].text);
  }
  // Of any length; what does not fit into 64 bits keeps its low ones.
  void push_long(uint64_t size) {
    const std::string_view digits = take(size);
    uint64_t value = !digits.empty() && digits.back() & 0x80 ? ~uint64_t{0} : 0;
    for (size_t i = std::min<size_t>(digits.size(), sizeof value); i-- > 0;) {
      value = value << 8 | static_cast<uint8_t>(digits[i]);
    }
    push_number(static_cast<int64_t>(value));
  }
  void put(uint32_t key) {
    top();
    memo_[key] = stack_.back();
  }
  void get(uint32_t key) {
    const auto found = memo_.find(key);
    if (found == memo_.end()) throw broken("an unknown memo");
    stack_.push_back(found->second);
    if (stack_.size() > kMostNodes) throw broken("too many values");
  }

  // Returns false at the pickle's end.
  bool step(uint8_t opcode) {
    switch (opcode) {
      case '.':  // STOP
        return false;
      case 0x80:  // PROTO
        take(1);
        break;
      case 0x95:  // FRAME
        take(8);
        break;
      case '(':  // MARK
        marks_.push_back(stack_.size());
        if (marks_.size() > kMostNodes) throw broken("too many marks");
        break;
      case '0':  // POP
        pop();
        break;
      case '1':  // POP_MARK
        pop_to_mark();
        break;
      case '2':  // DUP
        top();
        stack_.push_back(stack_.back());
        if (stack_.size() > kMostNodes) throw broken("too many values");
        break;
      case 'N':
        push(PickleKind::kNone);
        break;
      case 0x88:  // NEWTRUE
        push_number(1);
        break;
      case 0x89:  // NEWFALSE
        push_number(0);
        break;
      default:
        if (!step_number(opcode) && !step_text(opcode) && !step_container(opcode)) {
          --at_;
          throw broken("opcode " + std::to_string(opcode));
        }
    }
    return true;
  }

  bool step_number(uint8_t opcode) {
    switch (opcode) {
      case 'J':  // BININT
        push_number(number<int32_t>());
        return true;
      case 'K':  // BININT1
        push_number(number<uint8_t>());
        return true;
      case 'M':  // BININT2
        push_number(number<uint16_t>());
        return true;
      case 0x8a:  // LONG1
        push_long(number<uint8_t>());
        return true;
      case 0x8b:  // LONG4
        push_long(number<uint32_t>());
        return true;
      case 'G':  // BINFLOAT
        take(8);
        push_number(0);
        return true;
      case 'q':  // BINPUT
        put(number<uint8_t>());
        return true;
      case 'r':  // LONG_BINPUT
        put(number<uint32_t>());
        return true;
      case 0x94:  // MEMOIZE
        put(static_cast<uint32_t>(memo_.size()));
        return true;
      case 'h':  // BINGET
        get(number<uint8_t>());
        return true;
      case 'j':  // LONG_BINGET
        get(number<uint32_t>());
        return true;
      default:
        return false;
    }
  }

  bool step_text(uint8_t opcode) {
    switch (opcode) {
      case 'X':  // BINUNICODE
      case 'T':  // BINSTRING
      case 'B':  // BINBYTES
        push_text(take(number<uint32_t>()));
        return true;
      case 0x8c:  // SHORT_BINUNICODE
      case 'U':   // SHORT_BINSTRING
      case 'C':   // SHORT_BINBYTES
        push_text(take(number<uint8_t>()));
        return true;
      case 0x8d:  // BINUNICODE8
      case 0x8e:  // BINBYTES8
      case 0x96:  // BYTEARRAY8
        push_text(take(number<uint64_t>()));
        return true;
      case 'c': {  // GLOBAL
        const std::string module = line();
        push_global(module, line());
        return true;
      }
      case 0x93:  // STACK_GLOBAL
        push_stack_global();
        return true;
      case 'Q': {  // BINPERSID
        const uint32_t id = pop();
        push(PickleNode{PickleKind::kPersistent, 0, {}, {id}});
        return true;
      }
      default:
        return false;
    }
  }

  bool step_container(uint8_t opcode) {
    switch (opcode) {
      case ']':   // EMPTY_LIST
      case ')':   // EMPTY_TUPLE
      case 0x8f:  // EMPTY_SET
        push(PickleKind::kList);
        return true;
      case '}':  // EMPTY_DICT
        push(PickleKind::kDict);
        return true;
      case 'l':   // LIST
      case 't':   // TUPLE
      case 0x91:  // FROZENSET
        push_list(pop_to_mark());
        return true;
      case 'd':  // DICT
      {
        const std::vector<uint32_t> items = pop_to_mark();
        push(PickleKind::kDict);
        set_items(items);
        return true;
      }
      case 0x85:  // TUPLE1
      case 0x86:  // TUPLE2
      case 0x87:  // TUPLE3
        push_last(opcode - 0x84u);
        return true;
      case 'a':  // APPEND
        extend({pop()}, PickleKind::kList);
        return true;
      case 'e':   // APPENDS
      case 0x90:  // ADDITEMS
        extend(pop_to_mark(), PickleKind::kList);
        return true;
      case 's': {  // SETITEM
        const uint32_t value = pop(), key = pop();
        set_items({key, value});
        return true;
      }
      case 'u':  // SETITEMS
        set_items(pop_to_mark());
        return true;
      case 'R':   // REDUCE
      case 0x81:  // NEWOBJ
        push_call();
        return true;
      case 'b':  // BUILD
        build();
        return true;
      default:
        return false;
    }
  }

  std::span<const std::byte> bytes_;
  const std::string& name_;
  size_t at_ = 0;
  Pickle pickle_;
  std::vector<uint32_t> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, uint32_t> memo_;
};

}  // namespace

const PickleNode* Pickle::find(const PickleNode& dict, std::string_view key) const {
  const auto& items = dict.kind == PickleKind::kDict ? dict.items : dict.entries;
  for (size_t i = 0; i + 1 < items.size(); i += 2) {
    const PickleNode& node = nodes[items[i]];
    if (node.kind == PickleKind::kText && node.text == key) return &nodes[items[i + 1]];
  }
  return nullptr;
}

Pickle parse_pickle(std::span<const std::byte> bytes, const std::string& name) {
  return PickleMachine(bytes, name).run();
}

}  // namespace pangu::io
