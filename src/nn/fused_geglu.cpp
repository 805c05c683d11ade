// CPU kernels of GEGLU: y = a Phi(g) g, dy/da = g Phi(g), dy/dg = a (Phi(g) + g phi(g)), Phi and
// phi the normal distribution's and its density.
#include "nn/fused_geglu.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "nn/parallel.h"
#include "nn/recorded.h"

// The kernels below gain from the vectoriser, which clang runs at -O2 already.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "nn/lane_math.h"

namespace pangu::nn {
namespace {

constexpr float kSqrtHalf = 0.70710678f;
constexpr float kDensityScale = 0.39894228f;  // 1 / sqrt(2 pi)
constexpr int64_t kRowsATask = 16;

template <typename T>
void forward_row(const T* __restrict a, const T* __restrict g, int64_t inner, T* __restrict y) {
  for (int64_t i = 0; i < inner; ++i) {
    const float v = lane::load(g[i]);
    const float gauss = lane::exp(-0.5f * v * v);
    const float phi = 0.5f * (1.0f + lane::erf_given_gauss(v * kSqrtHalf, gauss));
    lane::store(lane::load(a[i]) * v * phi, y[i]);
  }
}

template <typename T>
void backward_row(const T* __restrict a, const T* __restrict g, const T* __restrict dy,
                  int64_t inner, T* __restrict da, T* __restrict dg) {
  for (int64_t i = 0; i < inner; ++i) {
    const float v = lane::load(g[i]);
    const float d = lane::load(dy[i]);
    const float gauss = lane::exp(-0.5f * v * v);
    const float phi = 0.5f * (1.0f + lane::erf_given_gauss(v * kSqrtHalf, gauss));
    lane::store(d * v * phi, da[i]);
    lane::store(d * lane::load(a[i]) * (phi + v * kDensityScale * gauss), dg[i]);
  }
}

template <typename T>
void forward_kernel(const at::Tensor& x, at::Tensor& y) {
  const int64_t inner = y.size(-1);
  const T* in = x.const_data_ptr<T>();
  T* out = y.mutable_data_ptr<T>();
  at::parallel_for(0, y.numel() / inner, kRowsATask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* a = in + row * 2 * inner;
      forward_row(a, a + inner, inner, out + row * inner);
    }
  });
}

template <typename T>
void backward_kernel(const at::Tensor& x, const at::Tensor& dy, at::Tensor& dx) {
  const int64_t inner = dy.size(-1);
  const T* in = x.const_data_ptr<T>();
  const T* grad = dy.const_data_ptr<T>();
  T* out = dx.mutable_data_ptr<T>();
  at::parallel_for(0, dy.numel() / inner, kRowsATask, [&](int64_t begin, int64_t end) {
    for (int64_t row = begin; row < end; ++row) {
      const T* a = in + row * 2 * inner;
      T* da = out + row * 2 * inner;
      backward_row(a, a + inner, grad + row * inner, inner, da, da + inner);
    }
  });
}

class FusedGeglu : public torch::autograd::Function<FusedGeglu> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x) {
    auto sizes = x.sizes().vec();
    sizes.back() /= 2;
    at::Tensor y = at::empty(sizes, x.options());
    x.scalar_type() == at::kFloat ? forward_kernel<float>(x, y)
                                  : forward_kernel<c10::BFloat16>(x, y);
    context->save_for_backward({x});
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const at::Tensor x = context->get_saved_variables()[0];
    const at::Tensor dy = grads[0].to(x.scalar_type()).contiguous();
    at::Tensor dx = at::empty_like(x);
    x.scalar_type() == at::kFloat ? backward_kernel<float>(x, dy, dx)
                                  : backward_kernel<c10::BFloat16>(x, dy, dx);
    return {dx};
  }
};

}  // namespace

at::Tensor plain_geglu(const at::Tensor& x) {
  const auto halves = x.chunk(2, -1);
  return halves[0] * at::gelu(halves[1]);
}

at::Tensor geglu(const at::Tensor& x) {
  const Recorded call("pangu::geglu");
  const auto type = x.scalar_type();
  const bool fits = x.is_cpu() && x.is_contiguous() && x.numel() > 0 &&
                    (type == at::kFloat || type == at::kBFloat16);
  return fits ? FusedGeglu::apply(x) : plain_geglu(x);
}

}  // namespace pangu::nn
