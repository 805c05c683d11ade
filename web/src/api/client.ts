// The routes of the server's API as functions. Every failure is a Problem with the server's own words.
import type {
  Capabilities,
  Job,
  JobBody,
  JsonObject,
  Model,
  Picture,
  PictureSettings,
  Plan,
  ProblemBody,
  Session,
} from './types';

// What went wrong, as the server says it. `offline` is the one code of the page's own: nothing answered.
export class Problem extends Error {
  constructor(
    readonly code: string,
    message: string,
    readonly hint = '',
    readonly status = 0,
  ) {
    super(message);
  }
}

export function problemFrom(error: unknown): Problem {
  if (error instanceof Problem) return error;
  return new Problem('page', error instanceof Error ? error.message : String(error));
}

async function call(path: string, options: RequestInit = {}): Promise<Response> {
  let answer: Response;
  try {
    answer = await fetch(path, { credentials: 'same-origin', ...options });
  } catch {
    throw new Problem('offline', '');
  }
  if (answer.ok) return answer;
  const text = await answer.text();
  let body: { error?: Partial<ProblemBody> } = {};
  try {
    body = JSON.parse(text);
  } catch {
    // An intermediate server may answer with a page of its own; its status is told below.
  }
  const { code = String(answer.status), message = `HTTP ${answer.status}`, hint = '' } = body.error ?? {};
  throw new Problem(code, message, hint, answer.status);
}

const get = async <T>(path: string): Promise<T> => (await call(path)).json();

async function send<T>(
  path: string,
  body: unknown,
  headers: Record<string, string> = {},
  signal?: AbortSignal,
): Promise<T> {
  const answer = await call(path, {
    method: 'POST',
    headers: { 'Content-Type': 'application/json', ...headers },
    body: JSON.stringify(body),
    ...(signal && { signal }),
  });
  return answer.status === 204 ? (undefined as T) : answer.json();
}

export const session = () => get<Session>('v1/session');
export const logIn = (key: string) => send<void>('v1/session', { key });
export const models = async () => (await get<{ data: Model[] }>('v1/models')).data;
export const capabilities = () => get<Capabilities>('v1/capabilities');

// One key of idempotency for each press of the button, so that a repeated connection makes no second job.
export const submit = (body: JobBody, key: string) => send<Job>('v1/jobs', body, { 'Idempotency-Key': key });
// What the job would do; `signal` gives up a question whose answer nobody waits for any more.
export const plan = (body: JobBody, signal: AbortSignal) => send<Plan>('v1/plan', body, {}, signal);
export const job = (id: string) => get<Job>(`v1/jobs/${id}`);
export const cancel = (id: string) => send<Job>(`v1/jobs/${id}/cancel`, {});
export const forget = (id: string) => call(`v1/jobs/${id}`, { method: 'DELETE' });

export function jobs(states?: string, limit = 50, before?: string) {
  const query = new URLSearchParams({ limit: String(limit) });
  if (states) query.set('state', states);
  if (before) query.set('before', before);
  return get<{ jobs: Job[]; next: string | null }>(`v1/jobs?${query}`);
}

export async function upload(file: Blob): Promise<Picture> {
  const type = /^image\/(png|jpeg|webp)$/.test(file.type) ? file.type : 'application/octet-stream';
  const answer = await call('v1/pictures', {
    method: 'POST',
    headers: { 'Content-Type': type },
    body: file,
  });
  return answer.json();
}

export const pictureUrl = (id: string) => `v1/pictures/${id}`;
export const pictureBlob = async (id: string) => (await call(pictureUrl(id))).blob();
export const settingsOf = (id: string) => get<PictureSettings>(`v1/pictures/${id}/settings`);
export const makeControl = (id: string, kind: string, options: JsonObject) =>
  send<Job>(`v1/pictures/${id}/controls`, { kind, ...options });
