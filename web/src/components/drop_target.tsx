// A picture that is dropped anywhere: its settings come back into the form; one that has none becomes the start picture.
import { useEffect } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { problemFrom } from '../api/client';
import { t } from '../i18n';
import { restoreFile } from '../state/restore';
import { notify, page } from '../state/view';
import { setStart } from './form_start';
import { Icon } from './icon';
import { notifyProblem, uploaded } from './picture_field';

export async function restoreAndTell(file: File): Promise<void> {
  page.value = 'draw';
  try {
    const { origin, lacking } = await restoreFile(file);
    const hint = lacking.length ? t('restore.lacking', { list: lacking.join(', ') }) : undefined;
    notify(t('restore.done', { origin }), { hint });
  } catch (error) {
    if (problemFrom(error).code !== 'bad_input') return notifyProblem(error);
    const picture = await uploaded(file);
    if (!picture) return;
    setStart(picture);
    notify(t('restore.nothing'));
  }
}

export function DropTarget() {
  const over = useSignal(false);
  useEffect(() => {
    const hasFile = (event: DragEvent) => event.dataTransfer?.types.includes('Files') ?? false;
    const enter = (event: DragEvent) => {
      if (!hasFile(event)) return;
      event.preventDefault();
      over.value = true;
    };
    const leave = (event: DragEvent) => {
      if (!event.relatedTarget) over.value = false;
    };
    const drop = (event: DragEvent) => {
      over.value = false;
      if (!hasFile(event) || event.defaultPrevented) return;
      event.preventDefault();
      const file = event.dataTransfer?.files[0];
      if (file) void restoreAndTell(file);
    };
    const end = () => (over.value = false);
    addEventListener('dragenter', enter);
    addEventListener('dragover', enter);
    addEventListener('dragleave', leave);
    addEventListener('drop', drop);
    addEventListener('drop', end, true);
    return () => {
      removeEventListener('dragenter', enter);
      removeEventListener('dragover', enter);
      removeEventListener('dragleave', leave);
      removeEventListener('drop', drop);
      removeEventListener('drop', end, true);
    };
  }, []);
  if (!over.value) return null;
  return (
    <div class="drop-target" aria-hidden="true">
      <div>
        <Icon name="file" size={36} />
        <p>{t('drop')}</p>
        <small>{t('drop.hint')}</small>
      </div>
    </div>
  );
}
