// A mask as the strokes of a brush, in pixels of the picture: what undo takes back, and what becomes a picture of
// black and white. White is drawn anew.

export interface Stroke {
  points: { x: number; y: number }[];
  width: number;
  erase: boolean;
}

export interface Painting {
  strokes: Stroke[];
  undone: Stroke[]; // the last that was taken back is the last
}

export const emptyPainting: Painting = { strokes: [], undone: [] };

export const painted = (painting: Painting, stroke: Stroke): Painting => ({
  strokes: [...painting.strokes, stroke],
  undone: [],
});

export function undone({ strokes, undone }: Painting): Painting {
  const last = strokes.at(-1);
  return last ? { strokes: strokes.slice(0, -1), undone: [...undone, last] } : { strokes, undone };
}

export function redone({ strokes, undone }: Painting): Painting {
  const next = undone.at(-1);
  return next ? { strokes: [...strokes, next], undone: undone.slice(0, -1) } : { strokes, undone };
}

// Draws strokes with `colour`; an erasing one takes colour away. The context keeps what it had.
export function drawStrokes(context: CanvasRenderingContext2D, strokes: Stroke[], colour: string): void {
  context.save();
  context.lineCap = 'round';
  context.lineJoin = 'round';
  context.strokeStyle = colour;
  context.fillStyle = colour;
  for (const { points, width, erase } of strokes) {
    context.globalCompositeOperation = erase ? 'destination-out' : 'source-over';
    context.lineWidth = width;
    context.beginPath();
    const [first, ...rest] = points;
    if (!first) continue;
    if (!rest.length) {
      context.arc(first.x, first.y, width / 2, 0, 2 * Math.PI);
      context.fill();
      continue;
    }
    context.moveTo(first.x, first.y);
    rest.forEach((point) => context.lineTo(point.x, point.y));
    context.stroke();
  }
  context.restore();
}

// White strokes on black, as PNG.
export async function maskPng(strokes: Stroke[], width: number, height: number): Promise<Blob> {
  const layer = canvasOf(width, height);
  drawStrokes(layer.getContext('2d')!, strokes, '#fff');
  const mask = canvasOf(width, height);
  const context = mask.getContext('2d')!;
  context.fillStyle = '#000';
  context.fillRect(0, 0, width, height);
  context.drawImage(layer, 0, 0);
  return new Promise((done, failed) =>
    mask.toBlob(
      (blob) => (blob ? done(blob) : failed(new Error('the mask could not be written'))),
      'image/png',
    ),
  );
}

function canvasOf(width: number, height: number): HTMLCanvasElement {
  const canvas = document.createElement('canvas');
  canvas.width = width;
  canvas.height = height;
  return canvas;
}
