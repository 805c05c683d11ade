#include "kernels/fast_conv.h"

#include "kernels/bf16.h"
#include "kernels/fast_conv_layout.h"

namespace pangu::kernels {
bool fast_conv_fits(const FastConvWeights& w, Level level) {
  const bool has_kernel =
      level == Level::kAvx2 || level == Level::kAvx512 || level == Level::kAvx512Bf16;
  return has_kernel && w.outputs > 0 && w.inputs > 0 && w.inputs % 2 == 0 &&
         w.inputs / 2 <= kStepBlock;
}

int64_t fast_conv_packed_size(const FastConvWeights& w) {
  const FastConvLayout layout(w);
  return layout.columns * kParts * layout.part_pairs * 2;
}

int64_t fast_conv_panels(const FastConvWeights& w) { return FastConvLayout(w).panels; }

void fast_conv_pack(const FastConvWeights& w, int64_t panel, const FastConvNumbers& numbers,
                    uint16_t* packed, Level level) {
  if (level == Level::kAvx2) return avx2::fast_conv_pack(w, panel, numbers, packed);
  if (level == Level::kAvx512) return avx512::fast_conv_pack(w, panel, numbers, packed);
  if (level == Level::kAvx512Bf16) avx512_bf16::fast_conv_pack(w, panel, numbers, packed);
}

void fast_conv_unpack(const FastConvWeights& w, const uint16_t* packed, float* numbers) {
  const FastConvLayout layout(w);
  for (int64_t output = 0; output < w.outputs; ++output) {
    const int64_t panel = output / kPanel, column = output % kPanel, width = layout.width(panel);
    for (int64_t tap = 0; tap < 3; ++tap) {
      for (int64_t input = 0; input < w.inputs; ++input) {
        const auto part = [&](int64_t number) {
          const uint16_t* from = packed + layout.begin(panel, number, tap);
          return from_bf16(from[(input / 2 * width + column) * 2 + input % 2]);
        };
        float* to = numbers + (output * 9 + tap * 3) * w.inputs + input;
        to[0] = part(0), to[w.inputs] = part(1) - part(2), to[2 * w.inputs] = part(3);
      }
    }
  }
}

void write_pairs(const PairsInput& input, int64_t begin, int64_t end, Level level) {
  if (level == Level::kAvx2) return avx2::write_pairs(input, begin, end);
  if (level == Level::kAvx512) return avx512::write_pairs(input, begin, end);
  if (level == Level::kAvx512Bf16) avx512_bf16::write_pairs(input, begin, end);
}

int64_t fast_conv_tasks(const FastConvProblem& c) {
  if (c.places() <= 0) return 0;
  const FastConvTasks tasks(c);
  return tasks.groups * tasks.blocks;
}

void fast_conv_run(const FastConvProblem& c, int64_t begin, int64_t end, Level level) {
  if (level == Level::kAvx2) return avx2::fast_conv_run(c, begin, end);
  if (level == Level::kAvx512) return avx512::fast_conv_run(c, begin, end);
  if (level == Level::kAvx512Bf16) avx512_bf16::fast_conv_run(c, begin, end);
}

}  // namespace pangu::kernels
