// The level kAmx: loops of tiles, by the instructions for them. It is compiled for such processors
// whatever the rest is compiled for (CMakeLists.txt).
#include "kernels/attention_tiles.h"
#include "kernels/packed_product_tiles.h"

namespace pangu::kernels::amx {

void run(const AttentionProblem& p, const uint16_t* packed, int64_t begin, int64_t end) {
  TileEngine<Tiles> engine{.layout = attention_layout(p, kForm)};
  run_tasks(p, engine, packed, begin, end);
}

void product_run(const ProductProblem& p, int64_t begin, int64_t end) {
  ProductByTiles<Tiles> product(p);
  for (int64_t task = begin; task < end; ++task) product.run(task);
}

}  // namespace pangu::kernels::amx
