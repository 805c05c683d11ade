// CPU kernels of the fused group norm. Legend: P pixels, C channels, G groups, M = P * C / G values
// a group.
//   z = (x + shift - mean) rstd w + b = (x + shift) a + s,  y = silu(z)
// Gradients (Wu and He 2018, by the chain rule): with dz = dy silu'(z), S1 = sum w dz and S2 = sum
// w dz xhat over a group,  dx = a dz - rstd (S1 + xhat S2) / M,  dw = sum dz xhat,  db = sum dz,
// dshift = sum of dx over pixels.
#include "nn/fused_norm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <vector>

// The kernels below are worth a vectoriser; clang has it at -O2.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "nn/lane_math.h"

namespace pangu::nn {
namespace {

struct Sizes {
  int64_t batch, channels, pixels, groups;
  double eps;
  bool silu;
};

// Per-channel factors of one sample: z = x a + s, and x + centre = x + shift - mean.
struct Affine {
  explicit Affine(const Sizes& n)
      : a(static_cast<size_t>(n.channels)), s(a.size()), centre(a.size()) {}
  std::vector<float> a, s, centre;
};

// sum and sum of squares of (x + shift) over pixels, per channel.
template <typename T>
void moments(const T* x, const float* shift, const Sizes& n, float* __restrict sum,
             float* __restrict square) {
  const int64_t c_end = n.channels;
  for (int64_t c = 0; c < c_end; ++c) sum[c] = square[c] = 0.0f;
  int64_t p = 0;
  for (; p + 4 <= n.pixels; p += 4) {
    const T* __restrict r0 = x + p * c_end;
    const T* __restrict r1 = r0 + c_end;
    const T* __restrict r2 = r1 + c_end;
    const T* __restrict r3 = r2 + c_end;
    for (int64_t c = 0; c < c_end; ++c) {
      const float v0 = lane::load(r0[c]) + shift[c], v1 = lane::load(r1[c]) + shift[c];
      const float v2 = lane::load(r2[c]) + shift[c], v3 = lane::load(r3[c]) + shift[c];
      sum[c] += (v0 + v1) + (v2 + v3);
      square[c] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
  }
  for (; p < n.pixels; ++p) {
    const T* __restrict row = x + p * c_end;
    for (int64_t c = 0; c < c_end; ++c) {
      const float v = lane::load(row[c]) + shift[c];
      sum[c] += v;
      square[c] += v * v;
    }
  }
}

// Fills the affine form from group statistics mean, rstd [G].
template <typename T>
void fill_affine(const float* mean, const float* rstd, const T* weight, const T* bias,
                 const float* shift, const Sizes& n, Affine& f) {
  const int64_t width = n.channels / n.groups;
  for (int64_t c = 0; c < n.channels; ++c) {
    const auto i = static_cast<size_t>(c);
    f.centre[i] = shift[c] - mean[c / width];
    f.a[i] = rstd[c / width] * lane::load(weight[c]);
    f.s[i] = f.centre[i] * f.a[i] + lane::load(bias[c]);
  }
}

template <typename T, bool kSilu>
void apply(const T* __restrict x, const Affine& f, const Sizes& n, T* __restrict y) {
  const float* __restrict a = f.a.data();
  const float* __restrict s = f.s.data();
  for (int64_t p = 0; p < n.pixels; ++p) {
    const T* __restrict in = x + p * n.channels;
    T* __restrict out = y + p * n.channels;
    for (int64_t c = 0; c < n.channels; ++c) {
      const float z = lane::load(in[c]) * a[c] + s[c];
      lane::store(kSilu ? z * lane::sigmoid(z) : z, out[c]);
    }
  }
}

// dz into scratch [P,C], and its sums over pixels: by itself, and times x + centre.
template <typename T, bool kSilu>
void gradient_of_affine(const T* __restrict x, const T* __restrict dy, const Affine& f,
                        const Sizes& n, float* __restrict scratch, float* __restrict sum,
                        float* __restrict sum_x) {
  const float* __restrict a = f.a.data();
  const float* __restrict s = f.s.data();
  const float* __restrict centre = f.centre.data();
  for (int64_t c = 0; c < n.channels; ++c) sum[c] = sum_x[c] = 0.0f;
  for (int64_t p = 0; p < n.pixels; ++p) {
    const T* __restrict in = x + p * n.channels;
    const T* __restrict grad = dy + p * n.channels;
    float* __restrict dz = scratch + p * n.channels;
    for (int64_t c = 0; c < n.channels; ++c) {
      const float v = lane::load(in[c]);
      float d = lane::load(grad[c]);
      if (kSilu) {
        const float z = v * a[c] + s[c];
        const float g = lane::sigmoid(z);
        d *= g * (1.0f + z * (1.0f - g));
      }
      dz[c] = d;
      sum[c] += d;
      sum_x[c] += d * (v + centre[c]);
    }
  }
}

// dx = dz a + x p + q, and its sum over pixels.
template <typename T>
void gradient_of_input(const T* __restrict x, const float* __restrict scratch, const Affine& f,
                       const float* __restrict slope, const float* __restrict offset,
                       const Sizes& n, T* __restrict dx, float* __restrict dshift) {
  const float* __restrict a = f.a.data();
  for (int64_t c = 0; c < n.channels; ++c) dshift[c] = 0.0f;
  for (int64_t p = 0; p < n.pixels; ++p) {
    const T* __restrict in = x + p * n.channels;
    const float* __restrict dz = scratch + p * n.channels;
    T* __restrict out = dx + p * n.channels;
    for (int64_t c = 0; c < n.channels; ++c) {
      const float d = dz[c] * a[c] + lane::load(in[c]) * slope[c] + offset[c];
      dshift[c] += d;
      lane::store(d, out[c]);
    }
  }
}

template <typename T>
void forward_kernel(const Sizes& n, const T* x, const T* weight, const T* bias, const float* shift,
                    T* y, float* mean, float* rstd) {
  at::parallel_for(0, n.batch, 1, [&](int64_t begin, int64_t end) {
    Affine f(n);
    std::vector<float> sum(f.a.size()), square(f.a.size());
    const int64_t width = n.channels / n.groups;
    const double count = static_cast<double>(n.pixels * width);
    for (int64_t b = begin; b < end; ++b) {
      const T* in = x + b * n.pixels * n.channels;
      const float* add = shift + b * n.channels;
      moments(in, add, n, sum.data(), square.data());
      for (int64_t g = 0; g < n.groups; ++g) {
        double total = 0, total_square = 0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
          total += sum[static_cast<size_t>(c)];
          total_square += square[static_cast<size_t>(c)];
        }
        const double m = total / count;
        const double variance = std::max(total_square / count - m * m, 0.0);
        mean[b * n.groups + g] = static_cast<float>(m);
        rstd[b * n.groups + g] = static_cast<float>(1.0 / std::sqrt(variance + n.eps));
      }
      fill_affine(mean + b * n.groups, rstd + b * n.groups, weight, bias, add, n, f);
      T* out = y + b * n.pixels * n.channels;
      n.silu ? apply<T, true>(in, f, n, out) : apply<T, false>(in, f, n, out);
    }
  });
}

struct Gradients {
  at::Tensor dx, dshift, dweight, dbias;  // the last three f32 [B,C]
};

template <typename T>
void backward_kernel(const Sizes& n, const T* x, const T* dy, const T* weight, const T* bias,
                     const float* shift, const float* mean, const float* rstd, Gradients& out) {
  T* dx = out.dx.mutable_data_ptr<T>();
  float* dshift = out.dshift.mutable_data_ptr<float>();
  float* dweight = out.dweight.mutable_data_ptr<float>();
  float* dbias = out.dbias.mutable_data_ptr<float>();
  at::parallel_for(0, n.batch, 1, [&](int64_t begin, int64_t end) {
    Affine f(n);
    const size_t channels = f.a.size();
    std::vector<float> scratch(channels * static_cast<size_t>(n.pixels));
    std::vector<float> sum_x(channels), slope(channels),
        offset(channels);  // sum_x: of dz (x + centre)
    const int64_t width = n.channels / n.groups;
    const double count = static_cast<double>(n.pixels * width);
    for (int64_t b = begin; b < end; ++b) {
      const T* in = x + b * n.pixels * n.channels;
      const T* grad = dy + b * n.pixels * n.channels;
      const float* add = shift + b * n.channels;
      float* sum = dbias + b * n.channels;
      fill_affine(mean + b * n.groups, rstd + b * n.groups, weight, bias, add, n, f);
      n.silu ? gradient_of_affine<T, true>(in, grad, f, n, scratch.data(), sum, sum_x.data())
             : gradient_of_affine<T, false>(in, grad, f, n, scratch.data(), sum, sum_x.data());
      for (int64_t g = 0; g < n.groups; ++g) {
        const double r = rstd[b * n.groups + g];
        double s1 = 0, s2 = 0;
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
          const double dz_xhat = sum_x[static_cast<size_t>(c)] * r;
          dweight[b * n.channels + c] = static_cast<float>(dz_xhat);
          s1 += lane::load(weight[c]) * sum[c];
          s2 += lane::load(weight[c]) * dz_xhat;
        }
        for (int64_t c = g * width; c < (g + 1) * width; ++c) {
          const auto i = static_cast<size_t>(c);
          slope[i] = static_cast<float>(-r * r * s2 / count);
          offset[i] = static_cast<float>(-r * s1 / count) + slope[i] * f.centre[i];
        }
      }
      gradient_of_input(in, scratch.data(), f, slope.data(), offset.data(), n,
                        dx + b * n.pixels * n.channels, dshift + b * n.channels);
    }
  });
}

class FusedGroupNorm : public torch::autograd::Function<FusedGroupNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& shift, int64_t groups, double eps, bool silu) {
    const Sizes n{x.size(0), x.size(1), x.size(2) * x.size(3), groups, eps, silu};
    const auto wide = x.options().dtype(at::kFloat).memory_format(std::nullopt);
    const at::Tensor shift_wide = shift.to(at::kFloat).contiguous();
    const at::Tensor w = weight.contiguous();
    const at::Tensor b = bias.contiguous();
    at::Tensor y = at::empty_like(x);
    at::Tensor mean = at::empty({n.batch, groups}, wide);
    at::Tensor rstd = at::empty({n.batch, groups}, wide);
    const auto run = [&]<typename T>(T) {
      forward_kernel<T>(n, x.const_data_ptr<T>(), w.const_data_ptr<T>(), b.const_data_ptr<T>(),
                        shift_wide.const_data_ptr<float>(), y.mutable_data_ptr<T>(),
                        mean.mutable_data_ptr<float>(), rstd.mutable_data_ptr<float>());
    };
    x.scalar_type() == at::kFloat ? run(0.0f) : run(c10::BFloat16());
    context->save_for_backward({x, w, b, shift_wide, mean, rstd});
    context->saved_data["groups"] = groups;
    context->saved_data["silu"] = silu;
    return y;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 torch::autograd::variable_list grads) {
    const auto saved = context->get_saved_variables();
    const at::Tensor& x = saved[0];
    const auto type = x.scalar_type();
    const at::Tensor dy = grads[0].to(type).contiguous(at::MemoryFormat::ChannelsLast);
    const Sizes n{x.size(0),
                  x.size(1),
                  x.size(2) * x.size(3),
                  context->saved_data["groups"].toInt(),
                  0.0,
                  context->saved_data["silu"].toBool()};
    Gradients g;
    g.dx = at::empty_like(x);
    g.dshift = at::empty({n.batch, n.channels}, saved[3].options());
    g.dweight = at::empty_like(g.dshift);
    g.dbias = at::empty_like(g.dshift);
    const auto run = [&]<typename T>(T) {
      backward_kernel<T>(n, x.const_data_ptr<T>(), dy.const_data_ptr<T>(),
                         saved[1].const_data_ptr<T>(), saved[2].const_data_ptr<T>(),
                         saved[3].const_data_ptr<float>(), saved[4].const_data_ptr<float>(),
                         saved[5].const_data_ptr<float>(), g);
    };
    type == at::kFloat ? run(0.0f) : run(c10::BFloat16());
    return {g.dx, g.dweight.sum(0).to(type), g.dbias.sum(0).to(type), g.dshift.to(type), {}, {},
            {}};
  }
};

bool fits_fused(const at::Tensor& x, const torch::nn::GroupNorm& norm, const at::Tensor& shift) {
  const auto type = x.scalar_type();
  return x.is_cpu() && x.dim() == 4 && (type == at::kFloat || type == at::kBFloat16) &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.numel() > 0 &&
         norm->weight.defined() && norm->weight.scalar_type() == type &&
         (!shift.defined() || shift.scalar_type() == type);
}

}  // namespace

at::Tensor plain_group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, AfterNorm after,
                            const at::Tensor& shift) {
  const at::Tensor shifted = shift.defined() ? x + shift.unsqueeze(-1).unsqueeze(-1) : x;
  const auto& options = norm->options;
  const at::Tensor y =
      at::group_norm(shifted, options.num_groups(), norm->weight, norm->bias, options.eps());
  return after == AfterNorm::kSilu ? at::silu(y) : y;
}

at::Tensor group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, AfterNorm after,
                      const at::Tensor& shift) {
  if (!fits_fused(x, norm, shift)) return plain_group_norm(x, norm, after, shift);
  // Autograd wants a tensor where there is none.
  const at::Tensor added =
      shift.defined() ? shift
                      : at::zeros({x.size(0), x.size(1)}, at::TensorOptions(x.scalar_type()));
  return FusedGroupNorm::apply(x, norm->weight, norm->bias, added, norm->options.num_groups(),
                               norm->options.eps(), after == AfterNorm::kSilu);
}

}  // namespace pangu::nn
