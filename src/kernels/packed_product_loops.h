// What the kernels for products have in common, at every width of vectors: the walk over tasks,
// panels and pixels, and what is done with complete sums. Everything is in an anonymous namespace:
// see vector_avx2.h.
#pragma once
#include "kernels/packed_product_tasks.h"
#include "kernels/vector_math.h"

namespace pangu::kernels {
namespace {

// Writes the results of one pixel and panel. scales: factors of the sums of its columns, null: 1.
template <class V>
inline void finish(const ProductProblem& p, int64_t panel, int64_t width, const float* sums,
                   const float* scales, int64_t pixel) {
  using Floats = typename V::Floats;
  const ProductActivation activation = p.weights.activation;
  const bool geglu = activation == ProductActivation::kGeglu;
  const int64_t results = p.weights.results(), each = geglu ? width / 2 : width;
  const int64_t first = panel * (geglu ? kPanel / 2 : kPanel);
  const auto complete = [&](int64_t column, int64_t output, const auto& lanes) {
    const Floats sum = V::load(sums + column);
    const Floats bias = p.bias ? V::load(p.bias + output, lanes) : V::zero();
    return scales ? V::fma(sum, V::load(scales + column), bias) : V::add(sum, bias);
  };
  for (int64_t j = 0; j < each; j += V::kCount) {
    const int64_t at = first + j;
    const auto lanes = V::first(results - at);
    Floats y = complete(j, at, lanes);
    if (geglu) {
      y = V::mul(y, gelu_of<V>(complete(each + j, results + at, lanes)));
    } else if (activation == ProductActivation::kSilu) {
      y = silu_of<V>(y);
    } else if (activation == ProductActivation::kGelu) {
      y = gelu_of<V>(y);
    }
    const int64_t from = pixel * p.residual_pixel + at, to = pixel * p.out_pixel + at;
    if (p.residual) y = V::add(y, V::load_bf16(p.residual + from, lanes));
    if (p.wide_residual) y = V::add(y, V::load(p.wide_residual + from, lanes));
    if (p.wide_out) {
      V::store(p.wide_out + to, lanes, y);
    } else {
      V::store_bf16(p.out + to, lanes, y);
    }
  }
}

// Asks for the lines of `count` numbers before they are needed. Always inlined, like its caller:
// gcc 12 drops a call of a function that does nothing but this.
template <class Number>
[[gnu::always_inline]] inline void ask_for(const Number* numbers, int64_t count) {
  constexpr int64_t kOfLine = 64 / sizeof(Number);
  for (int64_t i = 0; i < count; i += kOfLine) __builtin_prefetch(numbers + i);
}

// Asks for what a tile reads and writes besides inputs and weights. Rows of different pixels are
// too short for the processor to foresee them.
[[gnu::always_inline]] inline void ask_for_results(const ProductProblem& p, int64_t panel,
                                                   int64_t width, int64_t pixel, int64_t count) {
  const bool geglu = p.weights.activation == ProductActivation::kGeglu;
  const int64_t output = panel * (geglu ? kPanel / 2 : kPanel), each = geglu ? width / 2 : width;
  for (int64_t i = pixel; i < pixel + count; ++i) {
    const int64_t from = i * p.residual_pixel + output, to = i * p.out_pixel + output;
    p.wide_out ? ask_for(p.wide_out + to, each) : ask_for(p.out + to, each);
    if (p.residual) ask_for(p.residual + from, each);
    if (p.wide_residual) ask_for(p.wide_residual + from, each);
  }
}

// The same for inputs [pixels][inputs], those of the tile a chunk later.
template <class Number>
[[gnu::always_inline]] inline void ask_for_inputs(const ProductProblem& p, const Number* x,
                                                  int64_t pixel, int64_t count) {
  if (p.stride != 1 || p.doubles) return;
  const int64_t pixels = p.batch * p.height * p.width;
  for (int64_t i = pixel + kPixelChunk; i < pixel + kPixelChunk + count && i < pixels; ++i) {
    ask_for(x + i * p.x_pixel, p.weights.inputs);
  }
}

// The part of a panel's steps that a visit takes.
struct Visit {
  int64_t panel, begin, end;
};

// Sums of a task's pixels if a panel is visited several times, otherwise of one tile.
struct TaskSums {
  alignas(64) float numbers[kMostChunks * kPixelChunk * kPanel];
};

// Takes pixels [first, first + pixels) to a panel. A Kernel has
//   Vector                                         of vector_avx2.h or vector_avx512.h
//   PixelWalk                                      PixelWalk(p, pixel).take(count) gives a tile
//   add_products(tile, visit, width, adds, sums)   sums[pixels][kPanel] (+)= its part of the sums
//   ask_ahead(pixel, count)                        prefetches the inputs of a later tile
//   scales(panel)                                  as finish() takes them
template <class Kernel>
void take(const Kernel& kernel, const ProductProblem& p, const ProductTasks& tasks,
          const Visit& visit, int64_t first, int64_t pixels, bool first_panel, float* all_sums) {
  const int64_t width = ProductLayout(p.weights).width(visit.panel);
  const bool all = visit.begin == 0 && visit.end == tasks.steps;
  typename Kernel::PixelWalk walk(p, first);
  for (int64_t pixel = 0; pixel < pixels; pixel += kPixelTile) {
    const int64_t there = pixels - pixel < kPixelTile ? pixels - pixel : kPixelTile;
    const auto tile = walk.take(there);
    float* sums = all_sums + (all ? 0 : pixel * kPanel);
    if (all) {
      ask_for_results(p, visit.panel, width, first + pixel, there);
      if (first_panel) kernel.ask_ahead(first + pixel, there);
    }
    kernel.add_products(tile, visit, width, visit.begin > 0, sums);
    if (visit.end < tasks.steps) continue;
    for (int64_t i = 0; i < there; ++i) {
      finish<typename Kernel::Vector>(p, visit.panel, width, sums + i * kPanel,
                                      kernel.scales(visit.panel), first + pixel + i);
    }
  }
}

template <class Kernel>
void run_task(const Kernel& kernel, const ProductProblem& p, const ProductTasks& tasks,
              int64_t task, float* sums) {
  const int64_t all_panels = ProductLayout(p.weights).panels;
  const int64_t group = task / tasks.blocks * tasks.panels;
  const int64_t more = all_panels - group;
  const int64_t panels = group + (more < tasks.panels ? more : tasks.panels);
  const int64_t first = task % tasks.blocks * tasks.pixels, left = p.out_pixels() - first;
  const int64_t pixels = left < tasks.pixels ? left : tasks.pixels;
  for (int64_t begin = 0; begin < tasks.steps && !tasks.one_visit; begin += tasks.visit) {
    const int64_t end = begin + tasks.visit < tasks.steps ? begin + tasks.visit : tasks.steps;
    take(kernel, p, tasks, {group, begin, end}, first, pixels, true, sums);
  }
  for (int64_t pixel = 0; pixel < pixels && tasks.one_visit; pixel += kPixelChunk) {
    const int64_t count = pixels - pixel < kPixelChunk ? pixels - pixel : kPixelChunk;
    for (int64_t panel = group; panel < panels; ++panel) {
      take(kernel, p, tasks, {panel, 0, tasks.steps}, first + pixel, count, panel == group, sums);
    }
  }
}

}  // namespace
}  // namespace pangu::kernels
