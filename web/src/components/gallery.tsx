// Pictures that were drawn: the latest in the rail, all of them on a page of their own.
import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { entries, type Entry, galleryReady } from '../state/gallery';
import { comparing, focus, following, page } from '../state/view';
import { IconButton } from './controls';
import { KeptImage } from './kept_image';
import { toggleCompare } from './stage_picture';

const kRail = 24;

function open(entry: Entry): void {
  if (comparing.value && comparing.value !== entry.id) return toggleCompare(entry);
  following.value = false;
  focus.value = { kind: 'picture', id: entry.id };
  page.value = 'draw';
  scrollTo({ top: 0 });
}

function Thumb({ entry }: { entry: Entry }) {
  const shown = focus.value.kind === 'picture' && focus.value.id === entry.id;
  return (
    <li class={comparing.value === entry.id ? 'first' : ''}>
      <button
        type="button"
        aria-label={`${t(comparing.value ? 'compare.with' : 'open')}: ${entry.prompt || t('no.prompt')}, ${t('seed')} ${entry.seed}`}
        aria-current={shown && page.value === 'draw' ? 'true' : undefined}
        onClick={() => open(entry)}
      >
        <KeptImage picture={entry.picture} alt="" width={entry.width} height={entry.height} />
      </button>
    </li>
  );
}

export function GalleryRail() {
  const latest = entries.value.slice(0, kRail);
  if (!latest.length) return null;
  return (
    <section class="latest" aria-label={t('latest')}>
      <h2>{t('latest')}</h2>
      <CompareHint />
      <ul class="thumbs">
        {latest.map((entry) => (
          <Thumb key={entry.id} entry={entry} />
        ))}
      </ul>
      {entries.value.length > kRail && (
        <button type="button" class="link" onClick={() => (page.value = 'gallery')}>
          {t('gallery.all', { n: entries.value.length })}
        </button>
      )}
    </section>
  );
}

function CompareHint() {
  if (!comparing.value) return null;
  return (
    <p class="compare-hint" role="status">
      {t('compare.hint')}
      <IconButton icon="close" label={t('compare.stop')} onClick={() => (comparing.value = null)} />
    </p>
  );
}

export function GalleryPage() {
  const words = useSignal('');
  const found = entries.value.filter(({ prompt, seed }) =>
    `${prompt} ${seed}`.toLowerCase().includes(words.value.trim().toLowerCase()),
  );
  return (
    <section class="gallery-page" aria-label={t('nav.gallery')}>
      <div class="row spread">
        <h1>{t('nav.gallery')}</h1>
        <input
          type="search"
          aria-label={t('gallery.search')}
          placeholder={t('gallery.search')}
          value={words.value}
          onInput={(event) => (words.value = event.currentTarget.value)}
        />
      </div>
      <CompareHint />
      {found.length > 0 ? (
        <ul class="thumbs large">
          {found.map((entry) => (
            <Thumb key={entry.id} entry={entry} />
          ))}
        </ul>
      ) : (
        galleryReady.value && (
          <div class="empty">
            <h2>{t(words.value ? 'gallery.nothing' : 'gallery.empty')}</h2>
            <p class="muted">{t('gallery.hint')}</p>
          </div>
        )
      )}
    </section>
  );
}
