// Image to image: a start picture, how much of it is drawn anew, and where. For models that vary a picture, that picture.
import { t } from '../i18n';
import { allowed } from '../lib/sizes';
import type { Picture } from '../api/types';
import { change, draft, shownModel, type StartPicture } from '../state/draft';
import { masking, paintedMasks } from '../state/masking';
import { IconButton, Section, Slider } from './controls';
import { PictureField, uploaded } from './picture_field';

export function setStart(picture: Picture): void {
  const size = allowed(picture, shownModel.value);
  change({ mode: 'draw', start: { picture, strength: null, mask: null }, ...(picture.width > 0 && size) });
}

export function StartSection() {
  const { start, imagePrompt } = draft.value;
  const set = (patch: Partial<StartPicture>) => start && change({ start: { ...start, ...patch } });
  const value = start ? t(start.mask ? 'start.masked' : 'start.set') : t('none');
  return (
    <>
      {shownModel.value?.image_prompt && (
        <Section name="image-prompt" title={t('image_prompt')} open>
          <PictureField
            label={t('image_prompt')}
            value={imagePrompt}
            onChange={(p) => change({ imagePrompt: p })}
          />
        </Section>
      )}
      <Section name="start" title={t('start')} value={value} open={start !== null}>
        <PictureField
          label={t('start')}
          value={start?.picture ?? null}
          onChange={(picture) => (picture ? setStart(picture) : change({ start: null }))}
        >
          <IconButton
            icon="brush"
            text
            label={t(start?.mask ? 'mask.change' : 'mask.paint')}
            onClick={paintMask}
          />
        </PictureField>
        {start && (
          <Slider
            label={t('strength')}
            value={start.strength ?? (start.mask ? 1 : 0.75)}
            usual={start.strength === null}
            min={0}
            max={1}
            step={0.05}
            onInput={(strength) => set({ strength })}
            onReset={() => set({ strength: null })}
            resetLabel={t('usual')}
          />
        )}
        {start?.mask && (
          <div class="row mask-row">
            <img src={start.mask.url} alt={t('mask')} />
            <span class="muted">{t('mask.hint')}</span>
            <IconButton icon="trash" label={t('mask.remove')} onClick={() => set({ mask: null })} />
          </div>
        )}
      </Section>
    </>
  );
}

async function paintMask(): Promise<void> {
  const { start } = draft.value;
  if (!start) return;
  const { picture, mask } = start;
  const { width, height } = picture.width ? picture : await naturalSize(picture.url);
  masking.value = {
    title: t('mask.paint'),
    hint: t('mask.hint'),
    background: picture.url,
    width,
    height,
    colour: '#e0563a',
    strokes: mask ? (paintedMasks.get(mask.id) ?? []) : [],
    async done(blob, strokes) {
      const next = blob && (await uploaded(blob));
      if (next) paintedMasks.set(next.id, strokes);
      const now = draft.value.start;
      if (now && (next || !blob)) change({ start: { ...now, mask: next } });
    },
  };
}

async function naturalSize(url: string): Promise<{ width: number; height: number }> {
  const image = new Image();
  image.src = url;
  await image.decode();
  return { width: image.naturalWidth, height: image.naturalHeight };
}
