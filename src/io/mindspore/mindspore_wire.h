// What the reader and the writer of MindSpore's checkpoints share: names of types, and the numbers
// of protobuf's wire format. This is no public contract of the room.
#pragma once
#include <array>
#include <cstdint>
#include <string_view>

#include "io/safetensors.h"

namespace pangu::io {

struct MindSporeType {
  std::string_view mindspore;
  DType dtype;
};
inline constexpr std::array kMindSporeTypes = {
    MindSporeType{"Float32", DType::F32},   MindSporeType{"Float16", DType::F16},
    MindSporeType{"BFloat16", DType::BF16}, MindSporeType{"Float64", DType::F64},
    MindSporeType{"Int8", DType::I8},       MindSporeType{"Int16", DType::I16},
    MindSporeType{"Int32", DType::I32},     MindSporeType{"Int64", DType::I64},
    MindSporeType{"UInt8", DType::U8},      MindSporeType{"UInt16", DType::U16},
    MindSporeType{"UInt32", DType::U32},    MindSporeType{"UInt64", DType::U64},
    MindSporeType{"Bool", DType::BOOL}};

// A key is (field << 3 | wire type).
enum Wire : uint64_t { kVarint = 0, kFixed64 = 1, kBytes = 2, kFixed32 = 5 };

}  // namespace pangu::io
