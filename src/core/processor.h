// What the processor at hand can do, as far as numbers are kept in another format for it.
#pragma once

namespace pangu {

// Whether it has an instruction for products of pairs of bf16 numbers (AVX512-BF16; every processor
// with AMX has it too), without which libtorch's operators are slower in bf16 than in f32.
// PANGU_KERNELS, which our own kernels obey, changes nothing.
bool processor_multiplies_bf16();

}  // namespace pangu
