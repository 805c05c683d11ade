// What a network's output means, and how it becomes a denoiser. All four kinds are affine in (x0,
// eps), so each is two numbers at a noise level. Sources: eps, Ho et al. 2020; v, Salimans and Ho
// 2022; flow velocity, Liu et al. 2022; D = skip * x + out * F, Karras et al. 2022.
#pragma once
#include <functional>
#include <string>

#include "diffusion/denoiser.h"
#include "diffusion/schedule.h"

namespace pangu::diffusion {

// With x_net = a x0 + b eps (Schedule::coefficients):
enum class Parameterisation {
  kEps,   // eps                "epsilon"
  kV,     // a eps - b x0       "v_prediction"
  kX0,    // x0                 "sample"
  kFlow,  // eps - x0           "flow_prediction"
};
Parameterisation parameterisation_from(const std::string& name);  // kBadInput names the known ones
std::string to_string(Parameterisation parameterisation);

// x0 = skip * x + out * prediction, with x in the VE scale at sigma.
struct Affine {
  double skip = 0.0;
  double out = 1.0;
};
Affine x0_from_prediction(Parameterisation parameterisation, const Schedule& schedule,
                          double sigma);

// The coefficients of a prediction signal * x0 + noise * eps (kV: {-b, a}; kFlow: {-1, 1}).
Coefficients prediction_coefficients(Parameterisation parameterisation, const Coefficients& c);

// The slope of x0 (or of eps) over the prediction at equal x, which turns an error in one
// parameterisation into an error in another. The slope of x0 is 1 for kX0, that of eps is 1 for
// kEps.
double x0_per_prediction(Parameterisation parameterisation, const Coefficients& c);
double eps_per_prediction(Parameterisation parameterisation, const Coefficients& c);

// The prediction that a perfect network would make. x0, eps: equal shapes.
at::Tensor prediction_from(Parameterisation parameterisation, const at::Tensor& x0,
                           const at::Tensor& eps, const Coefficients& c);
// The inverses, from the network's own input x_net = a x0 + b eps. x0_from of kEps needs a > 0;
// eps_from of kX0 needs b > 0.
at::Tensor x0_from(Parameterisation parameterisation, const at::Tensor& prediction,
                   const at::Tensor& x_net, const Coefficients& c);
at::Tensor eps_from(Parameterisation parameterisation, const at::Tensor& prediction,
                    const at::Tensor& x_net, const Coefficients& c);

// x_net: [B,C,H,W] in the network's own scale (unit variance for VP), t_index: the network's time,
// not necessarily whole. Returns the raw prediction, [B,C,H,W], any floating dtype.
using Net = std::function<at::Tensor(const at::Tensor& x_net, double t_index)>;

// Makes a network a denoiser of one latent space (of tuples of one). Predictions are cast to x's
// dtype.
Denoiser denoise_with(Net net, Parameterisation parameterisation, const Schedule& schedule);

}  // namespace pangu::diffusion
