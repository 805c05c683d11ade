// metrics.jsonl as one HTML page of curves: loss, learning rate, samples a second. Self-contained
// (inline SVG, no script, nothing fetched), so that it opens from disk.
#pragma once
#include <string>
#include <string_view>

namespace pangu::train {

// jsonl: lines as the trainer writes them; what is no such line is left out.
std::string metrics_page(const std::string& title, std::string_view jsonl);

}  // namespace pangu::train
