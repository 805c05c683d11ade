// A picture that was drawn: large, with what was asked for, and what can be done with it.
import * as api from '../api/client';
import type { JobBody } from '../api/types';
import { secondsText, t, timeText } from '../i18n';
import { change, freshSeed } from '../state/draft';
import { blobOf, type Entry, entries, removeEntry } from '../state/gallery';
import { gridOfJob } from '../state/grid';
import { submit } from '../state/jobs';
import { defaultModel } from '../state/server';
import { restoreBody } from '../state/restore';
import { compared, comparing, focus, following, notify, page } from '../state/view';
import { IconButton } from './controls';
import { setStart } from './form_start';
import { KeptImage } from './kept_image';
import { notifyProblem } from './picture_field';

export function PictureStage({ entry }: { entry: Entry }) {
  const list = entries.value;
  const grid = gridOfJob(entry.job);
  const place = list.findIndex(({ id }) => id === entry.id);
  const show = (to: number) => {
    if (!list[to]) return;
    following.value = false;
    focus.value = { kind: 'picture', id: list[to].id };
  };
  return (
    <div
      class="shown"
      onKeyDown={(event) => {
        if (event.target instanceof HTMLInputElement) return;
        if (event.key === 'ArrowLeft') show(place - 1);
        if (event.key === 'ArrowRight') show(place + 1);
      }}
    >
      <div class="canvas" style={{ '--ratio': entry.width / entry.height }}>
        <KeptImage picture={entry.picture} alt={entry.prompt} width={entry.width} height={entry.height} />
      </div>
      <div class="facts">
        <div class="actions" role="toolbar" aria-label={t('actions')}>
          <IconButton icon="vary" text label={t('vary')} title={t('vary.hint')} onClick={() => vary(entry)} />
          <IconButton
            icon="repeat"
            text
            label={t('repeat')}
            title={t('repeat.hint')}
            onClick={() => reuse(entry)}
          />
          <IconButton icon="start" text label={t('use.start')} onClick={() => useAsStart(entry)} />
          <IconButton
            icon="compare"
            text
            label={t(comparing.value === entry.id ? 'compare.choose' : 'compare')}
            aria-pressed={comparing.value === entry.id}
            onClick={() => toggleCompare(entry)}
          />
          {grid && (
            <IconButton
              icon="gallery"
              text
              label={t('grid')}
              onClick={() => (focus.value = { kind: 'grid', id: grid.id })}
            />
          )}
          <span class="gap" />
          <IconButton icon="download" label={t('download')} onClick={() => download(entry)} />
          <IconButton icon="trash" label={t('delete')} onClick={() => remove(entry, place)} />
        </div>
        <p class="prompt-line">{entry.prompt || <em class="muted">{t('no.prompt')}</em>}</p>
        <Facts entry={entry} />
        {entry.warnings.map((warning) => (
          <p class="muted" key={warning}>
            {warning}
          </p>
        ))}
      </div>
    </div>
  );
}

function Facts({ entry }: { entry: Entry }) {
  const { body, resolved = {}, seed, width, height } = entry;
  const said = (key: string) => resolved?.[key];
  const model = body.recipe ? membersText(body) : (body.model ?? '');
  const facts: [string, string][] = [
    [t('model'), model || (defaultModel.value?.title ?? '')],
    [t('size'), `${width} × ${height}`],
    [t('seed'), String(seed)],
    [t('steps'), String(said('steps') ?? '')],
    [t('guidance'), String(said('guidance') ?? '')],
    [t('sampler'), [said('sampler'), said('schedule')].filter(Boolean).join(' · ')],
    [t('negative'), String(said('negative') ?? '')],
    [t('took'), entry.seconds ? secondsText(entry.seconds) : ''],
    [t('when'), timeText(entry.created)],
  ];
  return (
    <dl class="table">
      {facts
        .filter(([, value]) => value)
        .map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
    </dl>
  );
}

function membersText({ recipe }: JobBody): string {
  const members = Array.isArray(recipe?.member) ? recipe.member : [];
  return members
    .map((member) => String((member as { name?: string; model?: string }).name ?? ''))
    .join(' + ');
}

const copied = (body: JobBody): JobBody => structuredClone(body);

// The same again with another seed, at once.
async function vary(entry: Entry): Promise<void> {
  const body = copied(entry.body);
  const fields = body.recipe ?? body.request;
  if (fields) Object.assign(fields, { seed: freshSeed(), count: 1 });
  try {
    await submit({ ...body, member_previews: body.recipe !== undefined || undefined });
  } catch (error) {
    notifyProblem(error);
  }
}

// Everything of the picture into the form, its seed locked.
function reuse(entry: Entry): void {
  const lacking = restoreBody(copied(entry.body));
  change({ seed: entry.seed, seedLocked: true, count: 1 });
  page.value = 'draw';
  notify(t('repeat.done'), { hint: lacking.join(', ') });
}

async function useAsStart(entry: Entry): Promise<void> {
  try {
    // Uploaded again where the server has forgotten it; the id is the same.
    const picture = await api.upload(await blobOf(entry.picture));
    setStart(picture);
    page.value = 'draw';
    notify(t('use.start.done'));
  } catch (error) {
    notifyProblem(error);
  }
}

export function toggleCompare(entry: Entry): void {
  const first = comparing.value;
  if (first && first !== entry.id) {
    compared.value = [first, entry.id];
    comparing.value = null;
  } else {
    comparing.value = first ? null : entry.id;
  }
}

async function download(entry: Entry): Promise<void> {
  try {
    const link = document.createElement('a');
    link.href = URL.createObjectURL(await blobOf(entry.picture));
    link.download = `pangu-draw-${entry.seed}.png`;
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 1000);
  } catch (error) {
    notifyProblem(error);
  }
}

async function remove(entry: Entry, place: number): Promise<void> {
  await removeEntry(entry);
  const next = entries.value[Math.min(place, entries.value.length - 1)];
  focus.value = next ? { kind: 'picture', id: next.id } : { kind: 'none' };
}
