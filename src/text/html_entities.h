// Names of HTML 5's character references ("hellip" -> U+2026). Knows no ampersands.
#pragma once
#include <optional>
#include <string>
#include <string_view>

namespace pangu::text {

// The characters of a name without its semicolon. `bare`: only names that count without one.
std::optional<std::u32string> html_entity(std::string_view name, bool bare);

// All of them in one text (html_entities.cpp says how), sorted by name.
std::string_view html_entity_table();

}  // namespace pangu::text
