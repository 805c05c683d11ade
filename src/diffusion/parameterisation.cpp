// Every parameterisation is a row (q, p): all else is solving
//   x_net      = a * x0 + b * eps
//   prediction = q * x0 + p * eps
// for x0 or eps, with determinant a p - b q.
#include "diffusion/parameterisation.h"

#include <ATen/ATen.h>

#include <utility>

#include "diffusion/enum_names.h"

namespace pangu::diffusion {
namespace {

constexpr EnumName<Parameterisation> kParameterisationNames[] = {
    {Parameterisation::kEps, "epsilon"},
    {Parameterisation::kV, "v_prediction"},
    {Parameterisation::kX0, "sample"},
    {Parameterisation::kFlow, "flow_prediction"},
};

double determinant(const Coefficients& row, const Coefficients& c) {
  return c.signal * row.noise - c.noise * row.signal;
}

}  // namespace

Coefficients prediction_coefficients(Parameterisation parameterisation, const Coefficients& c) {
  switch (parameterisation) {
    case Parameterisation::kEps:
      return {0.0, 1.0};
    case Parameterisation::kV:
      return {-c.noise, c.signal};
    case Parameterisation::kX0:
      return {1.0, 0.0};
    case Parameterisation::kFlow:
      return {-1.0, 1.0};
  }
  throw Error(ErrorCode::kInternal, "parameterisation without a formula");
}

Parameterisation parameterisation_from(const std::string& name) {
  return enum_from(kParameterisationNames, "prediction_type", name);
}
std::string to_string(Parameterisation parameterisation) {
  return enum_name(kParameterisationNames, parameterisation);
}

double x0_per_prediction(Parameterisation parameterisation, const Coefficients& c) {
  if (parameterisation == Parameterisation::kX0) return 1.0;  // also where noise is 0
  return -c.noise / determinant(prediction_coefficients(parameterisation, c), c);
}

double eps_per_prediction(Parameterisation parameterisation, const Coefficients& c) {
  if (parameterisation == Parameterisation::kEps) return 1.0;  // also where signal is 0
  return c.signal / determinant(prediction_coefficients(parameterisation, c), c);
}

Affine x0_from_prediction(Parameterisation parameterisation, const Schedule& schedule,
                          double sigma) {
  const Coefficients c = schedule.coefficients(sigma);
  const Coefficients row = prediction_coefficients(parameterisation, c);
  // x0 = (p x_net - b prediction) / (a p - b q), and x_net = a x.
  return {row.noise * c.signal / determinant(row, c), -c.noise / determinant(row, c)};
}

at::Tensor prediction_from(Parameterisation parameterisation, const at::Tensor& x0,
                           const at::Tensor& eps, const Coefficients& c) {
  const Coefficients row = prediction_coefficients(parameterisation, c);
  return eps * row.noise + x0 * row.signal;
}

at::Tensor x0_from(Parameterisation parameterisation, const at::Tensor& prediction,
                   const at::Tensor& x_net, const Coefficients& c) {
  const Coefficients row = prediction_coefficients(parameterisation, c);
  const double det = determinant(row, c);
  return x_net * (row.noise / det) - prediction * (c.noise / det);
}

at::Tensor eps_from(Parameterisation parameterisation, const at::Tensor& prediction,
                    const at::Tensor& x_net, const Coefficients& c) {
  const Coefficients row = prediction_coefficients(parameterisation, c);
  const double det = determinant(row, c);
  return prediction * (c.signal / det) - x_net * (row.signal / det);
}

Denoiser denoise_with(Net net, Parameterisation parameterisation, const Schedule& schedule) {
  return [net = std::move(net), parameterisation, schedule](const Latents& x, double sigma) {
    const at::Tensor& noisy = x.one();
    const at::Tensor prediction =
        net(noisy * schedule.input_scale(sigma), schedule.t_of_sigma(sigma));
    if (prediction.sizes() != noisy.sizes()) {
      throw Error(ErrorCode::kInternal, "network: the prediction's shape is not the latent's");
    }
    const Affine x0 = x0_from_prediction(parameterisation, schedule, sigma);
    return Latents(noisy * x0.skip + prediction.to(noisy.scalar_type()) * x0.out);
  };
}

}  // namespace pangu::diffusion
