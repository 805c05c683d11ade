// Tables of pictures: what the form says of the next one, and those that were drawn, each cell a job of its own.
import { computed } from '@preact/signals';
import type { JobBody, JsonObject } from '../api/types';
import { type Axis, axisJson, type Cell, cellsOf, kModelAxis } from '../lib/grid';
import { bodyOf, draft } from './draft';
import { submit } from './jobs';
import { capabilities, models } from './server';
import { stored } from './stored';
import { focus, following } from './view';

export interface Grid {
  id: string;
  axes: Axis[];
  prompt: string;
  jobs: string[]; // row by row
}

const kKept = 50;
export const kMostCells = 100;

const isAxis = (value: unknown): value is Axis =>
  typeof (value as Axis)?.key === 'string' && typeof (value as Axis)?.values === 'string';
const isAxes = (value: unknown): value is Axis[] =>
  Array.isArray(value) && value.length === 2 && value.every(isAxis);
const isGrids = (value: unknown): value is Grid[] =>
  Array.isArray(value) &&
  value.every((grid) => isAxes(grid?.axes) && typeof grid.id === 'string' && Array.isArray(grid.jobs));

const kNoAxes: Axis[] = [
  { key: '', values: '' },
  { key: '', values: '' },
];
export const axes = stored<Axis[]>('axes', kNoAxes, isAxes);
export const grids = stored<Grid[]>('grids', [], isGrids);
export const setAxis = (i: number, patch: Partial<Axis>) =>
  (axes.value = axes.value.with(i, { ...axes.value[i]!, ...patch }));

export const cells = computed(() => cellsOf(axes.value));
export const isGrid = computed(() => cells.value.length > 1);

// Settings that may be an axis. A picture is none, nor is the number of pictures; members have models of their own.
export const axisKeys = computed(() => {
  const fields = (capabilities.value?.fields ?? []).filter(
    ({ key, picture, type }) => !picture && type !== 'controls' && key !== 'count',
  );
  const several = models.value.length > 1 && draft.value.mode === 'draw';
  return [...(several ? [kModelAxis] : []), ...fields.map(({ key }) => key)];
});

export const gridOf = (id: string) => grids.value.find((grid) => grid.id === id);
export const gridOfJob = (job: string) => grids.value.find(({ jobs }) => jobs.includes(job));

// Every cell has the seed of the form, unless seeds are an axis.
function bodyOfCell(cell: Cell): JobBody {
  const body = bodyOf({ ...draft.value, count: 1 });
  const fields: JsonObject = (body.recipe ?? body.request)!;
  for (const [key, value] of cell.values) {
    if (key === kModelAxis) body.model = value;
    else
      fields[key] = axisJson(
        capabilities.value?.fields.find((field) => field.key === key),
        value,
      );
    if (key === 'size') {
      delete fields.width;
      delete fields.height;
    }
  }
  return body;
}

// Sends a job for each cell. Where the server refuses one, those before it stay in the queue, and the error is thrown.
export async function submitGrid(): Promise<void> {
  const bodies = cells.value.map(bodyOfCell);
  const grid: Grid = {
    id: crypto.randomUUID?.() ?? `${Date.now()}`,
    axes: axes.value,
    prompt: draft.value.prompt,
    jobs: [],
  };
  for (const body of bodies) {
    const job = await submit(body, { shown: false });
    grid.jobs = [...grid.jobs, job.id];
    grids.value = [{ ...grid }, ...grids.value.filter(({ id }) => id !== grid.id)].slice(0, kKept);
    following.value = false;
    focus.value = { kind: 'grid', id: grid.id };
  }
}
