// The stage: the picture that is being drawn, with its progress, or one that was drawn, with what can be done with it.
import { t } from '../i18n';
import { change, draft } from '../state/draft';
import { entryOfId } from '../state/gallery';
import { gridOf } from '../state/grid';
import { liveJob } from '../state/jobs';
import { focus } from '../state/view';
import { GridStage } from './stage_grid';
import { LiveStage } from './stage_live';
import { PictureStage } from './stage_picture';

export function Stage() {
  const shown = focus.value;
  const live = shown.kind === 'job' ? liveJob(shown.id) : undefined;
  const entry = shown.kind === 'picture' ? entryOfId(shown.id) : undefined;
  const grid = shown.kind === 'grid' ? gridOf(shown.id) : undefined;
  return (
    <section class="stage" aria-label={t('stage')}>
      {live ? (
        <LiveStage entry={live} />
      ) : entry ? (
        <PictureStage entry={entry} />
      ) : grid ? (
        <GridStage grid={grid} />
      ) : (
        <EmptyStage />
      )}
    </section>
  );
}

const kExamples = ['example.1', 'example.2', 'example.3', 'example.4'] as const;

function EmptyStage() {
  const coop = draft.value.mode === 'coop';
  return (
    <div class="empty">
      <Emergence />
      <h2>{t(coop ? 'empty.coop' : 'empty')}</h2>
      <p class="muted">{t(coop ? 'empty.coop.hint' : 'empty.hint')}</p>
      <div class="chips">
        {kExamples.map((key) => (
          <button key={key} type="button" class="chip" onClick={() => change({ prompt: t(key) })}>
            {t(key)}
          </button>
        ))}
      </div>
    </div>
  );
}

// Noise on the left becomes a shape on the right: dots of a fixed pattern, ever nearer to a circle.
function Emergence() {
  const dots = Array.from({ length: 90 }, (_, i) => {
    const turn = i * 2.39996; // the golden angle spreads the dots evenly
    const far = Math.sqrt(i / 90);
    const x = 110 + 34 * far * Math.cos(turn);
    const y = 40 + 34 * far * Math.sin(turn);
    const noise = Math.max(0, (118 - x) / 64);
    const jitter = (k: number) => Math.sin(i * k) * noise;
    return { x: x - 46 * noise + 22 * jitter(12.9898), y: y + 26 * jitter(78.233), r: 2.6 - 1.1 * noise };
  });
  return (
    <svg class="emergence" viewBox="0 0 170 80" aria-hidden="true">
      {dots.map((dot, i) => (
        <circle key={i} cx={dot.x.toFixed(1)} cy={dot.y.toFixed(1)} r={Math.max(0.9, dot.r).toFixed(2)} />
      ))}
    </svg>
  );
}
