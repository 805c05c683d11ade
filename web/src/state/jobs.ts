// Jobs that are not final, as the server tells of them: events of the first few, and the list for all others. A browser
// opens about six connections to one server, so not every waiting job can have a stream of its own.
import { computed, signal } from '@preact/signals';
import * as api from '../api/client';
import { listen } from '../api/events';
import type { Job, JobBody, JobPicture, Preview, Progress } from '../api/types';
import { keepJob } from './gallery';
import { offline } from './network';
import { focus, following } from './view';

export interface TracePoint {
  sigma: number;
  expert: string | null;
  step: number;
}

export interface LiveJob {
  job: Job;
  preview: { src: string; step: number } | null;
  members: Record<string, string>; // each member's own guess, as the source of a picture
  trace: TracePoint[]; // the steps of the picture that is being drawn
}

export const live = signal<LiveJob[]>([]);
export const active = computed(() => live.value.filter(({ job }) => !isFinal(job)));
export const isFinal = (job: Job) =>
  job.state === 'done' || job.state === 'failed' || job.state === 'cancelled';
export const liveJob = (id: string) => live.value.find(({ job }) => job.id === id);

const kMostStreams = 3;
const kPollMs = 2000;
const streams = new Map<string, () => void>();
let polling: ReturnType<typeof setTimeout> | undefined;

// `shown`: the stage goes to the job.
export async function submit(body: JobBody, { shown: shows = true } = {}): Promise<Job> {
  const job = await api.submit(body, crypto.randomUUID?.() ?? `${Date.now()}-${Math.random()}`);
  add(job);
  if (!shows) return job;
  following.value = true;
  const shown = focus.value.kind === 'job' ? liveJob(focus.value.id) : undefined;
  if (shown?.job.state !== 'running') focus.value = { kind: 'job', id: job.id };
  return job;
}

export async function cancelJob(id: string): Promise<void> {
  take(await api.cancel(id));
}

// Takes a job off the page's list; the server keeps it.
export function dismiss(id: string): void {
  live.value = live.value.filter(({ job }) => job.id !== id);
  if (focus.value.kind === 'job' && focus.value.id === id) focus.value = { kind: 'none' };
}

// Jobs that wait or run already, such as before a reload.
export async function resumeJobs(): Promise<void> {
  const { jobs } = await api.jobs('queued,running', 200);
  jobs
    .toReversed()
    .filter(({ kind }) => kind !== 'control')
    .forEach(add);
}

function add(job: Job): void {
  if (!liveJob(job.id)) live.value = [...live.value, { job, preview: null, members: {}, trace: [] }];
  openStreams();
}

const update = (id: string, change: (entry: LiveJob) => Partial<LiveJob>) =>
  (live.value = live.value.map((entry) => (entry.job.id === id ? { ...entry, ...change(entry) } : entry)));
const updateJob = (id: string, patch: Partial<Job>) =>
  update(id, ({ job }) => ({ job: { ...job, ...patch } }));

// The whole job as the server has it now.
function take(job: Job): void {
  update(job.id, () => ({ job }));
  if (!isFinal(job)) return;
  streams.get(job.id)?.();
  streams.delete(job.id);
  void finish(job);
}

async function finish(job: Job): Promise<void> {
  const kept = await keepJob(job);
  const focused = focus.value.kind === 'job' && focus.value.id === job.id;
  if (kept[0] && focused) focus.value = { kind: 'picture', id: kept[0].id };
  // A failed job stays until it was read.
  if (job.state !== 'failed') live.value = live.value.filter((entry) => entry.job.id !== job.id);
  openStreams();
}

function openStreams(): void {
  const urgency = ({ job }: LiveJob) => (job.state === 'running' ? 0 : (job.position ?? 1e9));
  const first = active.value.toSorted((a, b) => urgency(a) - urgency(b)).slice(0, kMostStreams);
  for (const { job } of first) if (!streams.has(job.id)) streams.set(job.id, stream(job.id));
  clearTimeout(polling);
  if (active.value.length > streams.size) polling = setTimeout(poll, kPollMs);
}

// Positions of the jobs that have no stream.
async function poll(): Promise<void> {
  try {
    const { jobs } = await api.jobs('queued,running', 200);
    for (const job of jobs) if (liveJob(job.id) && !streams.has(job.id)) take(job);
    const still = new Set(jobs.map((job) => job.id));
    for (const { job } of active.value) {
      if (!still.has(job.id) && !streams.has(job.id)) await ask(job.id);
    }
    offline.value = false;
  } catch (error) {
    offline.value = api.problemFrom(error).code === 'offline';
  }
  openStreams();
}

// A job that is no longer on the list of those to be drawn: final, or forgotten by the server.
async function ask(id: string): Promise<void> {
  try {
    take(await api.job(id));
  } catch (error) {
    const { status } = api.problemFrom(error);
    if (status !== 404 && status !== 410) throw error;
    dismiss(id);
  }
}

function stream(id: string): () => void {
  const progress = (patch: Partial<Progress>) =>
    update(id, ({ job }) => {
      const old = job.progress ?? kNoProgress;
      return { job: { ...job, state: 'running', position: null, progress: { ...old, ...patch } } };
    });
  return listen(id, {
    job: take,
    queued: (position) => updateJob(id, { state: 'queued', position }),
    started() {
      progress({ stage: 'load' });
      if (following.value) focus.value = { kind: 'job', id };
    },
    stage: (stage) => progress({ stage }),
    step(step) {
      progress({ ...step, stage: 'draw' });
      update(id, ({ trace }) => ({ trace: traced(trace, step) }));
    },
    preview: (preview) => update(id, (entry) => shown(entry, preview)),
    picture: (picture) => addPicture(id, picture),
    warning: (message) =>
      update(id, ({ job }) => ({ job: { ...job, warnings: [...job.warnings, message] } })),
    retrying: (message) =>
      update(id, ({ job }) => ({
        job: { ...job, state: 'queued', progress: null, warnings: [...job.warnings, message] },
        trace: [],
      })),
    reached: (reached) => (offline.value = !reached),
    lost() {
      streams.delete(id);
      clearTimeout(polling);
      polling = setTimeout(poll, kPollMs);
    },
  });
}

const kNoProgress: Progress = {
  stage: 'load',
  step: 0,
  steps: 0,
  sigma: null,
  expert: null,
  seconds_left: null,
};

// Noise falls while a picture is drawn; where it rises again the next picture has begun.
function traced(trace: TracePoint[], { sigma, expert, step }: Omit<Progress, 'stage'>): TracePoint[] {
  if (sigma === null) return trace;
  const last = trace.at(-1);
  const point = { sigma, expert, step };
  return last && sigma > last.sigma * 1.5 ? [point] : [...trace, point];
}

function shown(entry: LiveJob, { content_type, image, member, step }: Preview): Partial<LiveJob> {
  const src = `data:${content_type};base64,${image}`;
  return member === null ? { preview: { src, step } } : { members: { ...entry.members, [member]: src } };
}

function addPicture(id: string, picture: JobPicture): void {
  update(id, ({ job }) => ({
    job: { ...job, pictures: [...job.pictures.filter((one) => one.index !== picture.index), picture] },
    trace: [],
  }));
  const job = liveJob(id)?.job;
  if (job) void keepJob({ ...job, resolved: null });
}
