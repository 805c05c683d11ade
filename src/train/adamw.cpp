#include "train/adamw.h"

#include <algorithm>
#include <bit>
#include <cmath>

namespace pangu::train {
namespace {

constexpr int64_t kBlock = kCodeBlock;
constexpr int kLanes = 16;

// Up to kBlock gradients as f32, in `room` where they are not.
const float* gradients_at(const Gradient& g, int64_t first, int64_t count, float* room) {
  if (g.f32) return g.f32 + first;
  const uint16_t* from = g.bf16 + first;
  for (int64_t i = 0; i < count; ++i) room[i] = std::bit_cast<float>(uint32_t(from[i]) << 16);
  return room;
}

void join(const uint16_t* high, const int16_t* low, int64_t count, float* master) {
  for (int64_t i = 0; i < count; ++i) master[i] = std::bit_cast<float>(joined(high[i], low[i]));
}

void split(const float* master, int64_t count, uint16_t* high, int16_t* low) {
  for (int64_t i = 0; i < count; ++i) {
    const auto bits = std::bit_cast<uint32_t>(master[i]);
    high[i] = upper_half(bits);
    low[i] = lower_half(bits);
  }
}

void update(float* w, float* m, float* v, const float* gradient, int64_t count,
            const AdamWConstants& c) {
  const float step = c.lr / c.correction1, root = 1.0f / std::sqrt(c.correction2);
  const float kept = 1 - c.lr * c.decay;
  for (int64_t i = 0; i < count; ++i) {
    const float g = gradient[i] * c.grad_scale;
    m[i] = c.beta1 * m[i] + (1 - c.beta1) * g;
    v[i] = c.beta2 * v[i] + (1 - c.beta2) * g * g;
    w[i] = w[i] * kept - step * m[i] / (std::sqrt(v[i]) * root + c.eps);
  }
}

void step_block(const AdamWState& s, const Gradient& gradient, int64_t first, int64_t count,
                const AdamWConstants& c) {
  float grad_room[kBlock], master_room[kBlock], m_room[kBlock], v_room[kBlock];
  const float* g = gradients_at(gradient, first, count, grad_room);
  float* w = s.master ? s.master + first : master_room;
  float* m = s.m ? s.m + first : m_room;
  float* v = s.v ? s.v + first : v_room;
  const int64_t block = first / kBlock;
  if (!s.master) join(s.high + first, s.low + first, count, w);
  if (!s.m) decode_block(CodeKind::kSigned, s.m_codes + first, count, s.m_scales[block], m);
  if (!s.v) {
    decode_block(CodeKind::kPositive, s.root_codes + first, count, s.root_scales[block], v);
    for (int64_t i = 0; i < count; ++i) v[i] *= v[i];
  }
  update(w, m, v, g, count, c);
  if (s.high) split(w, count, s.high + first, s.low + first);
  if (!s.m) s.m_scales[block] = encode_block(CodeKind::kSigned, m, count, s.m_codes + first);
  if (!s.v) {
    for (int64_t i = 0; i < count; ++i) v[i] = std::sqrt(v[i]);
    s.root_scales[block] = encode_block(CodeKind::kPositive, v, count, s.root_codes + first);
  }
  if (!s.ema) return;
  float* average = s.ema + first;
  for (int64_t i = 0; i < count; ++i) average[i] += (1 - c.ema_decay) * (w[i] - average[i]);
}

}  // namespace

void adamw_step(const AdamWState& state, const Gradient& gradient, int64_t first, int64_t count,
                const AdamWConstants& constants) {
  for (int64_t done = 0; done < count; done += kBlock) {
    step_block(state, gradient, first + done, std::min(kBlock, count - done), constants);
  }
}

double sum_of_squares(const Gradient& gradient, int64_t count) {
  double sum = 0;
  for (int64_t first = 0; first < count; first += kBlock) {
    float room[kBlock], lanes[kLanes] = {};
    const int64_t here = std::min(kBlock, count - first);
    const float* g = gradients_at(gradient, first, here, room);
    int64_t i = 0;
    for (; i + kLanes <= here; i += kLanes) {
      for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += g[i + lane] * g[i + lane];
    }
    for (; i < here; ++i) lanes[i % kLanes] += g[i] * g[i];
    for (const float lane : lanes) sum += double(lane);
  }
  return sum;
}

}  // namespace pangu::train
