// The names that the field uses for enumerations of this room: one table an enumeration, for both
// directions. It is no public contract of the room.
#pragma once
#include <cstddef>
#include <string>

#include "core/error.h"

namespace pangu::diffusion {

template <class Enum>
struct EnumName {
  Enum value;
  const char* name;
};

// The value of a name; throws kBadInput "WHAT: expected one of a, b, found NAME" for an unknown
// one.
template <class Enum, size_t N>
Enum enum_from(const EnumName<Enum> (&table)[N], const std::string& what, const std::string& name) {
  std::string known;
  for (const auto& entry : table) {
    if (name == entry.name) return entry.value;
    known += (known.empty() ? "one of " : ", ") + std::string(entry.name);
  }
  throw bad_input(what, known, "\"" + name + "\"");
}

template <class Enum, size_t N>
std::string enum_name(const EnumName<Enum> (&table)[N], Enum value) {
  for (const auto& entry : table) {
    if (value == entry.value) return entry.name;
  }
  throw Error(ErrorCode::kInternal, "enumeration value without a name");
}

}  // namespace pangu::diffusion
