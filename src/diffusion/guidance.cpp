// Row weights once a call, then one forward and one weighted sum.
#include "diffusion/guidance.h"

#include <ATen/ATen.h>

#include <cmath>
#include <numeric>
#include <string>
#include <utility>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

// x: [B,...] -> [B,1,...], the standard deviation of each image (with Bessel's correction, as Lin
// et al.).
at::Tensor std_per_image(const at::Tensor& x) {
  std::vector<int64_t> shape(x.dim(), 1);
  shape[0] = x.size(0);
  return x.flatten(1).std(1).reshape(shape);
}

}  // namespace

void Guidance::validate() const {
  if (!std::isfinite(scale)) throw bad_input("guidance", "a finite number", std::to_string(scale));
  for (double style : style_scales) {
    if (!std::isfinite(style)) {
      throw bad_input("style scale", "a finite number", std::to_string(style));
    }
  }
  if (!(rescale >= 0.0 && rescale <= 1.0)) {
    throw bad_input("guidance rescale", "0 to 1", std::to_string(rescale));
  }
  if (!(sigma_low >= 0.0 && sigma_low <= sigma_high)) {
    throw bad_input("guidance interval", "0 <= sigma_low <= sigma_high",
                    std::to_string(sigma_low) + " to " + std::to_string(sigma_high));
  }
}

RowWeights row_weights(const Guidance& guidance, double sigma) {
  if (!(guidance.sigma_low < sigma && sigma <= guidance.sigma_high)) return {{kCondRow}, {1.0}};
  const auto& styles = guidance.style_scales;
  const double style_sum = std::accumulate(styles.begin(), styles.end(), 0.0);
  RowWeights rows;
  const auto add = [&rows](int row, double weight) {
    rows.rows.push_back(row);
    rows.weights.push_back(weight);
  };
  if (guidance.scale != 1.0) add(kUncondRow, 1.0 - guidance.scale);
  // The rescale measures e(c) even where the sum does not use it.
  const double cond = guidance.scale - style_sum;
  if (cond != 0.0 || guidance.rescale != 0.0) add(kCondRow, cond);
  for (size_t j = 0; j < styles.size(); ++j) {
    if (styles[j] != 0.0) add(kFirstStyleRow + static_cast<int>(j), styles[j]);
  }
  return rows;
}

at::Tensor combine_rows(const at::Tensor& predictions, const RowWeights& rows, double rescale) {
  const auto row_count = static_cast<int64_t>(rows.rows.size());
  if (row_count == 0 || predictions.dim() < 2 || predictions.size(0) % row_count != 0) {
    throw Error(ErrorCode::kInternal, "guidance: expected a batch divisible by " +
                                          std::to_string(row_count) + " rows, found " +
                                          std::to_string(predictions.size(0)));
  }
  const std::vector<at::Tensor> blocks = predictions.chunk(row_count, 0);
  if (row_count == 1 && rows.weights[0] == 1.0) return blocks[0];
  at::Tensor sum = blocks[0] * rows.weights[0];
  at::Tensor cond;
  for (int64_t r = 0; r < row_count; ++r) {
    if (r > 0) sum = sum + blocks[r] * rows.weights[r];
    if (rows.rows[r] == kCondRow) cond = blocks[r];
  }
  if (rescale == 0.0) return sum;
  if (!cond.defined()) {
    throw Error(ErrorCode::kInternal, "guidance: the rescale needs the conditional row");
  }
  const at::Tensor ratio = std_per_image(cond) / std_per_image(sum);
  return sum * (ratio * rescale + (1.0 - rescale));
}

Denoiser guide(BatchedNet net, Parameterisation parameterisation, const Schedule& schedule,
               const Guidance& guidance) {
  guidance.validate();
  return
      [net = std::move(net), parameterisation, schedule, guidance](const Latents& x, double sigma) {
        const at::Tensor& noisy = x.one();
        const RowWeights rows = row_weights(guidance, sigma);
        // The sum is taken in x's dtype: weights of several units would cost half precision its
        // digits.
        const at::Tensor predictions =
            net(noisy * schedule.input_scale(sigma), {sigma, schedule.t_of_sigma(sigma)}, rows.rows)
                .to(noisy.scalar_type());
        const double rescale = rows.rows.size() > 1 ? guidance.rescale : 0.0;
        const at::Tensor combined = combine_rows(predictions, rows, rescale);
        if (combined.sizes() != noisy.sizes()) {
          throw Error(ErrorCode::kInternal,
                      "network: expected " + std::to_string(rows.rows.size()) +
                          " rows of predictions in the latent's shape, found another shape");
        }
        const Affine x0 = x0_from_prediction(parameterisation, schedule, sigma);
        return Latents(noisy * x0.skip + combined * x0.out);
      };
}

}  // namespace pangu::diffusion
