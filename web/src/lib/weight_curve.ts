// A member's weight over the noise levels, as points that a hand can move. A recipe wants pairs (sigma, weight) with
// rising sigma, and is linear in log(sigma) between them, which is a straight line on the page's axis.
import { type NoiseRange, positionOf, sigmaAt } from './noise_axis';

export interface CurvePoint {
  at: number; // position on the axis, 0 (much noise) to 1
  weight: number; // 0 to 1
}

const clamped = (x: number) => Math.min(1, Math.max(0, x));
const rounded = (x: number, digits: number) => Number(x.toPrecision(digits));

export const flatCurve = (weight: number): CurvePoint[] => [
  { at: 0, weight },
  { at: 1, weight },
];

// The weight at a position; outside of the points it is that of the nearest one.
export function weightAt(points: CurvePoint[], at: number): number {
  const behind = points.findIndex((point) => point.at >= at);
  if (behind < 0) return points.at(-1)!.weight;
  const right = points[behind]!;
  const left = points[behind - 1];
  if (!left || right.at === left.at) return right.weight;
  return left.weight + ((right.weight - left.weight) * (at - left.at)) / (right.at - left.at);
}

// A point moves between its neighbours; the first and last stay at the ends of the axis.
export function movedPoint(points: CurvePoint[], index: number, to: CurvePoint): CurvePoint[] {
  const last = points.length - 1;
  const gap = 0.005;
  const at =
    index === 0
      ? 0
      : index === last
        ? 1
        : Math.min(points[index + 1]!.at - gap, Math.max(points[index - 1]!.at + gap, to.at));
  return points.map((point, i) => (i === index ? { at, weight: clamped(to.weight) } : point));
}

export function withPoint(points: CurvePoint[], point: CurvePoint): { points: CurvePoint[]; index: number } {
  const found = points.findIndex((one) => one.at > point.at);
  const index = found < 0 ? points.length - 1 : Math.max(1, found);
  return {
    points: points.toSpliced(index, 0, { at: clamped(point.at), weight: clamped(point.weight) }),
    index,
  };
}

// The two ends stay.
export const withoutPoint = (points: CurvePoint[], index: number): CurvePoint[] =>
  index === 0 || index === points.length - 1 ? points : points.toSpliced(index, 1);

// A stroke of a pen becomes a few points: those that the line between their neighbours misses by more than `off`
// (Ramer, 1972; Douglas and Peucker, 1973, with the distance taken along the weight).
export function simplified(stroke: CurvePoint[], off = 0.03): CurvePoint[] {
  const sorted = stroke.toSorted((a, b) => a.at - b.at);
  const keep = (from: number, to: number): CurvePoint[] => {
    let worst = 0;
    let split = -1;
    for (let i = from + 1; i < to; i++) {
      const line = weightAt([sorted[from]!, sorted[to]!], sorted[i]!.at);
      const distance = Math.abs(sorted[i]!.weight - line);
      if (distance > worst) [worst, split] = [distance, i];
    }
    return worst <= off ? [] : [...keep(from, split), sorted[split]!, ...keep(split, to)];
  };
  if (sorted.length < 2) return sorted;
  return [sorted[0]!, ...keep(0, sorted.length - 1), sorted.at(-1)!];
}

// A stroke replaces what the curve was where it passes.
export function drawnOver(points: CurvePoint[], stroke: CurvePoint[]): CurvePoint[] {
  if (stroke.length < 2) return points;
  const line = simplified(stroke);
  const [from, to] = [line[0]!.at, line.at(-1)!.at];
  const before = points.filter((point) => point.at < from - 0.02);
  const after = points.filter((point) => point.at > to + 0.02);
  const left = before.length
    ? before
    : [{ at: 0, weight: from > 0.02 ? weightAt(points, 0) : line[0]!.weight }];
  const right = after.length
    ? after
    : [{ at: 1, weight: to < 0.98 ? weightAt(points, 1) : line.at(-1)!.weight }];
  const middle = line.filter(
    (point) => point.at > left.at(-1)!.at + 0.004 && point.at < right[0]!.at - 0.004,
  );
  return [...left, ...middle, ...right];
}

// Sigma rising, so the points are written from right to left.
export function toRecipe(points: CurvePoint[], range: NoiseRange): [number, number][] {
  return points
    .toReversed()
    .map(({ at, weight }) => [rounded(sigmaAt(at, range), 4), rounded(weight, 3)] as [number, number]);
}

export function fromRecipe(curve: [number, number][], range: NoiseRange): CurvePoint[] {
  const points = curve
    .map(([sigma, weight]) => ({ at: positionOf(sigma, range), weight: clamped(weight) }))
    .toReversed();
  if (!points.length) return flatCurve(0.5);
  if (points[0]!.at > 0) points.unshift({ at: 0, weight: points[0]!.weight });
  if (points.at(-1)!.at < 1) points.push({ at: 1, weight: points.at(-1)!.weight });
  return points;
}

// The shares that members have at a position: weights divided by their sum, as the program does.
export function sharesAt(curves: CurvePoint[][], at: number): number[] {
  const weights = curves.map((points) => weightAt(points, at));
  const sum = weights.reduce((total, weight) => total + weight, 0);
  return weights.map((weight) => (sum > 0 ? weight / sum : 0));
}
