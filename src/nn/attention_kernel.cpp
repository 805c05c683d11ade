#include "nn/attention_kernel.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <optional>

#include "kernels/attention.h"
#include "kernels/attention_gradient.h"
#include "kernels/serving.h"
#include "nn/bf16_bits.h"
#include "nn/parallel.h"
#include "nn/recorded.h"

namespace pangu::nn {
namespace {

// Makes the numbers of a row contiguous, as a kernel reads them.
at::Tensor in_rows(const at::Tensor& x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

bool needs_gradient(const at::Tensor& x) {
  return x.defined() && at::GradMode::is_enabled() && x.requires_grad();
}

// The sizes alone, by which a level is chosen.
kernels::AttentionProblem sizes_of(const at::Tensor& q, const at::Tensor& k, int64_t heads) {
  kernels::AttentionProblem p;
  p.batch = q.size(0), p.heads = heads, p.queries = q.size(1), p.keys = k.size(1);
  p.width = q.size(2) / heads;
  p.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.width)));
  return p;
}

// q, k, v: numbers of a row are contiguous; bias: f32 [B,1,1,L], contiguous, or undefined; out:
// [B,N,h*d], contiguous
kernels::AttentionProblem problem_of(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                     const at::Tensor& bias, int64_t heads, const at::Tensor& out) {
  kernels::AttentionProblem p = sizes_of(q, k, heads);
  p.q = bits_of(q), p.q_batch = q.stride(0), p.q_row = q.stride(1);
  p.k = bits_of(k), p.k_batch = k.stride(0), p.k_row = k.stride(1);
  p.v = bits_of(v), p.v_batch = v.stride(0), p.v_row = v.stride(1);
  if (bias.defined()) p.bias = bias.const_data_ptr<float>();
  p.out = bits_of(out);
  return p;
}

void mix_by_kernel(const kernels::AttentionProblem& p, kernels::Level level) {
  const at::Tensor packed = at::empty({kernels::attention_packed_size(p, level)}, at::kBFloat16);
  for_each_task(kernels::attention_pack_tasks(p), [&](int64_t task) {
    kernels::attention_pack(p, bits_of(packed), task, task + 1, level);
  });
  for_each_task(kernels::attention_run_tasks(p, level), [&](int64_t task) {
    kernels::attention_run(p, bits_of(packed), task, task + 1, level);
  });
}

at::Tensor empty_like_rows(const at::Tensor& x) {
  return at::empty(x.sizes(), x.options().memory_format(at::MemoryFormat::Contiguous));
}

// Attention by the kernel of a level, and its gradient.
struct KernelAttention : torch::autograd::Function<KernelAttention> {
  static at::Tensor forward(torch::autograd::AutogradContext* context, const at::Tensor& q,
                            const at::Tensor& k, const at::Tensor& v,
                            const std::optional<at::Tensor>& given_bias, int64_t heads,
                            int64_t level) {
    const at::Tensor bias = given_bias.value_or(at::Tensor());
    const Recorded call("pangu::attention_kernel", {q, k});
    const at::Tensor out = empty_like_rows(q);
    const at::Tensor log_sums =
        at::empty({q.size(0), heads, q.size(1)}, q.options().dtype(at::kFloat));
    kernels::AttentionProblem p = problem_of(q, k, v, bias, heads, out);
    p.log_sums = log_sums.data_ptr<float>();
    mix_by_kernel(p, static_cast<kernels::Level>(level));
    context->save_for_backward({q, k, v, bias, out, log_sums});
    context->saved_data["heads"] = heads;
    return out;
  }

  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* context,
                                                 const torch::autograd::variable_list& gradients) {
    const auto saved = context->get_saved_variables();
    const at::Tensor &q = saved[0], &k = saved[1], &v = saved[2], &log_sums = saved[5];
    const Recorded call("pangu::attention_kernel_backward", {q, k});
    const at::Tensor d_out = gradients[0].contiguous();
    kernels::AttentionGradientProblem problem;
    problem.forward = problem_of(q, k, v, saved[3], context->saved_data["heads"].toInt(), saved[4]);
    problem.forward.log_sums = log_sums.data_ptr<float>();
    problem.d_out = bits_of(d_out);
    const int64_t parts = kernels::attention_gradient_parts(problem.forward);
    const at::Tensor dq = at::empty({parts, q.size(0), q.size(1), q.size(2)}, at::kFloat);
    const at::Tensor dk = empty_like_rows(k), dv = empty_like_rows(v);
    problem.dq = dq.data_ptr<float>(), problem.dk = bits_of(dk), problem.dv = bits_of(dv);
    const int64_t workspace = kernels::attention_gradient_workspace(problem.forward);
    for_each_task(kernels::attention_gradient_tasks(problem.forward), [&](int64_t task) {
      const at::Tensor own = at::empty({workspace}, at::kByte);
      kernels::attention_gradient_run(problem, own.data_ptr(), task, task + 1);
    });
    const at::Tensor sum = parts == 1 ? dq[0] : dq.sum(0);
    return {sum.to(at::kBFloat16), dk, dv, at::Tensor(), at::Tensor(), at::Tensor()};
  }
};

}  // namespace

at::Tensor attention_by_kernel(const at::Tensor& q_any, const at::Tensor& k_any,
                               const at::Tensor& v_any, const AttentionOptions& options) {
  bool with_gradient = false;
  for (const at::Tensor* x : {&q_any, &k_any, &v_any}) {
    if (!x->is_cpu() || x->scalar_type() != at::kBFloat16) return {};
    with_gradient |= needs_gradient(*x);
  }
  if (options.causal || needs_gradient(options.bias)) return {};
  const kernels::AttentionProblem sizes = sizes_of(q_any, k_any, options.heads);
  const kernels::Level level =
      with_gradient ? kernels::attention_gradient_level(sizes) : kernels::attention_level(sizes);
  const auto fits = with_gradient ? kernels::attention_gradient_fits : kernels::attention_fits;
  if (!fits(sizes, level)) return {};
  const at::Tensor q = in_rows(q_any), k = in_rows(k_any), v = in_rows(v_any);
  std::optional<at::Tensor> bias;
  if (options.bias.defined()) {
    bias = options.bias.to(at::kFloat).expand({sizes.batch, 1, 1, sizes.keys}).contiguous();
  }
  if (with_gradient) {
    return KernelAttention::apply(q, k, v, bias, options.heads, static_cast<int64_t>(level));
  }
  const at::Tensor out = empty_like_rows(q);
  mix_by_kernel(problem_of(q, k, v, bias.value_or(at::Tensor()), options.heads, out), level);
  return out;
}

}  // namespace pangu::nn
