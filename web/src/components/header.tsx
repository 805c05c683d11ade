// The head of the page: where to go, how the server is, language and theme.
import { language, t } from '../i18n';
import { beginCoop, change, draft } from '../state/draft';
import { active } from '../state/jobs';
import { isDark, theme } from '../state/look';
import { offline } from '../state/network';
import { loadProblem } from '../state/server';
import { page } from '../state/view';
import { Icon, type IconName } from './icon';
import { IconButton } from './controls';

type Place = 'draw' | 'coop' | 'gallery';

const here = (): Place => (page.value === 'gallery' ? 'gallery' : draft.value.mode);

function go(place: Place): void {
  if (place !== 'gallery') change({ mode: place });
  if (place === 'coop') beginCoop();
  page.value = place === 'gallery' ? 'gallery' : 'draw';
}

const kPlaces: { place: Place; icon: IconName }[] = [
  { place: 'draw', icon: 'draw' },
  { place: 'coop', icon: 'together' },
  { place: 'gallery', icon: 'gallery' },
];

export function Header() {
  const other = language.value === 'zh' ? 'en' : 'zh';
  return (
    <header class="head">
      <div class="brand">
        <svg viewBox="0 0 32 32" width="26" height="26" aria-hidden="true">
          <rect width="32" height="32" rx="7" class="seal" />
          <path d="M9 23 16 8l7 15M11.6 18h8.8" class="mark" />
        </svg>
        <span>
          PanGu-Draw<small lang="zh-CN">盘古画</small>
        </span>
      </div>
      <nav aria-label={t('nav')}>
        {kPlaces.map(({ place, icon }) => (
          <button
            key={place}
            type="button"
            aria-current={here() === place ? 'page' : undefined}
            onClick={() => go(place)}
          >
            <Icon name={icon} />
            <span>{t(`nav.${place}`)}</span>
          </button>
        ))}
      </nav>
      <div class="tools">
        <Status />
        <button
          type="button"
          class="button"
          lang={other === 'zh' ? 'zh-CN' : 'en'}
          onClick={() => (language.value = other)}
        >
          {other === 'zh' ? '中文' : 'English'}
        </button>
        <IconButton
          icon={isDark() ? 'sun' : 'moon'}
          label={t(isDark() ? 'theme.light' : 'theme.dark')}
          onClick={() => (theme.value = isDark() ? 'light' : 'dark')}
        />
      </div>
    </header>
  );
}

function Status() {
  const count = active.value.length;
  const [kind, text] = offline.value
    ? ['bad', t('status.offline')]
    : loadProblem.value
      ? ['bad', loadProblem.value.message]
      : count
        ? ['busy', t('status.jobs', { n: count })]
        : ['good', t('status.idle')];
  return (
    <span class={`status ${kind}`}>
      <i aria-hidden="true" />
      {text}
    </span>
  );
}
