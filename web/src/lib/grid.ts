// A table of pictures, one for every pair of values of two settings: what the words of an axis mean. The grammar is that
// of `draw --grid`: values parted by commas, in double quotes where they hold commas themselves.
import type { Field, Json } from '../api/types';

export const kModelAxis = 'model';

export interface Axis {
  key: string; // of a request, or kModelAxis
  values: string; // as they were written
}

// The values of an axis; empty where nothing was written.
export function axisValues(text: string): string[] {
  const values: string[] = [];
  const pattern = /\s*(?:"((?:[^"]|"")*)"|([^,]*))\s*(?:,|$)/y;
  while (pattern.lastIndex < text.length) {
    const found = pattern.exec(text);
    if (!found) break;
    const value = found[1] !== undefined ? found[1].replaceAll('""', '"') : found[2]!.trim();
    if (value !== '') values.push(value);
  }
  return values;
}

// A value of a field as JSON. What is no number stays a text, so that the server says what is wrong with it.
export function axisJson(field: Field | undefined, text: string): Json {
  if (field?.type === 'boolean') return text === 'true';
  if (field?.type === 'texts') return [text];
  const isNumber = field?.type === 'number' || field?.type === 'integer';
  const number = Number(text);
  return isNumber && Number.isFinite(number) ? number : text;
}

export interface Cell {
  column: number;
  row: number;
  values: [key: string, value: string][];
}

// Row by row; axes without values are left out, and without any there is one cell.
export function cellsOf(axes: Axis[]): Cell[] {
  const [columns, rows] = [0, 1].map((i) => {
    const axis = axes[i];
    const values = axis?.key ? axisValues(axis.values) : [];
    return values.length ? values.map((value): [string, string][] => [[axis!.key, value]]) : [[]];
  });
  return rows!.flatMap((ofRow, row) =>
    columns!.map((ofColumn, column) => ({ column, row, values: [...ofColumn, ...ofRow] })),
  );
}

// The words above the columns and before the rows: "steps 10".
export function labelsOf(axis: Axis | undefined): string[] {
  const values = axis?.key ? axisValues(axis.values) : [];
  return values.length ? values.map((value) => `${axis!.key} ${value}`) : [''];
}
