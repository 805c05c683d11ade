// Waits for a short job whose progress nobody watches, such as a control picture.
import * as api from '../api/client';
import { Problem } from '../api/client';
import type { Job } from '../api/types';
import { isFinal } from './jobs';

const kFirstMs = 150;
const kMostMs = 2000;

// Returns the job when it is done. Throws its error, or that of the connection.
export async function waitForJob(begun: Job): Promise<Job> {
  let job = begun;
  for (let wait = kFirstMs; !isFinal(job); wait = Math.min(kMostMs, wait * 1.5)) {
    await new Promise((resume) => setTimeout(resume, wait));
    job = await api.job(job.id);
  }
  if (job.state === 'done') return job;
  throw new Problem(job.error?.code ?? job.state, job.error?.message ?? job.state, job.error?.hint);
}
