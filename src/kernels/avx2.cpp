// The level kAvx2: products in f32 by AVX2 and FMA. It is compiled for such processors
// whatever the rest is compiled for (CMakeLists.txt), so it includes nothing that defines inline
// functions which others use too: the linker could keep the copy made here.
#include "kernels/attention_f32.h"
#include "kernels/fast_conv_f32.h"
#include "kernels/packed_product_f32.h"
#include "kernels/vector_avx2.h"

namespace pangu::kernels::avx2 {

void pack(const AttentionProblem& problem, uint16_t* packed, int64_t begin, int64_t end) {
  pack_attention_f32(problem, packed, begin, end);
}

void run(const AttentionProblem& problem, const uint16_t* packed, int64_t begin, int64_t end) {
  run_attention_f32<Avx2>(problem, packed, begin, end);
}

void product_run(const ProductProblem& problem, int64_t begin, int64_t end) {
  run_products_f32<Avx2>(problem, begin, end);
}

void fast_conv_pack(const FastConvWeights& weights, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed) {
  pack_fast_conv<Avx2>(weights, panel, numbers, packed);
}

void write_pairs(const PairsInput& input, int64_t begin, int64_t end) {
  write_pairs_of<Avx2>(input, begin, end);
}

void fast_conv_run(const FastConvProblem& problem, int64_t begin, int64_t end) {
  run_fast_conv<Avx2, F32Products<Avx2>>(problem, begin, end);
}

}  // namespace pangu::kernels::avx2
