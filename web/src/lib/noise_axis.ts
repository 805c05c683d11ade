// The axis of noise levels that timeline and weight curves share: logarithmic, much noise on the left.

export interface NoiseRange {
  high: number; // the sigma at the left end
  low: number; // at the right end
}

// Sigmas of Stable Diffusion's schedule, which every embedded model has too.
export const kUsualRange: NoiseRange = { high: 14.6, low: 0.03 };

// A sigma as the share of the way from left to right, 0 to 1.
export function positionOf(sigma: number, range: NoiseRange): number {
  const share = Math.log(range.high / Math.max(sigma, range.low)) / Math.log(range.high / range.low);
  return Math.min(1, Math.max(0, share));
}

export function sigmaAt(position: number, range: NoiseRange): number {
  return range.high * (range.low / range.high) ** Math.min(1, Math.max(0, position));
}

// The usual range, made wider by sigmas beyond it. Where a flow begins, sigma is infinite and has no place on it.
export function rangeOf(sigmas: number[]): NoiseRange {
  const seen = sigmas.filter((sigma) => Number.isFinite(sigma) && sigma > 0);
  return { high: Math.max(kUsualRange.high, ...seen), low: Math.min(kUsualRange.low, ...seen) };
}

export const sigmaText = (sigma: number) =>
  sigma >= 10 ? sigma.toFixed(1) : sigma >= 0.1 ? sigma.toFixed(2) : sigma.toPrecision(2);
