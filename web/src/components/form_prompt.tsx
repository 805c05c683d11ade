// Prompt, negative prompt and styles.
import { useId } from 'preact/hooks';
import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { change, draft, shownModel, type StyleUse } from '../state/draft';
import { IconButton } from './controls';

export function PromptFields() {
  const id = useId();
  const { prompt, negative, mode } = draft.value;
  const showNegative = useSignal(negative !== '');
  return (
    <div class="prompts">
      <label for={`${id}p`}>{t(mode === 'coop' ? 'prompt.common' : 'prompt')}</label>
      <textarea
        id={`${id}p`}
        class="prompt"
        rows={3}
        value={prompt}
        placeholder={t('prompt.example')}
        onInput={(event) => change({ prompt: event.currentTarget.value })}
      />
      {showNegative.value || negative ? (
        <>
          <label for={`${id}n`}>{t('negative')}</label>
          <textarea
            id={`${id}n`}
            rows={1}
            value={negative}
            placeholder={t('negative.example')}
            onInput={(event) => change({ negative: event.currentTarget.value })}
          />
        </>
      ) : (
        <button type="button" class="link" onClick={() => (showNegative.value = true)}>
          {t('negative.add')}
        </button>
      )}
      <Styles />
    </div>
  );
}

const kUsualScale = 2;

function Styles() {
  const offered = shownModel.value?.styles ?? [];
  const { styles } = draft.value;
  const scale = Number(shownModel.value?.defaults?.style_scale ?? kUsualScale);
  const set = (next: StyleUse[]) => change({ styles: next });
  const toggle = (name: string) =>
    set(
      styles.some((style) => style.name === name)
        ? styles.filter((style) => style.name !== name)
        : [...styles, { name, scale: null }],
    );
  const names = [...offered, ...styles.map((style) => style.name).filter((name) => !offered.includes(name))];
  if (!names.length) return null;
  return (
    <fieldset class="styles">
      <legend>{t('styles')}</legend>
      <div class="chips">
        {names.map((name) => (
          <button
            key={name}
            type="button"
            class="chip"
            aria-pressed={styles.some((style) => style.name === name)}
            onClick={() => toggle(name)}
          >
            {name}
          </button>
        ))}
      </div>
      {styles.map((style, i) => (
        <div class="style-scale" key={style.name}>
          <span>{style.name}</span>
          <input
            type="range"
            min={0}
            max={8}
            step={0.5}
            aria-label={t('styles.scale', { name: style.name })}
            value={style.scale ?? scale}
            onInput={(event) => set(styles.with(i, { ...style, scale: event.currentTarget.valueAsNumber }))}
          />
          <output>{style.scale ?? scale}</output>
          <IconButton
            icon="close"
            label={t('remove.named', { name: style.name })}
            onClick={() => toggle(style.name)}
          />
        </div>
      ))}
    </fieldset>
  );
}
