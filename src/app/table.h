// Text tables for people: columns as wide as their widest cell.
#pragma once
#include <string>
#include <vector>

namespace pangu::app {

using Row = std::vector<std::string>;

// Rows of equally many cells; every cell but a row's last is padded. A cell that is all digits,
// points and commas is set to the right.
std::string table(const std::vector<Row>& rows);

std::string human_bytes(double bytes);   // "1.5 GB", decimal
std::string human_count(int64_t count);  // "12.3 M"

}  // namespace pangu::app
