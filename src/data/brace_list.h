// Lists of names as WebDataset and shells write them: "shard-{000000..000127}.tar".
#pragma once
#include <string>
#include <vector>

namespace pangu::data {

// The names that a pattern stands for, in order: {a..b} counts, with as many digits as `a` where
// one of the two begins with a zero, {x,y} lists; several braces give every combination, the first
// one's values outermost. A name without braces stands for itself. Error kBadInput for a brace
// without end or content, a count downwards, and above a million names.
std::vector<std::string> expand_braces(const std::string& pattern);

}  // namespace pangu::data
