// The noise levels from much to little, who serves which, and where the drawing is: the structure expert decides where
// things are, the texture expert how they look.
import { known, t } from '../i18n';
import { positionOf, rangeOf, sigmaText } from '../lib/noise_axis';
import type { TracePoint } from '../state/jobs';

interface TimelineProps {
  experts: string[];
  boundaries: number[]; // the sigmas at which the experts change
  trace: TracePoint[];
}

export function NoiseTimeline({ experts, boundaries, trace }: TimelineProps) {
  const range = rangeOf([...boundaries, ...trace.map((point) => point.sigma)]);
  const edges = [0, ...boundaries.map((sigma) => positionOf(sigma, range)), 1];
  const names = experts.length === edges.length - 1 ? experts : [experts[0] ?? 'network'];
  const now = trace.at(-1);
  const at = now && positionOf(now.sigma, range);
  return (
    <div class="timeline">
      <div class="axis" role="img" aria-label={timelineText(names, now)}>
        {names.map((name, i) => (
          <div
            key={name}
            class={`span expert-${i} ${now && (now.expert ?? names[0]) === name ? 'drawing' : ''}`}
            style={{
              left: percent(edges[i]!),
              width: percent((names.length === 1 ? 1 : edges[i + 1]!) - edges[i]!),
            }}
          >
            <span>{known('expert', name)}</span>
          </div>
        ))}
        {trace.map((point) => (
          <i key={point.step} class="tick" style={{ left: percent(positionOf(point.sigma, range)) }} />
        ))}
        {at !== undefined && <b class="now" style={{ left: percent(at) }} />}
      </div>
      <div class="ends" aria-hidden="true">
        <span>{t('noise.much', { sigma: sigmaText(range.high) })}</span>
        <span>{t('noise.little', { sigma: sigmaText(range.low) })}</span>
      </div>
    </div>
  );
}

const percent = (share: number) => `${(100 * share).toFixed(2)}%`;

function timelineText(names: string[], now: TracePoint | undefined): string {
  const who = names.map((name) => known('expert', name)).join(', ');
  if (!now) return t('timeline', { who });
  return t('timeline.now', {
    who,
    sigma: sigmaText(now.sigma),
    expert: known('expert', now.expert ?? names[0]!),
  });
}
