// A table of pictures as it fills: each cell is the picture, its preview while it is drawn, or its place in the queue.
import { t } from '../i18n';
import { labelsOf } from '../lib/grid';
import { type Entry, entries, sourceOf } from '../state/gallery';
import type { Grid } from '../state/grid';
import { cancelJob, isFinal, liveJob } from '../state/jobs';
import { focus } from '../state/view';
import { IconButton } from './controls';
import { KeptImage } from './kept_image';
import { notifyProblem } from './picture_field';

const entryOfJob = (job: string | undefined) => entries.value.find((entry) => entry.job === job);

export function GridStage({ grid }: { grid: Grid }) {
  const columns = labelsOf(grid.axes[0]);
  const rows = labelsOf(grid.axes[1]);
  // Without an axis there is one, without a heading.
  const [hasColumns, hasRows] = [columns.some(Boolean), rows.some(Boolean)];
  const waiting = grid.jobs.filter((job) => {
    const found = liveJob(job);
    return found && !isFinal(found.job);
  });
  const drawn = grid.jobs.filter((job) => entryOfJob(job)).length;
  const cancelAll = () => waiting.forEach((job) => void cancelJob(job).catch(notifyProblem));
  return (
    <div class="grid-stage">
      <div class="facts">
        <div class="actions" role="toolbar" aria-label={t('actions')}>
          <span class="muted">{t('grid.done', { n: drawn, all: columns.length * rows.length })}</span>
          <span class="gap" />
          {waiting.length > 0 && <IconButton icon="close" text label={t('cancel')} onClick={cancelAll} />}
          <IconButton
            icon="download"
            label={t('grid.download')}
            disabled={drawn === 0}
            onClick={() => void download(grid, columns, rows).catch(notifyProblem)}
          />
        </div>
        <p class="prompt-line">{grid.prompt || <em class="muted">{t('no.prompt')}</em>}</p>
      </div>
      <div class="table-scroll" tabIndex={0} role="region" aria-label={t('grid')}>
        <table class="grid-table">
          {hasColumns && (
            <thead>
              <tr>
                {hasRows && <td />}
                {columns.map((label) => (
                  <th scope="col" key={label}>
                    {label}
                  </th>
                ))}
              </tr>
            </thead>
          )}
          <tbody>
            {rows.map((label, row) => (
              <tr key={label}>
                {hasRows && <th scope="row">{label}</th>}
                {columns.map((_, column) => (
                  <td key={column}>
                    <GridCell job={grid.jobs[row * columns.length + column]} />
                  </td>
                ))}
              </tr>
            ))}
          </tbody>
        </table>
      </div>
    </div>
  );
}

function GridCell({ job }: { job: string | undefined }) {
  const entry = entryOfJob(job);
  if (entry) {
    const open = () => (focus.value = { kind: 'picture', id: entry.id });
    return (
      <button type="button" aria-label={`${t('open')}: ${t('seed')} ${entry.seed}`} onClick={open}>
        <KeptImage picture={entry.picture} alt="" width={entry.width} height={entry.height} />
      </button>
    );
  }
  const found = job ? liveJob(job) : undefined;
  if (found?.preview) return <img src={found.preview.src} alt={t('preview')} />;
  return (
    <span class="muted">{found ? (found.job.error?.message ?? t(`state.${found.job.state}`)) : '–'}</span>
  );
}

const kLabel = 28; // px of a line of labels
const kFont = '14px system-ui, sans-serif';

// One PNG of the whole table with its labels.
async function download(grid: Grid, columns: string[], rows: string[]): Promise<void> {
  const found = grid.jobs.map(entryOfJob);
  const drawn = found.filter((entry): entry is Entry => entry !== undefined);
  const width = Math.max(...drawn.map((entry) => entry.width));
  const height = Math.max(...drawn.map((entry) => entry.height));
  const canvas = document.createElement('canvas');
  const context = canvas.getContext('2d')!;
  context.font = kFont;
  const left = rows.some(Boolean) ? Math.max(...rows.map((row) => context.measureText(row).width)) + 16 : 0;
  const top = columns.some(Boolean) ? kLabel : 0;
  canvas.width = left + width * columns.length;
  canvas.height = top + height * rows.length;
  context.fillStyle = '#fff';
  context.fillRect(0, 0, canvas.width, canvas.height);
  Object.assign(context, { fillStyle: '#000', font: kFont, textBaseline: 'middle', textAlign: 'center' });
  columns.forEach((label, i) => context.fillText(label, left + (i + 0.5) * width, top / 2, width));
  rows.forEach((label, i) => context.fillText(label, left / 2, top + (i + 0.5) * height));
  for (const [i, entry] of found.entries()) {
    if (!entry) continue;
    const picture = new Image();
    picture.src = await sourceOf(entry.picture);
    await picture.decode();
    const column = i % columns.length;
    context.drawImage(picture, left + column * width, top + ((i - column) / columns.length) * height);
  }
  const link = document.createElement('a');
  const blob = await new Promise<Blob | null>((done) => canvas.toBlob(done, 'image/png'));
  if (!blob) return;
  link.href = URL.createObjectURL(blob);
  link.download = 'pangu-draw-grid.png';
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), 1000);
}
