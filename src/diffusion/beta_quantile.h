// The Beta distribution, as far as the "beta" list of noise levels needs it: its distribution
// function I_x(a, b) and the inverse. In double; source of the formulae: DLMF 8.17.
#pragma once

namespace pangu::diffusion {

// The regularised incomplete beta function I_x(alpha, beta). 0 <= x <= 1, alpha, beta > 0
// (kBadInput otherwise).
double beta_distribution(double x, double alpha, double beta);
// The x with I_x(alpha, beta) = p, to a few last places. 0 <= p <= 1; exact at both ends.
double beta_quantile(double p, double alpha, double beta);

}  // namespace pangu::diffusion
