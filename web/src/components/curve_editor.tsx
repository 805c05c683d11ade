// A member's weight over the noise levels, drawn by hand: a stroke replaces the curve where it passes, a point can be
// moved, and every point is a slider for the keyboard (arrows move it, Delete takes it away).
import { useRef } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { kUsualRange, positionOf, sigmaAt, sigmaText } from '../lib/noise_axis';
import { type CurvePoint, drawnOver, movedPoint, withoutPoint, withPoint } from '../lib/weight_curve';
import { shownModel } from '../state/draft';

interface CurveEditorProps {
  label: string;
  points: CurvePoint[];
  index: number; // of the member, for its colour
  onChange(points: CurvePoint[]): void;
}

const kWidth = 320;
const kHeight = 92;
const kPad = 10;
const kNear = 14; // pixels within which a press takes a point

const x = (at: number) => kPad + at * (kWidth - 2 * kPad);
const y = (weight: number) => kHeight - kPad - weight * (kHeight - 2 * kPad);

export function CurveEditor({ label, points, index, onChange }: CurveEditorProps) {
  const svg = useRef<SVGSVGElement>(null);
  const grabbed = useRef<number | null>(null);
  const stroke = useSignal<CurvePoint[]>([]);

  const pointAt = (event: PointerEvent): CurvePoint & { px: number; py: number } => {
    const box = svg.current!.getBoundingClientRect();
    const px = ((event.clientX - box.left) * kWidth) / box.width;
    const py = ((event.clientY - box.top) * kHeight) / box.height;
    const share = (value: number) => Math.min(1, Math.max(0, value));
    return {
      px,
      py,
      at: share((px - kPad) / (kWidth - 2 * kPad)),
      weight: share((kHeight - kPad - py) / (kHeight - 2 * kPad)),
    };
  };
  const begin = (event: PointerEvent) => {
    event.preventDefault();
    svg.current!.setPointerCapture(event.pointerId);
    const { px, py, at, weight } = pointAt(event);
    const near = points.findIndex((point) => Math.hypot(x(point.at) - px, y(point.weight) - py) < kNear);
    grabbed.current = near < 0 ? null : near;
    stroke.value = near < 0 ? [{ at, weight }] : [];
  };
  const go = (event: PointerEvent) => {
    const { at, weight } = pointAt(event);
    if (grabbed.current !== null) onChange(movedPoint(points, grabbed.current, { at, weight }));
    else if (stroke.value.length) stroke.value = [...stroke.value, { at, weight }];
  };
  const end = () => {
    const drawn = stroke.value;
    grabbed.current = null;
    stroke.value = [];
    // A press without a stroke adds a point.
    if (drawn.length > 3) onChange(drawnOver(points, drawn));
    else if (drawn.length) onChange(withPoint(points, drawn[0]!).points);
  };
  const key = (event: KeyboardEvent, i: number) => {
    const step = event.shiftKey ? 0.1 : 0.02;
    const move = (at: number, weight: number) =>
      onChange(movedPoint(points, i, { at: points[i]!.at + at, weight: points[i]!.weight + weight }));
    if (event.key === 'ArrowUp') move(0, step);
    else if (event.key === 'ArrowDown') move(0, -step);
    else if (event.key === 'ArrowLeft') move(-step, 0);
    else if (event.key === 'ArrowRight') move(step, 0);
    else if (event.key === 'Delete' || event.key === 'Backspace') onChange(withoutPoint(points, i));
    else return;
    event.preventDefault();
  };
  const line = (list: CurvePoint[]) => list.map((point) => `${x(point.at)},${y(point.weight)}`).join(' ');
  return (
    <div class={`curve member-${index % 4}`} role="group" aria-label={label}>
      <svg
        ref={svg}
        viewBox={`0 0 ${kWidth} ${kHeight}`}
        onPointerDown={begin}
        onPointerMove={go}
        onPointerUp={end}
        onPointerCancel={end}
      >
        <line class="base" x1={x(0)} x2={x(1)} y1={y(0)} y2={y(0)} />
        <line class="base" x1={x(0)} x2={x(1)} y1={y(1)} y2={y(1)} />
        {(shownModel.value?.boundaries ?? []).map((sigma) => (
          <line
            key={sigma}
            class="boundary"
            x1={x(positionOf(sigma, kUsualRange))}
            x2={x(positionOf(sigma, kUsualRange))}
            y1={y(0)}
            y2={y(1)}
          />
        ))}
        <polygon class="area" points={`${x(0)},${y(0)} ${line(points)} ${x(1)},${y(0)}`} />
        <polyline class="line" points={line(points)} />
        {stroke.value.length > 1 && <polyline class="stroke" points={line(stroke.value)} />}
        {points.map((point, i) => (
          <circle
            key={i}
            cx={x(point.at)}
            cy={y(point.weight)}
            r={5}
            tabindex={0}
            role="slider"
            aria-label={t('curve.point', { sigma: sigmaText(sigmaAt(point.at, kUsualRange)) })}
            aria-valuemin={0}
            aria-valuemax={1}
            aria-valuenow={Number(point.weight.toFixed(2))}
            onKeyDown={(event) => key(event, i)}
            onDblClick={() => onChange(withoutPoint(points, i))}
          />
        ))}
      </svg>
      <div class="ends" aria-hidden="true">
        <span>{t('noise.much', { sigma: sigmaText(kUsualRange.high) })}</span>
        <span>{t('curve.hint')}</span>
        <span>{t('noise.little', { sigma: sigmaText(kUsualRange.low) })}</span>
      </div>
    </div>
  );
}
