// A place for one picture: chosen from a file, or dropped. It is uploaded at once and named by its hash.
import type { JSX } from 'preact';
import { useId } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import * as api from '../api/client';
import type { Picture } from '../api/types';
import { t } from '../i18n';
import { needsKey } from '../state/server';
import { notify } from '../state/view';
import { IconButton } from './controls';
import { Icon } from './icon';

interface PictureFieldProps {
  label: string;
  value: Picture | null;
  onChange(picture: Picture | null): void;
  children?: JSX.Element | null; // buttons beside the picture
}

export const imageTypes = 'image/png,image/jpeg,image/webp';

export async function uploaded(file: Blob): Promise<Picture | null> {
  try {
    return await api.upload(file);
  } catch (error) {
    notifyProblem(error);
    return null;
  }
}

export function notifyProblem(error: unknown): void {
  const { code, message, hint, status } = api.problemFrom(error);
  if (status === 401) needsKey.value = true;
  notify(code === 'offline' ? t('status.offline') : message, { hint, isError: true });
}

export function PictureField({ label, value, onChange, children }: PictureFieldProps) {
  const id = useId();
  const over = useSignal(false);
  const busy = useSignal(false);
  const take = async (file: File | undefined) => {
    if (!file) return;
    busy.value = true;
    const picture = await uploaded(file);
    busy.value = false;
    if (picture) onChange(picture);
  };
  const drop = (event: DragEvent) => {
    event.preventDefault();
    event.stopPropagation();
    over.value = false;
    void take(event.dataTransfer?.files[0]);
  };
  if (value) {
    return (
      <div class="picture-field filled">
        <img src={value.url} alt={label} />
        <div class="beside">
          <span class="name">{label}</span>
          {value.width > 0 && (
            <span class="muted">
              {value.width} × {value.height}
            </span>
          )}
          <div class="row">
            {children}
            <IconButton icon="trash" label={t('remove')} onClick={() => onChange(null)} />
          </div>
        </div>
      </div>
    );
  }
  return (
    <div
      class={`picture-field ${over.value ? 'over' : ''}`}
      onDragOver={(event) => {
        event.preventDefault();
        over.value = true;
      }}
      onDragLeave={() => (over.value = false)}
      onDrop={drop}
    >
      <input
        id={id}
        class="unseen"
        type="file"
        accept={imageTypes}
        onChange={(event) => {
          void take(event.currentTarget.files?.[0]);
          event.currentTarget.value = '';
        }}
      />
      <label for={id}>
        <Icon name="start" />
        <span>
          {label}
          <small>{busy.value ? t('picture.uploading') : t('picture.choose')}</small>
        </span>
      </label>
    </div>
  );
}
