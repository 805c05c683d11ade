// Jobs that wait or run, in the order in which they are drawn, and those that failed until they were read.
import { t } from '../i18n';
import { promptOf } from '../state/draft';
import { cancelJob, dismiss, isFinal, live, type LiveJob } from '../state/jobs';
import { focus } from '../state/view';
import { IconButton } from './controls';
import { notifyProblem } from './picture_field';

export function Queue() {
  const order = ({ job }: LiveJob) =>
    isFinal(job) ? 1e9 : job.state === 'running' ? 0 : (job.position ?? 1e6);
  const list = live.value.toSorted((a, b) => order(a) - order(b));
  if (!list.length) return null;
  return (
    <section class="queue" aria-label={t('queue')}>
      <h2>{t('queue')}</h2>
      <ol>
        {list.map((entry) => (
          <QueueItem key={entry.job.id} entry={entry} />
        ))}
      </ol>
    </section>
  );
}

function QueueItem({ entry: { job, preview } }: { entry: LiveJob }) {
  const prompt = promptOf(job) || t('no.prompt');
  const share = job.progress?.steps ? job.progress.step / job.progress.steps : 0;
  const stop = () => (isFinal(job) ? dismiss(job.id) : void cancelJob(job.id).catch(notifyProblem));
  const shown = focus.value.kind === 'job' && focus.value.id === job.id;
  return (
    <li class={job.state} aria-current={shown ? 'true' : undefined}>
      <button type="button" class="open" onClick={() => (focus.value = { kind: 'job', id: job.id })}>
        <span class="thumb" aria-hidden="true">
          {preview ? <img src={preview.src} alt="" /> : (job.position ?? '')}
        </span>
        <span class="words">
          <span class="line">{prompt}</span>
          <small>{stateText(job.state, job.position, share)}</small>
        </span>
      </button>
      <IconButton
        icon="close"
        label={t(isFinal(job) ? 'dismiss.named' : 'cancel.named', { name: prompt })}
        onClick={stop}
      />
      {job.state === 'running' && <i class="fill" style={{ width: `${100 * share}%` }} aria-hidden="true" />}
    </li>
  );
}

function stateText(state: LiveJob['job']['state'], position: number | null, share: number): string {
  if (state === 'running') return t('state.running', { percent: Math.round(100 * share) });
  if (state === 'queued' && position) return t('state.position', { n: position });
  return t(`state.${state}` as const);
}
