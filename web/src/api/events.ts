// The stream of one job's events. EventSource reconnects by itself and sends Last-Event-ID.
import type { Job, JobPicture, Preview, Progress } from './types';

export interface JobEvents {
  job(job: Job): void; // the whole job: at the beginning, and when it is final
  queued(position: number): void;
  started(): void;
  stage(stage: Progress['stage']): void;
  step(progress: Omit<Progress, 'stage'>): void;
  preview(preview: Preview): void;
  picture(picture: JobPicture): void;
  warning(message: string): void;
  retrying(message: string): void;
  reached(reached: boolean): void; // whether the server answers now; the browser tries again by itself
  lost(): void; // the stream ended for good without a last event
}

// Returns the function that ends listening.
export function listen(id: string, on: JobEvents): () => void {
  const source = new EventSource(`v1/jobs/${id}/events`);
  const handle = <T>(name: string, use: (data: T) => void) =>
    source.addEventListener(name, (event) => use(JSON.parse((event as MessageEvent<string>).data) as T));
  handle<Job>('state', on.job);
  handle<{ position: number }>('queued', (data) => on.queued(data.position));
  handle<unknown>('started', () => on.started());
  handle<{ stage: Progress['stage'] }>('stage', (data) => on.stage(data.stage));
  handle<Omit<Progress, 'stage'>>('step', on.step);
  handle<Preview>('preview', on.preview);
  handle<JobPicture>('picture', on.picture);
  handle<{ message: string }>('warning', (data) => on.warning(data.message));
  handle<{ message: string }>('retrying', (data) => on.retrying(data.message));
  for (const last of ['done', 'failed', 'cancelled']) {
    handle<Job>(last, (job) => {
      source.close();
      on.job(job);
    });
  }
  source.onopen = () => on.reached(true);
  source.onerror = () => {
    if (source.readyState === EventSource.CLOSED) on.lost();
    else on.reached(false);
  };
  return () => source.close();
}
