// Evaluates the continued fraction of DLMF 8.17.22, which converges fast below the mean, and
// inverts it by bisection.
#include "diffusion/beta_quantile.h"

#include <cmath>
#include <limits>
#include <string>

#include "core/error.h"

namespace pangu::diffusion {
namespace {

void check(double probability, double alpha, double beta) {
  if (!(0.0 <= probability && probability <= 1.0 && alpha > 0.0 && beta > 0.0 &&
        std::isfinite(alpha) && std::isfinite(beta))) {
    throw bad_input(
        "beta distribution", "0 <= x <= 1 and alpha, beta > 0",
        std::to_string(probability) + ", " + std::to_string(alpha) + ", " + std::to_string(beta));
  }
}

// 1 / (1 + d1 / (1 + d2 / (1 + ...))) from the front, by Lentz' method.
double continued_fraction(double x, double a, double b) {
  constexpr double kTiny = 1e-300, kLast = 1e-15;
  constexpr int kMostTerms = 1000;
  double value = 1.0, numerator = 1.0, denominator = 0.0;
  for (int i = 0; i <= kMostTerms; ++i) {
    const double m = i / 2;
    double d = 1.0;
    if (i > 0 && i % 2 == 0) {
      d = m * (b - m) * x / ((a + 2.0 * m - 1.0) * (a + 2.0 * m));
    } else if (i > 0) {
      d = -(a + m) * (a + b + m) * x / ((a + 2.0 * m) * (a + 2.0 * m + 1.0));
    }
    denominator = 1.0 + d * denominator;
    if (std::abs(denominator) < kTiny) denominator = kTiny;
    denominator = 1.0 / denominator;
    numerator = 1.0 + d / numerator;
    if (std::abs(numerator) < kTiny) numerator = kTiny;
    const double factor = numerator * denominator;
    value *= factor;
    if (std::abs(factor - 1.0) < kLast) break;
  }
  return value - 1.0;
}

}  // namespace

double beta_distribution(double x, double alpha, double beta) {
  check(x, alpha, beta);
  if (x == 0.0 || x == 1.0) return x;
  if (x > (alpha + 1.0) / (alpha + beta + 2.0)) {
    return 1.0 - beta_distribution(1.0 - x, beta, alpha);
  }
  const double log_front = alpha * std::log(x) + beta * std::log1p(-x) + std::lgamma(alpha + beta) -
                           std::lgamma(alpha) - std::lgamma(beta);
  return std::exp(log_front) / alpha * continued_fraction(x, alpha, beta);
}

double beta_quantile(double p, double alpha, double beta) {
  check(p, alpha, beta);
  if (p == 0.0 || p == 1.0) return p;
  double low = 0.0, high = 1.0;
  for (;;) {
    const double middle = 0.5 * (low + high);
    // The two are neighbours: no double lies between them.
    if (middle <= low || middle >= high) return middle;
    (beta_distribution(middle, alpha, beta) < p ? low : high) = middle;
  }
}

}  // namespace pangu::diffusion
