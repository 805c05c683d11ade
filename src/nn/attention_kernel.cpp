#include "nn/attention_kernel.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "kernels/attention.h"
#include "kernels/serving.h"
#include "nn/bf16_bits.h"
#include "nn/parallel.h"

namespace pangu::nn {
namespace {

// Makes the numbers of a row contiguous, as a kernel reads them.
at::Tensor in_rows(const at::Tensor& x) { return x.stride(-1) == 1 ? x : x.contiguous(); }

bool needs_gradient(const at::Tensor& x) { return at::GradMode::is_enabled() && x.requires_grad(); }

}  // namespace

at::Tensor attention_by_kernel(const at::Tensor& q_any, const at::Tensor& k_any,
                               const at::Tensor& v_any, const AttentionOptions& options) {
  for (const at::Tensor* x : {&q_any, &k_any, &v_any}) {
    if (!x->is_cpu() || x->scalar_type() != at::kBFloat16 || needs_gradient(*x)) return {};
  }
  if (options.causal) return {};
  const at::Tensor q = in_rows(q_any), k = in_rows(k_any), v = in_rows(v_any);
  kernels::AttentionProblem p;
  p.batch = q.size(0), p.heads = options.heads, p.queries = q.size(1), p.keys = k.size(1);
  p.width = q.size(2) / options.heads;
  p.scale = static_cast<float>(1.0 / std::sqrt(static_cast<double>(p.width)));
  const kernels::Level level = kernels::attention_level(p);
  if (!kernels::attention_fits(p, level)) return {};
  p.q = bits_of(q), p.q_batch = q.stride(0), p.q_row = q.stride(1);
  p.k = bits_of(k), p.k_batch = k.stride(0), p.k_row = k.stride(1);
  p.v = bits_of(v), p.v_batch = v.stride(0), p.v_row = v.stride(1);
  at::Tensor bias;
  if (options.bias.defined()) {
    bias = options.bias.to(at::kFloat).expand({p.batch, 1, 1, p.keys}).contiguous();
    p.bias = bias.const_data_ptr<float>();
  }
  const at::Tensor out =
      at::empty(q.sizes(), q.options().memory_format(at::MemoryFormat::Contiguous));
  p.out = reinterpret_cast<uint16_t*>(out.data_ptr<at::BFloat16>());
  const at::Tensor packed = at::empty({kernels::attention_packed_size(p, level)}, q.options());
  uint16_t* const panels = reinterpret_cast<uint16_t*>(packed.data_ptr<at::BFloat16>());
  for_each_task(kernels::attention_pack_tasks(p),
                [&](int64_t task) { kernels::attention_pack(p, panels, task, task + 1, level); });
  for_each_task(kernels::attention_run_tasks(p, level),
                [&](int64_t task) { kernels::attention_run(p, panels, task, task + 1, level); });
  return out;
}

}  // namespace pangu::nn
