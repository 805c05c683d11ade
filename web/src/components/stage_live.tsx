// A job at work: preview, step, noise level, which expert draws, and the members' own guesses.
import { useEffect } from 'preact/hooks';
import { known, secondsText, t } from '../i18n';
import { sigmaText } from '../lib/noise_axis';
import { cancelJob, dismiss, type LiveJob } from '../state/jobs';
import { restoreBody } from '../state/restore';
import { modelOf } from '../state/server';
import { announce } from '../state/view';
import { promptOf } from '../state/draft';
import type { Job, JsonObject } from '../api/types';
import { IconButton, ProblemNote } from './controls';
import { NoiseTimeline } from './noise_timeline';
import { notifyProblem } from './picture_field';

export function LiveStage({ entry }: { entry: LiveJob }) {
  const { job, preview, members } = entry;
  useAnnouncements(job);
  const ratio = ratioOf(job);
  return (
    <div class="live">
      {(preview || job.state !== 'failed') && (
        <div class="side-by-side">
          <div class="canvas" style={{ '--ratio': ratio }}>
            {preview ? (
              <img class="preview" src={preview.src} alt={t('preview')} />
            ) : (
              <div class="waiting" aria-hidden="true" />
            )}
          </div>
          {Object.keys(members).length > 0 && (
            <div class="guesses" role="group" aria-label={t('guesses')}>
              {Object.entries(members).map(([name, src]) => (
                <figure key={name}>
                  <img src={src} alt={t('guess.of', { name })} />
                  <figcaption>{name}</figcaption>
                </figure>
              ))}
            </div>
          )}
        </div>
      )}
      {job.state === 'failed' ? (
        <div class="facts">
          <ProblemNote message={job.error?.message ?? t('state.failed')} hint={job.error?.hint} />
          <div class="row">
            <IconButton icon="repeat" text label={t('failed.change')} onClick={() => restoreBody(job)} />
            <IconButton icon="close" text label={t('dismiss')} onClick={() => dismiss(job.id)} />
          </div>
        </div>
      ) : (
        <ProgressPanel entry={entry} />
      )}
      <p class="prompt-line">{promptOf(job)}</p>
    </div>
  );
}

function ProgressPanel({ entry: { job, trace } }: { entry: LiveJob }) {
  const progress = job.progress;
  const model = hubModel(job);
  const cancel = () => cancelJob(job.id).catch(notifyProblem);
  return (
    <div class="facts">
      <div class="row spread">
        <p class="doing">{doing(job)}</p>
        <IconButton icon="close" text label={t('cancel')} onClick={cancel} />
      </div>
      <div
        class="bar"
        role="progressbar"
        aria-label={t('progress')}
        aria-valuemin={0}
        aria-valuemax={100}
        aria-valuenow={progress?.steps ? Math.round((100 * progress.step) / progress.steps) : undefined}
      >
        <i style={{ width: progress?.steps ? `${(100 * progress.step) / progress.steps}%` : '0' }} />
      </div>
      <NoiseTimeline experts={model?.experts ?? []} boundaries={model?.boundaries ?? []} trace={trace} />
      {job.warnings.map((warning) => (
        <p class="muted" key={warning}>
          {warning}
        </p>
      ))}
    </div>
  );
}

function doing({ state, position, progress }: Job): string {
  if (state === 'queued') return position ? t('state.position', { n: position }) : t('state.queued');
  if (!progress || progress.stage === 'load') return t('stage.load');
  if (progress.stage === 'finish') return t('stage.finish');
  const { step, steps, sigma, expert, seconds_left } = progress;
  const parts = [steps ? t('step.of', { step, steps }) : t('stage.draw')];
  if (sigma !== null) parts.push(`σ ${sigmaText(sigma)}`);
  if (expert) parts.push(known('expert', expert));
  if (seconds_left !== null && seconds_left >= 1) parts.push(t('left', { time: secondsText(seconds_left) }));
  return parts.join(' · ');
}

const kQuarters = 4;

// Read out: the beginning, each quarter, and the end; every step would be noise.
function useAnnouncements(job: Job): void {
  const { state, progress, position } = job;
  const quarter = progress?.steps ? Math.floor((kQuarters * progress.step) / progress.steps) : 0;
  useEffect(() => {
    if (state === 'queued' && position) announce(t('state.position', { n: position }));
    if (state === 'running' && quarter > 0 && quarter < kQuarters) {
      announce(t('announce.progress', { percent: (100 * quarter) / kQuarters }));
    }
    if (state === 'failed') announce(job.error?.message ?? t('state.failed'));
    if (state === 'cancelled') announce(t('state.cancelled'));
  }, [state, quarter, position]);
  useEffect(() => {
    if (job.pictures.length) announce(t('announce.done'));
  }, [job.pictures.length]);
}

const membersOf = (job: Job) =>
  Array.isArray(job.recipe?.member) ? (job.recipe.member as JsonObject[]) : [];

function hubModel(job: Job) {
  const hub = membersOf(job).find((member) => member.hub) ?? membersOf(job)[0];
  return modelOf(String(hub?.model ?? job.model ?? ''));
}

function ratioOf(job: Job): number {
  const fields = job.resolved ?? job.request ?? job.recipe ?? {};
  const usual = hubModel(job)?.defaults ?? {};
  return Number(fields.width ?? usual.width ?? 1) / Number(fields.height ?? usual.height ?? 1) || 1;
}
