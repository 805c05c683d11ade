// The work place: form, stage, and the rail with queue and latest pictures. On a phone the stage is on top once it shows
// something; the order of the elements is the order that is seen.
import { signal } from '@preact/signals';
import { t } from '../i18n';
import { focus } from '../state/view';
import { Form } from './form';
import { GalleryRail } from './gallery';
import { Queue } from './queue';
import { Stage } from './stage';

const narrow = matchMedia('(max-width: 820px)');
const isNarrow = signal(narrow.matches);
narrow.addEventListener('change', (event) => (isNarrow.value = event.matches));

export function Workspace() {
  const stage = <Stage key="stage" />;
  const stageFirst = isNarrow.value && focus.value.kind !== 'none';
  return (
    <div class="workspace">
      <h1 class="unseen">{t('title')}</h1>
      {stageFirst && stage}
      <Form key="form" />
      {!stageFirst && stage}
      <aside class="rail" aria-label={t('rail')} key="rail">
        <Queue />
        <GalleryRail />
      </aside>
    </div>
  );
}
