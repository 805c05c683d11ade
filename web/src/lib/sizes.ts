// Sizes by shape: a shape and an area give a width and a height that the model draws.
import type { Model } from '../api/types';

export interface Size {
  width: number;
  height: number;
}

export interface Shape {
  name: string; // "3:2"
  ratio: number; // width / height
}

export const kShapes: Shape[] = [
  { name: '9:16', ratio: 9 / 16 },
  { name: '2:3', ratio: 2 / 3 },
  { name: '3:4', ratio: 3 / 4 },
  { name: '1:1', ratio: 1 },
  { name: '4:3', ratio: 4 / 3 },
  { name: '3:2', ratio: 3 / 2 },
  { name: '16:9', ratio: 16 / 9 },
];

// Areas, as multiples of the model's own.
export const kScales = [
  { name: 's', factor: 0.5 },
  { name: 'm', factor: 1 },
  { name: 'l', factor: 2 },
] as const;

export function defaultSize(model: Model | undefined): Size {
  const { width, height } = model?.defaults ?? {};
  return { width: Number(width) || 512, height: Number(height) || Number(width) || 512 };
}

// The size of this shape and area that the model draws. Where its multiples are coarse the shape counts more.
export function sizeOf(ratio: number, area: number, model: Model | undefined): Size {
  return nearestOf(ratio, area, model?.sizes?.length ? model.sizes : sizesAbout(ratio, area, model));
}

// Sizes of about this shape, of half to twice the area.
function sizesAbout(ratio: number, area: number, model: Model | undefined): [number, number][] {
  const multiple = model?.size_multiple ?? 8;
  const sizes: [number, number][] = [];
  const [least, most] = [0.5, 2].map((factor) => Math.sqrt(area * factor * ratio));
  for (let wide = Math.floor(least! / multiple); wide <= Math.ceil(most! / multiple); wide++) {
    for (const round of [Math.floor, Math.ceil]) {
      const { width, height } = allowed(
        { width: wide * multiple, height: round((wide * multiple) / ratio / multiple) * multiple },
        model,
      );
      sizes.push([width, height]);
    }
  }
  return sizes;
}

// The nearest size within the model's limits.
export function allowed(size: Size, model: Model | undefined): Size {
  if (model?.sizes?.length) {
    return nearestOf(size.width / size.height, size.width * size.height, model.sizes);
  }
  const multiple = model?.size_multiple ?? 8;
  const side = (pixels: number) => {
    const least = Math.ceil((model?.min_side ?? 64) / multiple) * multiple;
    const most = Math.floor((model?.max_side ?? 2048) / multiple) * multiple;
    return Math.min(most, Math.max(least, Math.round(pixels / multiple) * multiple));
  };
  return { width: side(size.width), height: side(size.height) };
}

function nearestOf(ratio: number, area: number, sizes: [number, number][]): Size {
  // Shape counts most, as in the program: ten times the logarithm of the area's difference.
  const distance = ([width, height]: [number, number]) =>
    10 * Math.abs(Math.log(width / height / ratio)) + Math.abs(Math.log((width * height) / area));
  const [width, height] = sizes.reduce((best, one) => (distance(one) < distance(best) ? one : best));
  return { width, height };
}

// The shape that is meant by a size, if it is one of the list.
export function shapeOf({ width, height }: Size): Shape | undefined {
  const off = (shape: Shape) => Math.abs(Math.log(width / height / shape.ratio));
  const nearest = kShapes.reduce((best, shape) => (off(shape) < off(best) ? shape : best));
  return off(nearest) < 0.1 ? nearest : undefined;
}

// Which of the areas a size has: the one that gives it, else the nearest.
export function scaleOf(size: Size, usual: Size, model: Model | undefined): (typeof kScales)[number] {
  const ratio = shapeOf(size)?.ratio ?? size.width / size.height;
  const area = usual.width * usual.height;
  const gives = ({ factor }: { factor: number }) => {
    const { width, height } = sizeOf(ratio, area * factor, model);
    return width === size.width && height === size.height;
  };
  const off = (factor: number) => Math.abs(Math.log((size.width * size.height) / (area * factor)));
  const nearest = kScales.reduce((best, one) => (off(one.factor) < off(best.factor) ? one : best));
  return [kScales[1], kScales[0], kScales[2]].find(gives) ?? nearest;
}

// The size of the same shape and scale for another model.
export function carriedSize(size: Size, from: Model | undefined, to: Model | undefined): Size {
  const usual = defaultSize(to);
  const ratio = shapeOf(size)?.ratio ?? size.width / size.height;
  return sizeOf(ratio, usual.width * usual.height * scaleOf(size, defaultSize(from), from).factor, to);
}

export const parsedSize = (text: string): Size | null => {
  const [, width, height] = /^(\d+)(?:\s*[x×]\s*(\d+))?$/i.exec(text.trim()) ?? [];
  return width ? { width: Number(width), height: Number(height ?? width) } : null;
};
