// Functions of vectors of f32, for every width (vector_avx2.h, vector_avx512.h). They are in an
// anonymous namespace: see there.
#pragma once

namespace pangu::kernels {
namespace {

// 2^t; 0 for -inf. The fraction's polynomial has a greatest relative error of 2.7e-6 on [0,1]
// (minimax by reweighted least squares), a thousandth of what bf16 resolves.
template <class V>
[[gnu::always_inline]] inline typename V::Floats exp2_of(typename V::Floats t) {
  const auto f = V::fraction(t);
  auto p = V::all_of(0.013534167781472206f);
  p = V::fma(p, f, V::all_of(0.05201146379113197f));
  p = V::fma(p, f, V::all_of(0.2414427548646927f));
  p = V::fma(p, f, V::all_of(0.6930038332939148f));
  p = V::fma(p, f, V::all_of(1.0000026226043701f));
  return V::scaled(p, t);
}

template <class V>
[[gnu::always_inline]] inline typename V::Floats exp_of(typename V::Floats x) {
  return exp2_of<V>(V::mul(x, V::all_of(1.44269504088896341f)));
}

// x sigmoid(x)
template <class V>
[[gnu::always_inline]] inline typename V::Floats silu_of(typename V::Floats x) {
  return V::div(x, V::add(V::all_of(1), exp_of<V>(V::sub(V::zero(), x))));
}

// x Phi(x), Phi the normal distribution: Phi(x) = (1 + erf(x / sqrt 2)) / 2 with the error function
// of Abramowitz and Stegun 7.1.26, whose absolute error is below 5e-7 in f32.
template <class V>
[[gnu::always_inline]] inline typename V::Floats gelu_of(typename V::Floats x) {
  const auto one = V::all_of(1);
  const auto gauss = exp_of<V>(V::mul(V::mul(x, x), V::all_of(-0.5f)));
  const auto size = V::mul(V::size(x), V::all_of(0.70710678f));
  const auto t = V::div(one, V::fma(size, V::all_of(0.3275911f), one));
  auto p = V::all_of(1.061405429f);
  p = V::fma(p, t, V::all_of(-1.453152027f));
  p = V::fma(p, t, V::all_of(1.421413741f));
  p = V::fma(p, t, V::all_of(-0.284496736f));
  p = V::fma(p, t, V::all_of(0.254829592f));
  // For x > 0 this is 1 - tail, for x < 0 it is the tail itself: no digits are lost where Phi is
  // small.
  const auto tail = V::mul(V::mul(V::mul(p, t), gauss), V::all_of(0.5f));
  return V::mul(x, V::where_positive(x, V::sub(one, tail), tail));
}

}  // namespace
}  // namespace pangu::kernels
