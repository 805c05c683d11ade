// What the drawing that the form describes would do and cost: asked of the server a moment after each change, so that it
// is known before anything is drawn.
import { computed, effect, signal } from '@preact/signals';
import * as api from '../api/client';
import type { Problem } from '../api/client';
import type { Plan } from '../api/types';
import { bodyOf, draft } from './draft';
import { isGrid } from './grid';
import { models, offers } from './server';

interface Planned {
  plan: Plan | null;
  problem: Problem | null; // what the job would fail with
}

const kNothing: Planned = { plan: null, problem: null };
export const planned = signal<Planned>(kNothing);

const kQuietMs = 400;

// Only what the plan depends on: rolling a seed asks nobody.
const question = computed(() => {
  const { mode, members } = draft.value;
  if (!offers('plan') || !models.value.length || (mode === 'coop' && !members.length)) return null;
  const count = isGrid.value ? 1 : draft.value.count;
  // A form that nobody has written into yet is no fault to tell of; what is written changes no cost.
  const prompt = draft.value.prompt.trim() || '-';
  return JSON.stringify(bodyOf({ ...draft.value, prompt, seed: null, count }));
});

effect(() => {
  const body = question.value;
  if (body === null) {
    planned.value = kNothing;
    return;
  }
  const asking = new AbortController();
  const timer = setTimeout(() => void ask(JSON.parse(body), asking.signal), kQuietMs);
  return () => {
    clearTimeout(timer);
    asking.abort();
  };
});

async function ask(body: Parameters<typeof api.plan>[0], signal: AbortSignal): Promise<void> {
  let answer = kNothing;
  try {
    answer = { plan: await api.plan(body, signal), problem: null };
  } catch (error) {
    const problem = api.problemFrom(error);
    // What is no fault of the request, such as a server that is away, is told when it is drawn.
    if (problem.status === 400) answer = { plan: null, problem };
  }
  if (!signal.aborted) planned.value = answer;
}
