// Pictures that were drawn: kept in the browser's IndexedDB, with their bytes, beyond the time that the server keeps a
// job; what the server has and the browser lacks (drawn elsewhere, or while the page was closed) is added from its list.
import { signal } from '@preact/signals';
import * as api from '../api/client';
import type { Job, JobBody, JsonObject } from '../api/types';
import { openTables, type Table, tableOf } from '../lib/database';
import { promptOf } from './draft';

export interface Entry {
  id: string; // of the job, and the picture's index in it
  job: string;
  picture: string;
  width: number;
  height: number;
  seed: number;
  created: string;
  prompt: string;
  body: JobBody;
  resolved: JsonObject | null;
  seconds: number | null; // for the whole job
  warnings: string[];
}

interface Bytes {
  id: string; // of the picture
  blob: Blob;
}

export const entries = signal<Entry[]>([]); // newest first
export const galleryReady = signal(false);

const kPages = 4; // of the server's list, 50 jobs each

let kept: Table<Entry> | null = null;
let bytes: Table<Bytes> | null = null;
let removed: Table<{ id: string }> | null = null;
const removedIds = new Set<string>();
const sources = new Map<string, Promise<string>>();

// `owner`: each key has a gallery of its own, as it has on the server.
export async function openGallery(owner: string): Promise<void> {
  try {
    const database = await openTables(`pangu-draw ${owner}`, 1, ['entries', 'bytes', 'removed']);
    [kept, bytes, removed] = [
      tableOf(database, 'entries'),
      tableOf(database, 'bytes'),
      tableOf(database, 'removed'),
    ];
    (await removed.all()).forEach(({ id }) => removedIds.add(id));
    show(await kept.all());
  } catch {
    // Without IndexedDB the gallery is what the server still has.
  }
  galleryReady.value = true;
}

// An administrator's list has the jobs of all; the gallery is of this owner alone.
export async function addFromServer(owner: string): Promise<void> {
  let before: string | undefined;
  for (let i = 0; i < kPages; i++) {
    const { jobs, next } = await api.jobs('done,cancelled,failed', 50, before);
    for (const job of jobs) if (job.owner === owner) await keepJob(job, false);
    if (!next) return;
    before = next;
  }
}

// Adds a job's pictures, or what is known of them by now; returns their entries. `withBytes`: they are fetched now, for
// the time when the server has forgotten them.
export async function keepJob(job: Job, withBytes = true): Promise<Entry[]> {
  if (job.kind === 'control') return [];
  const found = job.pictures.filter((picture) => !picture.removed).map((picture) => entryOf(job, picture));
  const fresh = found.filter(({ id }) => !removedIds.has(id) && !entryOfId(id)?.resolved);
  if (!fresh.length) return found;
  const others = entries.value.filter(({ id }) => !fresh.some((entry) => entry.id === id));
  show([...fresh, ...others]);
  for (const entry of fresh) {
    await kept?.put(entry).catch(() => {});
    if (withBytes) void sourceOf(entry.picture).catch(() => {});
  }
  return found;
}

function entryOf(job: Job, picture: Job['pictures'][number]): Entry {
  const { request, model, load, recipe } = job;
  return {
    id: `${job.id}/${picture.index}`,
    job: job.id,
    picture: picture.id,
    width: picture.width,
    height: picture.height,
    seed: picture.seed,
    created: job.finished_at ?? job.created_at,
    prompt: promptOf(job),
    body: recipe ? { recipe } : { request, model, load },
    resolved: job.resolved,
    seconds: Object.values(job.seconds ?? {}).reduce((sum, s) => sum + s, 0) || null,
    warnings: job.warnings,
  };
}

const show = (list: Entry[]) =>
  (entries.value = list.toSorted((a, b) => b.created.localeCompare(a.created) || a.id.localeCompare(b.id)));

// An address of the picture's bytes for <img>. They come from the browser's own store, else from the server.
export function sourceOf(picture: string): Promise<string> {
  let source = sources.get(picture);
  if (!source) {
    source = blobOf(picture).then((blob) => URL.createObjectURL(blob));
    source.catch(() => sources.delete(picture));
    sources.set(picture, source);
  }
  return source;
}

export async function blobOf(picture: string): Promise<Blob> {
  const known = await bytes?.get(picture).catch(() => undefined);
  if (known) return known.blob;
  const blob = await api.pictureBlob(picture);
  await bytes?.put({ id: picture, blob }).catch(() => {});
  return blob;
}

// The server forgets the job with the last of its pictures.
export async function removeEntry(entry: Entry): Promise<void> {
  removedIds.add(entry.id);
  entries.value = entries.value.filter(({ id }) => id !== entry.id);
  await removed?.put({ id: entry.id });
  await kept?.remove(entry.id);
  if (!entries.value.some(({ picture }) => picture === entry.picture)) {
    await bytes?.remove(entry.picture);
    sources.get(entry.picture)?.then(URL.revokeObjectURL, () => {});
    sources.delete(entry.picture);
  }
  if (!entries.value.some(({ job }) => job === entry.job)) await api.forget(entry.job).catch(() => {});
}

export const entryOfId = (id: string) => entries.value.find((entry) => entry.id === id);
