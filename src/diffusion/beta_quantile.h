// What the "beta" list of noise levels needs of the Beta distribution: its distribution function
// I_x(a, b) and the inverse, in double. Source of the formulae: DLMF 8.17.
#pragma once

namespace pangu::diffusion {

// The regularised incomplete beta function I_x(alpha, beta) for 0 <= x <= 1 and alpha, beta > 0;
// throws kBadInput for others.
double beta_distribution(double x, double alpha, double beta);
// The x with I_x(alpha, beta) = p for 0 <= p <= 1. It is off by a few units in the last place at
// most, and exact at both ends.
double beta_quantile(double p, double alpha, double beta);

}  // namespace pangu::diffusion
