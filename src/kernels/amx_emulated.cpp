// The level kAmxEmulated: the loops of kAmx, tiles in plain C++. It is compiled for AVX-512, which
// the loops use besides (CMakeLists.txt).
#include "kernels/attention_tiles.h"
#include "kernels/packed_product_tiles.h"

namespace pangu::kernels::amx {

void run_emulated(const AttentionProblem& p, const uint16_t* packed, int64_t begin, int64_t end) {
  TileEngine<PlainTiles> engine{.layout = attention_layout(p, kForm)};
  run_tasks(p, engine, packed, begin, end);
}

void product_run_emulated(const ProductProblem& p, int64_t begin, int64_t end) {
  ProductByTiles<PlainTiles> product(p);
  for (int64_t task = begin; task < end; ++task) product.run(task);
}

}  // namespace pangu::kernels::amx
