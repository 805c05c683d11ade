// The frame of the page: header with the ways through it, the work place or the gallery, and what lies above both.
import { useSignalEffect } from '@preact/signals';
import { t } from './i18n';
import { CompareDialog } from './components/compare';
import { DropTarget } from './components/drop_target';
import { GalleryPage } from './components/gallery';
import { Header } from './components/header';
import { KeyDialog } from './components/key_dialog';
import { MaskDialog } from './components/mask_dialog';
import { Notices } from './components/notices';
import { Workspace } from './components/workspace';
import { active } from './state/jobs';
import { needsKey } from './state/server';
import { announced, compared, page } from './state/view';
import { masking } from './state/masking';

export function App() {
  useSignalEffect(() => {
    const running = active.value.find(({ job }) => job.progress?.steps)?.job.progress;
    const percent = running ? `${Math.round((100 * running.step) / running.steps)} % · ` : '';
    document.title = `${percent}PanGu-Draw`;
  });
  return (
    <>
      <a class="skip" href="#main">
        {t('skip')}
      </a>
      <Header />
      <main id="main" tabIndex={-1}>
        {page.value === 'gallery' ? <GalleryPage /> : <Workspace />}
      </main>
      <div class="unseen" role="status" aria-live="polite">
        {announced.value}
      </div>
      <Notices />
      <DropTarget />
      {compared.value && <CompareDialog pair={compared.value} />}
      {masking.value && <MaskDialog {...masking.value} />}
      {needsKey.value && <KeyDialog />}
    </>
  );
}
