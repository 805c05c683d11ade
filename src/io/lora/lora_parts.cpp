// Shapes of an adapter's parts, form by form. Every check compares with the shape of the weight.
#include "io/lora/lora_parts.h"

#include <algorithm>

#include "io/weights_file.h"

namespace pangu::io {
namespace {

using Shape = std::vector<int64_t>;

// A 1x1 convolution and a matrix are the same change.
bool same_kernel(const Shape& a, const Shape& b) {
  for (size_t axis = 2; axis < std::max(a.size(), b.size()); ++axis) {
    if ((axis < a.size() ? a[axis] : 1) != (axis < b.size() ? b[axis] : 1)) return false;
  }
  return true;
}

int64_t kernel_count(const Shape& shape) {
  int64_t count = 1;
  for (size_t axis = 2; axis < shape.size(); ++axis) count *= shape[axis];
  return count;
}

bool two_or_four(const Shape& shape) { return shape.size() == 2 || shape.size() == 4; }

bool is_matrix(const Shape& shape) { return two_or_four(shape) && same_kernel(shape, {}); }

bool is_matrix_of(const Shape& shape, int64_t rows, int64_t columns) {
  return is_matrix(shape) && shape[0] == rows && shape[1] == columns;
}

// Gathers the first part that does not fit.
class Checker {
 public:
  Checker(const LoraShapes& parts, const ModuleShape& module) : parts_(parts), module_(module) {}

  const Shape* find(LoraPart part) const {
    const auto found = parts_.find(part);
    return found == parts_.end() ? nullptr : &found->second;
  }
  const Shape& weight() const { return module_.weight; }
  int64_t out() const { return weight()[0]; }
  int64_t in() const { return weight()[1]; }

  void require(bool fits, LoraPart part, const std::string& expected) {
    if (fits || misfit) return;
    const Shape* shape = find(part);
    misfit = LoraMisfit{part, expected, shape ? "shape " + shape_text(*shape) : "none"};
  }
  // What a part must be a piece of.
  std::string wanted() const { return "a change of " + shape_text(weight()); }
  std::string with_rank(int64_t rank) const {
    return wanted() + " with rank " + std::to_string(rank);
  }

  std::optional<LoraMisfit> misfit;

 private:
  const LoraShapes& parts_;
  const ModuleShape& module_;
};

void check_low_rank(Checker& c) {
  const Shape *down = c.find(LoraPart::kDown), *up = c.find(LoraPart::kUp),
              *mid = c.find(LoraPart::kMid);
  c.require(down, LoraPart::kDown, "a factor lora_down beside lora_up");
  c.require(up, LoraPart::kUp, "a factor lora_up beside lora_down");
  if (!down || !up) return;
  c.require(two_or_four(*down) && (*down)[0] >= 1 && (*down)[1] == c.in(), LoraPart::kDown,
            c.wanted());
  if (c.misfit) return;
  const int64_t rank = (*down)[0];
  c.require(is_matrix_of(*up, c.out(), rank), LoraPart::kUp, c.with_rank(rank));
  if (!mid) {
    c.require(same_kernel(*down, c.weight()), LoraPart::kDown, c.wanted());
    return;
  }
  c.require(mid->size() == 4 && (*mid)[0] == rank && (*mid)[1] == rank &&
                same_kernel(*mid, c.weight()) && is_matrix(*down),
            LoraPart::kMid, c.with_rank(rank));
}

// A product [rows, columns * kernel] of two factors, or in Tucker's form with a kernel between.
void check_product(Checker& c, LoraPart a, LoraPart b, LoraPart t, int64_t rows, int64_t columns) {
  const Shape *left = c.find(a), *right = c.find(b), *tucker = c.find(t);
  c.require(left, a, std::string("a factor ") + name_of(a));
  c.require(right, b, std::string("a factor ") + name_of(b));
  if (!left || !right) return;
  c.require(right->size() == 2 && (*right)[0] >= 1, b, "[rank,columns]");
  c.require(left->size() == 2, a, "[rows,rank]");
  if (c.misfit) return;
  const int64_t rank = (*right)[0];
  if (!tucker) {
    c.require(is_matrix_of(*left, rows, rank), a, c.with_rank(rank));
    c.require((*right)[1] == columns * kernel_count(c.weight()), b, c.wanted());
    return;
  }
  c.require(is_matrix_of(*left, rank, rows), a, c.with_rank(rank));
  c.require((*right)[1] == columns, b, c.wanted());
  c.require(tucker->size() == 4 && (*tucker)[0] == rank && (*tucker)[1] == rank &&
                same_kernel(*tucker, c.weight()),
            t, c.with_rank(rank));
}

void check_hadamard(Checker& c) {
  const bool tucker = c.find(LoraPart::kT1) || c.find(LoraPart::kT2);
  c.require(!tucker || c.find(LoraPart::kT1), LoraPart::kT1, "hada_t1 beside hada_t2");
  c.require(!tucker || c.find(LoraPart::kT2), LoraPart::kT2, "hada_t2 beside hada_t1");
  check_product(c, LoraPart::kW1A, LoraPart::kW1B, LoraPart::kT1, c.out(), c.in());
  check_product(c, LoraPart::kW2A, LoraPart::kW2B, LoraPart::kT2, c.out(), c.in());
}

void check_kronecker(Checker& c) {
  const Shape *w1 = c.find(LoraPart::kW1), *a = c.find(LoraPart::kW1A), *b = c.find(LoraPart::kW1B);
  if (w1) {
    c.require(w1->size() == 2, LoraPart::kW1, "a matrix");
  } else {
    const bool left = a && a->size() == 2;
    c.require(left, LoraPart::kW1A, "lokr_w1, or lokr_w1_a [rows,rank]");
    c.require(left && b && b->size() == 2 && (*b)[0] >= 1 && (*a)[1] == (*b)[0], LoraPart::kW1B,
              "lokr_w1, or lokr_w1_b [rank,columns]");
  }
  if (c.misfit) return;
  const int64_t rows = w1 ? (*w1)[0] : (*a)[0], columns = w1 ? (*w1)[1] : (*b)[1];
  c.require(rows >= 1 && columns >= 1 && c.out() % rows == 0 && c.in() % columns == 0,
            w1 ? LoraPart::kW1 : LoraPart::kW1A,
            "sides that divide those of " + shape_text(c.weight()));
  if (c.misfit) return;
  const Shape* w2 = c.find(LoraPart::kW2);
  if (!w2) {
    check_product(c, LoraPart::kW2A, LoraPart::kW2B, LoraPart::kT2, c.out() / rows,
                  c.in() / columns);
    return;
  }
  c.require(two_or_four(*w2) && (*w2)[0] == c.out() / rows && (*w2)[1] == c.in() / columns &&
                same_kernel(*w2, c.weight()),
            LoraPart::kW2, c.wanted());
}

void check_difference(Checker& c) {
  const Shape* difference = c.find(LoraPart::kDifference);
  if (!difference) return;  // of the bias alone
  const auto at = [](const Shape& shape, size_t axis) {
    return axis < shape.size() ? shape[axis] : 1;
  };
  c.require(difference->size() >= std::min<size_t>(c.weight().size(), 2) &&
                at(*difference, 0) == at(c.weight(), 0) &&
                at(*difference, 1) == at(c.weight(), 1) && same_kernel(*difference, c.weight()),
            LoraPart::kDifference, c.wanted());
}

// Of numbers along one axis, whatever axes of one stand beside it.
void check_row(Checker& c, LoraPart part, int64_t count, const std::string& expected) {
  const Shape* shape = c.find(part);
  if (!shape) return;
  const auto longest = std::max_element(shape->begin(), shape->end());
  c.require(longest != shape->end() && *longest == count && element_count(*shape) == count, part,
            expected);
}

}  // namespace

const char* name_of(LoraPart part) {
  constexpr const char* kNames[] = {"lora_down", "lora_up",     "lora_mid",   "lokr_w1",
                                    "w1_a",      "w1_b",        "lokr_w2",    "w2_a",
                                    "w2_b",      "t1",          "t2",         "diff",
                                    "diff_b",    "lora_B.bias", "dora_scale", "dora_scale"};
  return kNames[static_cast<size_t>(part)];
}

std::optional<LoraMisfit> lora_misfit(LoraForm form, const LoraShapes& parts,
                                      const ModuleShape& module) {
  Checker c(parts, module);
  const LoraPart first = parts.empty() ? LoraPart::kDown : parts.begin()->first;
  const bool needs_matrix = form != LoraForm::kDifference;
  c.require(
      !parts.empty() && !module.weight.empty() && (!needs_matrix || two_or_four(module.weight)),
      first, "a linear or convolutional module");
  if (c.misfit) return c.misfit;
  switch (form) {
    case LoraForm::kDifference:
      check_difference(c);
      break;
    case LoraForm::kLowRank:
      check_low_rank(c);
      break;
    case LoraForm::kHadamard:
      check_hadamard(c);
      break;
    case LoraForm::kKronecker:
      check_kronecker(c);
      break;
  }
  const std::string out = std::to_string(module.weight[0]) + " numbers";
  for (const LoraPart bias : {LoraPart::kBias, LoraPart::kScaledBias}) {
    c.require(!c.find(bias) || !module.bias.empty(), bias, "a module that has a bias");
    check_row(c, bias, module.weight[0], out);
  }
  const bool has_norms = c.find(LoraPart::kOutputNorms) || c.find(LoraPart::kInputNorms);
  if (has_norms && module.weight.size() >= 2) {
    check_row(c, LoraPart::kOutputNorms, c.out(), out + ", or one a column");
    check_row(c, LoraPart::kInputNorms, c.in(), std::to_string(c.in()) + " numbers");
  }
  c.require(!has_norms || module.weight.size() >= 2, first, "a linear or convolutional module");
  return c.misfit;
}

std::optional<int64_t> lora_rank(LoraForm form, const LoraShapes& parts) {
  const auto side = [&](LoraPart part) -> std::optional<int64_t> {
    const auto found = parts.find(part);
    if (found == parts.end() || found->second.empty()) return std::nullopt;
    return found->second[0];
  };
  switch (form) {
    case LoraForm::kLowRank:
      return side(LoraPart::kDown);
    case LoraForm::kHadamard:
      return side(LoraPart::kW1B);
    case LoraForm::kKronecker:
      return parts.contains(LoraPart::kW2B) ? side(LoraPart::kW2B) : side(LoraPart::kW1B);
    case LoraForm::kDifference:
      break;
  }
  return std::nullopt;
}

}  // namespace pangu::io
