// Products of bytes on processors with AVX512-VNNI, without AVX512-BF16. This file is compiled for
// them whatever the rest is compiled for (CMakeLists.txt).
#include "kernels/int8_product_avx512.h"

namespace pangu::kernels::avx512_vnni {

void int8_run(const Int8Problem& problem, int64_t begin, int64_t end) {
  run_int8(problem, begin, end);
}

void int8_rows(const Int8Rows& rows, int64_t begin, int64_t end) {
  round_int8_rows(rows, begin, end);
}

}  // namespace pangu::kernels::avx512_vnni
