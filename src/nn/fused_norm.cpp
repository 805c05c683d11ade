// CPU kernels of the fused group norm. Legend: P pixels, C channels, G groups, M = P * C / G values
// a group.
//   z = (x + shift - mean) rstd w + b = (x + shift) a + s,  y = silu(z)
// Gradients (Wu and He 2018, by the chain rule): with dz = dy silu'(z), S1 = sum w dz and S2 = sum
// w dz xhat over a group,  dx = a dz - rstd (S1 + xhat S2) / M,  dw = sum dz xhat,  db = sum dz,
// dshift = sum of dx over pixels.
// A sum over pixels is made of sums of fixed blocks of pixels, added in the blocks' order: threads
// share the blocks, and the result does not depend on the number of threads. A variance is never
// computed as a difference of two large sums, which is inexact where the mean is large: every block
// is summed about a value near its own mean, and blocks are combined as by Chan, Golub and LeVeque
// (1979).
#include "nn/fused_norm.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <vector>

#include "nn/parallel.h"

// The kernels below gain from the vectoriser, which clang runs at -O2 already.
#if defined(__GNUC__) && !defined(__clang__)
#pragma GCC optimize("O3")
#endif
#include "nn/lane_math.h"

namespace pangu::nn {
namespace {

// The number of values of a block: few enough to stay in a core's cache between the two passes over
// them.
constexpr int64_t kBlockValues = 1 << 14;
constexpr int64_t kFewestBlockPixels = 32;  // fewer would not outweigh combining the blocks
// A block is summed about the mean of every 8th of its pixels. That mean is off by at most sqrt(8)
// deviations of the block (Cauchy and Schwarz: those pixels alone hold so much of its squares), and
// so the sum of squares cancels by a factor of 9 at worst.
constexpr int64_t kCentreStride = 8;

struct Sizes {
  int64_t batch, channels, pixels, groups;
  double eps;
  bool silu;

  int64_t width() const { return channels / groups; }  // channels a group
  int64_t block_pixels() const { return std::max(kBlockValues / channels, kFewestBlockPixels); }
  int64_t blocks() const { return (pixels + block_pixels() - 1) / block_pixels(); }  // a sample
};

// Calls visit(block, first pixel, pixels) for every block of a sample, on all threads.
template <typename Visit>
void for_blocks(const Sizes& n, const Visit& visit) {
  at::parallel_for(0, n.blocks(), 1, [&](int64_t begin, int64_t end) {
    for (int64_t block = begin; block < end; ++block) {
      const int64_t first = block * n.block_pixels();
      visit(block, first, std::min(n.block_pixels(), n.pixels - first));
    }
  });
}

// Calls visit(sample) for every sample. Threads divide the samples if their number divides evenly
// (a for_blocks inside then runs on one thread), and otherwise the blocks of each sample.
template <typename Visit>
void for_samples(const Sizes& n, const Visit& visit) {
  const int64_t threads = at::get_num_threads();
  if (n.batch % threads == 0 || n.batch >= 4 * threads) {
    at::parallel_for(0, n.batch, 1, [&](int64_t begin, int64_t end) {
      for (int64_t b = begin; b < end; ++b) visit(b);
    });
  } else {
    for (int64_t b = 0; b < n.batch; ++b) visit(b);
  }
}

// The norm of one sample in the form z = x a + s, and the centre with x + centre = x + shift -
// mean. All are [C].
struct Affine {
  explicit Affine(const Sizes& n)
      : a(static_cast<size_t>(n.channels)), s(a.size()), centre(a.size()) {}
  std::vector<float> a, s, centre;
};

// The mean of some values, and the sum of the squares of their differences from it.
struct Moments {
  double mean, squares;
};

// The moments of several parts together; count(i) is the number of values of part i.
template <typename Part, typename Count>
Moments combined(int64_t parts, const Part& part, const Count& count) {
  double total = 0, values = 0;
  for (int64_t i = 0; i < parts; ++i) {
    total += count(i) * part(i).mean;
    values += count(i);
  }
  Moments all{total / values, 0};
  for (int64_t i = 0; i < parts; ++i) {
    const Moments m = part(i);
    const double apart = m.mean - all.mean;
    all.squares += m.squares + count(i) * apart * apart;
  }
  return all;
}

// Computes the mean [C] of every kCentreStride-th row of x [rows,C].
template <typename T>
void rough_mean(const T* x, int64_t rows, int64_t channels, float* __restrict mean) {
  for (int64_t p = 0; p < rows; p += kCentreStride) {
    const T* __restrict row = x + p * channels;
    for (int64_t c = 0; c < channels; ++c) mean[c] += lane::load(row[c]);
  }
  const auto taken = static_cast<float>((rows + kCentreStride - 1) / kCentreStride);
  for (int64_t c = 0; c < channels; ++c) mean[c] /= taken;
}

// Adds the differences of x [rows,C] from centre [C] to `sum`, and their squares to `square`.
template <typename T>
void add_differences(const T* x, int64_t rows, int64_t channels, const float* __restrict centre,
                     float* __restrict sum, float* __restrict square) {
  int64_t p = 0;
  for (; p + 4 <= rows; p += 4) {
    const T* __restrict r0 = x + p * channels;
    const T* __restrict r1 = r0 + channels;
    const T* __restrict r2 = r1 + channels;
    const T* __restrict r3 = r2 + channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float v0 = lane::load(r0[c]) - centre[c], v1 = lane::load(r1[c]) - centre[c];
      const float v2 = lane::load(r2[c]) - centre[c], v3 = lane::load(r3[c]) - centre[c];
      sum[c] += (v0 + v1) + (v2 + v3);
      square[c] += (v0 * v0 + v1 * v1) + (v2 * v2 + v3 * v3);
    }
  }
  for (; p < rows; ++p) {
    const T* __restrict row = x + p * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float v = lane::load(row[c]) - centre[c];
      sum[c] += v;
      square[c] += v * v;
    }
  }
}

// Computes the moments of x + shift over the rows of one block, for each group. x: [rows,C].
template <typename T>
void block_moments(const T* x, int64_t rows, const float* shift, const Sizes& n, Moments* groups) {
  const auto channels = static_cast<size_t>(n.channels);
  std::vector<float> centre(channels), rest(channels), squares(channels);
  rough_mean(x, rows, n.channels, centre.data());
  add_differences(x, rows, n.channels, centre.data(), rest.data(), squares.data());
  const auto count = static_cast<double>(rows);
  for (int64_t g = 0; g < n.groups; ++g) {
    const auto channel = [&](int64_t i) {
      const auto c = static_cast<size_t>(g * n.width() + i);
      const double off = rest[c] / count;
      return Moments{centre[c] + off + shift[c], squares[c] - rest[c] * off};
    };
    groups[g] = combined(n.width(), channel, [&](int64_t) { return count; });
  }
}

// Computes mean and rstd [G] of one sample x + shift. x: [P,C].
template <typename T>
void statistics(const T* x, const float* shift, const Sizes& n, double* mean, double* rstd) {
  std::vector<Moments> blocks(static_cast<size_t>(n.blocks() * n.groups));
  for_blocks(n, [&](int64_t block, int64_t first, int64_t rows) {
    block_moments(x + first * n.channels, rows, shift, n, blocks.data() + block * n.groups);
  });
  const auto values = [&](int64_t block) {  // the number of values of a group in one block
    const int64_t left = n.pixels - block * n.block_pixels();
    return static_cast<double>(std::min(n.block_pixels(), left) * n.width());
  };
  for (int64_t g = 0; g < n.groups; ++g) {
    const auto part = [&](int64_t block) {
      return blocks[static_cast<size_t>(block * n.groups + g)];
    };
    const Moments group = combined(n.blocks(), part, values);
    const double variance = group.squares / static_cast<double>(n.pixels * n.width());
    mean[g] = group.mean;
    rstd[g] = 1.0 / std::sqrt(variance + n.eps);
  }
}

// Fills the affine form from group statistics mean, rstd [G].
template <typename T>
void fill_affine(const double* mean, const double* rstd, const T* weight, const T* bias,
                 const float* shift, const Sizes& n, Affine& f) {
  for (int64_t c = 0; c < n.channels; ++c) {
    const auto i = static_cast<size_t>(c);
    const double centre = shift[c] - mean[c / n.width()];
    f.centre[i] = static_cast<float>(centre);
    f.a[i] = static_cast<float>(rstd[c / n.width()] * lane::load(weight[c]));
    f.s[i] = static_cast<float>(centre * f.a[i] + lane::load(bias[c]));
  }
}

// x, y: [rows,C]
template <bool kSilu, typename T, typename Result>
void apply(const T* __restrict x, const Affine& f, int64_t rows, Result* __restrict y) {
  const float* __restrict a = f.a.data();
  const float* __restrict s = f.s.data();
  const auto channels = static_cast<int64_t>(f.a.size());
  for (int64_t p = 0; p < rows; ++p) {
    const T* __restrict in = x + p * channels;
    Result* __restrict out = y + p * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float z = lane::load(in[c]) * a[c] + s[c];
      lane::store(kSilu ? z * lane::sigmoid(z) : z, out[c]);
    }
  }
}

// Writes dz [rows,C], and adds up over rows dz and dz times x + centre.
template <typename T, bool kSilu>
void gradient_of_affine(const T* __restrict x, const T* __restrict dy, const Affine& f,
                        int64_t rows, float* __restrict dz, float* __restrict sum,
                        float* __restrict sum_x) {
  const float* __restrict a = f.a.data();
  const float* __restrict s = f.s.data();
  const float* __restrict centre = f.centre.data();
  const auto channels = static_cast<int64_t>(f.a.size());
  for (int64_t p = 0; p < rows; ++p) {
    const T* __restrict in = x + p * channels;
    const T* __restrict grad = dy + p * channels;
    float* __restrict out = dz + p * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float v = lane::load(in[c]);
      float d = lane::load(grad[c]);
      if (kSilu) {
        const float z = v * a[c] + s[c];
        const float g = lane::sigmoid(z);
        d *= g * (1.0f + z * (1.0f - g));
      }
      out[c] = d;
      sum[c] += d;
      sum_x[c] += d * (v + centre[c]);
    }
  }
}

// Computes dx = dz a + x slope + offset, and its sum over rows.
template <typename T>
void gradient_of_input(const T* __restrict x, const float* __restrict dz, const Affine& f,
                       const float* __restrict slope, const float* __restrict offset, int64_t rows,
                       T* __restrict dx, float* __restrict sum) {
  const float* __restrict a = f.a.data();
  const auto channels = static_cast<int64_t>(f.a.size());
  for (int64_t p = 0; p < rows; ++p) {
    const T* __restrict in = x + p * channels;
    const float* __restrict grad = dz + p * channels;
    T* __restrict out = dx + p * channels;
    for (int64_t c = 0; c < channels; ++c) {
      const float d = grad[c] * a[c] + lane::load(in[c]) * slope[c] + offset[c];
      sum[c] += d;
      lane::store(d, out[c]);
    }
  }
}

template <typename T, typename Result>
void forward_kernel(const Sizes& n, const T* x, const T* weight, const T* bias, const float* shift,
                    Result* y, double* mean, double* rstd) {
  for_samples(n, [&](int64_t b) {
    const T* in = x + b * n.pixels * n.channels;
    Result* out = y + b * n.pixels * n.channels;
    const float* add = shift + b * n.channels;
    statistics(in, add, n, mean + b * n.groups, rstd + b * n.groups);
    Affine f(n);
    fill_affine(mean + b * n.groups, rstd + b * n.groups, weight, bias, add, n, f);
    for_blocks(n, [&](int64_t, int64_t first, int64_t rows) {
      const int64_t at = first * n.channels;
      n.silu ? apply<true>(in + at, f, rows, out + at) : apply<false>(in + at, f, rows, out + at);
    });
  });
}

// The affine form of every sample: a [B,C] and then s [B,C].
template <typename T>
void affine_kernel(const Sizes& n, const T* x, const T* weight, const T* bias, const float* shift,
                   float* affine) {
  for_samples(n, [&](int64_t b) {
    std::vector<double> mean(static_cast<size_t>(n.groups)), rstd(mean.size());
    const float* add = shift + b * n.channels;
    statistics(x + b * n.pixels * n.channels, add, n, mean.data(), rstd.data());
    Affine f(n);
    fill_affine(mean.data(), rstd.data(), weight, bias, add, n, f);
    std::copy(f.a.begin(), f.a.end(), affine + b * n.channels);
    std::copy(f.s.begin(), f.s.end(), affine + (n.batch + b) * n.channels);
  });
}

// Holds a sum [C] for each block of a sample, and adds them up.
class BlockSums {
 public:
  explicit BlockSums(const Sizes& n) : n_(n), sums_(static_cast<size_t>(n.blocks() * n.channels)) {}
  float* block_sum(int64_t block) { return sums_.data() + block * n_.channels; }
  double total(int64_t c) const {
    double all = 0;
    for (int64_t i = 0; i < n_.blocks(); ++i)
      all += sums_[static_cast<size_t>(i * n_.channels + c)];
    return all;
  }

 private:
  const Sizes& n_;
  std::vector<float> sums_;
};

struct Gradients {
  at::Tensor dx, dshift, dweight, dbias;  // the last three are f32 [B,C]
};

template <typename T>
void backward_kernel(const Sizes& n, const T* x, const T* dy, const T* weight, const T* bias,
                     const float* shift, const double* mean, const double* rstd, Gradients& out) {
  T* dx = out.dx.mutable_data_ptr<T>();
  float* dshift = out.dshift.mutable_data_ptr<float>();
  float* dweight = out.dweight.mutable_data_ptr<float>();
  float* dbias = out.dbias.mutable_data_ptr<float>();
  for_samples(n, [&](int64_t b) {
    const int64_t start = b * n.pixels * n.channels;
    const double* r = rstd + b * n.groups;
    float* dw = dweight + b * n.channels;
    float* db = dbias + b * n.channels;
    Affine f(n);
    fill_affine(mean + b * n.groups, r, weight, bias, shift + b * n.channels, n, f);

    const auto values = static_cast<size_t>(n.pixels * n.channels);
    const auto dz = std::make_unique_for_overwrite<float[]>(values);
    BlockSums sum(n), sum_x(n), sum_dx(n);  // sums of dz, of dz (x + centre), of dx
    for_blocks(n, [&](int64_t block, int64_t first, int64_t rows) {
      const int64_t at = first * n.channels;
      const auto run = n.silu ? gradient_of_affine<T, true> : gradient_of_affine<T, false>;
      run(x + start + at, dy + start + at, f, rows, dz.get() + at, sum.block_sum(block),
          sum_x.block_sum(block));
    });

    std::vector<float> slope(f.a.size()), offset(f.a.size());
    const double count = static_cast<double>(n.pixels * n.width());
    for (int64_t g = 0; g < n.groups; ++g) {
      double s1 = 0, s2 = 0;
      for (int64_t c = g * n.width(); c < (g + 1) * n.width(); ++c) {
        const double dz_sum = sum.total(c), dz_xhat = sum_x.total(c) * r[g];
        db[c] = static_cast<float>(dz_sum);
        dw[c] = static_cast<float>(dz_xhat);
        s1 += lane::load(weight[c]) * dz_sum;
        s2 += lane::load(weight[c]) * dz_xhat;
      }
      for (int64_t c = g * n.width(); c < (g + 1) * n.width(); ++c) {
        const auto i = static_cast<size_t>(c);
        const double steep = -r[g] * r[g] * s2 / count;
        slope[i] = static_cast<float>(steep);
        offset[i] = static_cast<float>(-r[g] * s1 / count + slope[i] * double{f.centre[i]});
      }
    }
    for_blocks(n, [&](int64_t block, int64_t first, int64_t rows) {
      const int64_t at = first * n.channels;
      gradient_of_input(x + start + at, dz.get() + at, f, slope.data(), offset.data(), rows,
                        dx + start + at, sum_dx.block_sum(block));
    });
    for (int64_t c = 0; c < n.channels; ++c) {
      dshift[b * n.channels + c] = static_cast<float>(sum_dx.total(c));
    }
  });
}

class FusedGroupNorm : public torch::autograd::Function<FusedGroupNorm> {
 public:
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& x,
                            const at::Tensor& weight, const at::Tensor& bias,
                            const at::Tensor& shift, int64_t groups, double eps, bool silu) {
    const Sizes n{x.size(0), x.size(1), x.size(2) * x.size(3), groups, eps, silu};
    const at::Tensor shift_wide = shift.to(at::kFloat).contiguous();
    const at::Tensor w = weight.contiguous();
    const at::Tensor b = bias.contiguous();
    at::Tensor y = at::empty_like(x);
    at::Tensor mean = at::empty({n.batch, groups}, at::kDouble);
    at::Tensor rstd = at::empty_like(mean);
    const auto run = [&]<typename T>(T) {
      forward_kernel(n, x.const_data_ptr<T>(), w.const_data_ptr<T>(), b.const_data_ptr<T>(),
                     shift_wide.const_data_ptr<float>(), y.mutable_data_ptr<T>(),
                     mean.mutable_data_ptr<double>(), rstd.mutable_data_ptr<double>());
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
                         saved[3].const_data_ptr<float>(), saved[4].const_data_ptr<double>(),
                         saved[5].const_data_ptr<double>(), g);
    };
    type == at::kFloat ? run(0.0f) : run(c10::BFloat16());
    return {g.dx, g.dweight.sum(0).to(type), g.dbias.sum(0).to(type), g.dshift.to(type), {}, {},
            {}};
  }
};

bool fits_fused(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                const at::Tensor& shift) {
  const auto type = x.scalar_type();
  return x.is_cpu() && x.dim() == 4 && (type == at::kFloat || type == at::kBFloat16) &&
         x.is_contiguous(at::MemoryFormat::ChannelsLast) && x.numel() > 0 &&
         norm->weight.defined() && norm->weight.scalar_type() == type &&
         (!shift.defined() || shift.scalar_type() == type) &&
         (after == Activation::kNone || after == Activation::kSilu);
}

Sizes sizes_of(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after) {
  return {x.size(0),
          x.size(1),
          x.size(2) * x.size(3),
          norm->options.num_groups(),
          norm->options.eps(),
          after == Activation::kSilu};
}

}  // namespace

at::Tensor plain_group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                            const at::Tensor& shift) {
  const at::Tensor shifted = shift.defined() ? x + shift.unsqueeze(-1).unsqueeze(-1) : x;
  const auto& options = norm->options;
  // ATen's CPU kernel for channels-last computes the variance as a difference of two sums in f32;
  // its kernel for the plain layout does not.
  const bool changes_layout = shifted.is_cpu() && shifted.dim() == 4 && !shifted.is_contiguous();
  at::Tensor y = at::group_norm(changes_layout ? shifted.contiguous() : shifted,
                                options.num_groups(), norm->weight, norm->bias, options.eps());
  if (changes_layout) y = y.contiguous(shifted.suggest_memory_format());
  return plain_activate(y, after);
}

at::Tensor group_norm_to_bf16(const at::Tensor& x, const torch::nn::GroupNorm& norm,
                              Activation after, const at::Tensor& shift) {
  if (x.scalar_type() != at::kFloat || !fits_fused(x, norm, after, shift)) {
    return group_norm(x, norm, after, shift).to(at::kBFloat16);
  }
  const Sizes n = sizes_of(x, norm, after);
  const at::Tensor added = shift.defined() ? shift.contiguous() : at::zeros({n.batch, n.channels});
  const at::Tensor w = norm->weight.contiguous(), b = norm->bias.contiguous();
  at::Tensor y = at::empty_like(x, x.options().dtype(at::kBFloat16));
  std::vector<double> mean(static_cast<size_t>(n.batch * n.groups)), rstd(mean.size());
  forward_kernel(n, x.const_data_ptr<float>(), w.const_data_ptr<float>(), b.const_data_ptr<float>(),
                 added.const_data_ptr<float>(), y.mutable_data_ptr<c10::BFloat16>(), mean.data(),
                 rstd.data());
  return y;
}

at::Tensor group_norm_affine(const at::Tensor& x, const torch::nn::GroupNorm& norm,
                             Activation after, const at::Tensor& shift) {
  if (!fits_fused(x, norm, after, shift)) return {};
  const Sizes n = sizes_of(x, norm, after);
  const at::Tensor added =
      shift.defined() ? shift.to(at::kFloat).contiguous() : at::zeros({n.batch, n.channels});
  at::Tensor affine = at::empty({2, n.batch, n.channels}, x.options().dtype(at::kFloat));
  const auto run = [&]<typename T>(T) {
    affine_kernel(n, x.const_data_ptr<T>(), norm->weight.contiguous().const_data_ptr<T>(),
                  norm->bias.contiguous().const_data_ptr<T>(), added.const_data_ptr<float>(),
                  affine.mutable_data_ptr<float>());
  };
  x.scalar_type() == at::kFloat ? run(0.0f) : run(c10::BFloat16());
  return affine;
}

at::Tensor group_norm(const at::Tensor& x, const torch::nn::GroupNorm& norm, Activation after,
                      const at::Tensor& shift) {
  if (!fits_fused(x, norm, after, shift)) return plain_group_norm(x, norm, after, shift);
  // Autograd needs a tensor even where there is no shift.
  const at::Tensor added =
      shift.defined() ? shift
                      : at::zeros({x.size(0), x.size(1)}, at::TensorOptions(x.scalar_type()));
  return FusedGroupNorm::apply(x, norm->weight, norm->bias, added, norm->options.num_groups(),
                               norm->options.eps(), after == Activation::kSilu);
}

}  // namespace pangu::nn
