// The mask that is being painted, if one is: over which picture, of which size, and who wants it.
import { signal } from '@preact/signals';
import type { Stroke } from '../lib/strokes';

export interface MaskTask {
  title: string;
  hint: string;
  background: string | null; // address of the picture under the mask
  width: number;
  height: number;
  colour: string;
  strokes: Stroke[]; // painted before
  done(mask: Blob | null, strokes: Stroke[]): void; // null: nothing is painted
}

export const masking = signal<MaskTask | null>(null);

// Strokes of masks that were painted on this page, by the id of the mask: so that they can be changed.
export const paintedMasks = new Map<string, Stroke[]>();
