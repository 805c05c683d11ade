// The share that each member has at every noise level: weights divided by their sum, stacked.
import { t } from '../i18n';
import { kUsualRange, positionOf, sigmaText } from '../lib/noise_axis';
import { flatCurve, sharesAt } from '../lib/weight_curve';
import { type Member, memberName, shownModel } from '../state/draft';

const kColumns = 64;
const kHeight = 60;

export function SharesChart({ members }: { members: Member[] }) {
  const curves = members.map(({ curve, weight }) => curve ?? flatCurve(weight));
  const columns = Array.from({ length: kColumns + 1 }, (_, i) => sharesAt(curves, i / kColumns));
  const below = (column: number[], i: number) => column.slice(0, i).reduce((sum, share) => sum + share, 0);
  const areas = members.map((member, i) => {
    const top = columns.map((column, k) => `${(100 * k) / kColumns},${kHeight * below(column, i)}`);
    const bottom = columns.map((column, k) => `${(100 * k) / kColumns},${kHeight * below(column, i + 1)}`);
    return { member, points: [...top, ...bottom.toReversed()].join(' ') };
  });
  const boundaries = shownModel.value?.boundaries ?? [];
  return (
    <figure class="shares">
      <figcaption>{t('shares')}</figcaption>
      <div class="plot">
        <svg
          viewBox={`0 0 100 ${kHeight}`}
          preserveAspectRatio="none"
          role="img"
          aria-label={sharesText(members, columns)}
        >
          {areas.map(({ member, points }, i) => (
            <polygon key={member.key} class={`member-${i % 4}`} points={points} />
          ))}
        </svg>
        {boundaries.map((sigma) => (
          <i key={sigma} class="boundary" style={{ left: `${100 * positionOf(sigma, kUsualRange)}%` }} />
        ))}
      </div>
      <div class="ends" aria-hidden="true">
        <span>{t('noise.much', { sigma: sigmaText(kUsualRange.high) })}</span>
        <span>{t('noise.little', { sigma: sigmaText(kUsualRange.low) })}</span>
      </div>
      <ul class="legend">
        {members.map((member, i) => (
          <li key={member.key} class={`member-${i % 4}`}>
            <i class="dot" aria-hidden="true" />
            {memberName(member)}
          </li>
        ))}
      </ul>
    </figure>
  );
}

// The shares at much, middle and little noise, for those who do not see the chart.
function sharesText(members: Member[], columns: number[][]): string {
  const at = [columns[0]!, columns[kColumns / 2]!, columns.at(-1)!];
  const words = members.map((member, i) => {
    const percents = at.map((column) => `${Math.round(100 * column[i]!)} %`).join(', ');
    return `${memberName(member)}: ${percents}`;
  });
  return `${t('shares')}. ${words.join('; ')}`;
}
