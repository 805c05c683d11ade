// Model, size by shape, steps and sampler, seed: each a section that says what holds while it is closed.
import { bytesText, t } from '../i18n';
import {
  allowed,
  carriedSize,
  defaultSize,
  kScales,
  kShapes,
  scaleOf,
  shapeOf,
  type Size,
  sizeOf,
} from '../lib/sizes';
import { change, draft, freshSeed, shownModel } from '../state/draft';
import { capabilities, defaultModel, modelOf, models } from '../state/server';
import { Choice, IconButton, Section, Select, Slider } from './controls';
import { ExtraFields } from './extra_fields';

export function ModelSection() {
  const { model } = draft.value;
  const chosen = shownModel.value;
  const options = models.value.map((one) => ({
    value: one.id,
    text: one.title || one.id,
    disabled: one.error !== null,
  }));
  const broken = models.value.filter((one) => one.error);
  return (
    <Section name="model" title={t('model')} value={chosen?.title}>
      <Select
        label={t('model')}
        hideLabel
        value={model || (defaultModel.value?.id ?? '')}
        options={options}
        onChange={chooseModel}
      />
      {chosen && (
        <p class="muted">
          {(chosen.experts ?? []).length > 1
            ? t('model.experts', { n: chosen.experts!.length })
            : t('model.one')}
          {chosen.weight_bytes ? ` · ${bytesText(chosen.weight_bytes)}` : ''}
        </p>
      )}
      {broken.map((one) => (
        <p class="muted" key={one.id}>
          {one.title || one.id}: {one.error}
        </p>
      ))}
    </Section>
  );
}

// A size that was chosen keeps its shape; styles are those of one model.
function chooseModel(id: string): void {
  const { width, height } = draft.value;
  const size = width && height ? carriedSize({ width, height }, shownModel.value, modelOf(id)) : {};
  change({ model: id, styles: [], ...size });
}

export function DetailSections() {
  return (
    <>
      <SizeSection />
      <StepSection />
      <SeedSection />
    </>
  );
}

function currentSize(): Size {
  const { width, height } = draft.value;
  const usual = defaultSize(shownModel.value);
  return { width: width ?? usual.width, height: height ?? usual.height };
}

function SizeSection() {
  const model = shownModel.value;
  const size = currentSize();
  const usual = defaultSize(model);
  const area = usual.width * usual.height;
  const shape = shapeOf(size);
  const scale = scaleOf(size, usual, model);
  const set = (next: Size) => change({ width: next.width, height: next.height });
  const side = (key: 'width' | 'height') => (
    <label class="side">
      <span>{t(`size.${key}`)}</span>
      <input
        type="number"
        inputMode="numeric"
        min={model?.min_side ?? 64}
        step={model?.size_multiple ?? 8}
        value={size[key]}
        onChange={(event) =>
          set(allowed({ ...size, [key]: event.currentTarget.valueAsNumber || usual[key] }, model))
        }
      />
    </label>
  );
  return (
    <Section name="size" title={t('size')} value={`${size.width} × ${size.height}`} open>
      <Choice
        label={t('size.shape')}
        class="shapes"
        value={shape?.name ?? null}
        options={kShapes.map(({ name, ratio }) => ({
          value: name,
          title: name,
          text: (
            <>
              <svg viewBox="-12 -12 24 24" width="24" height="24" aria-hidden="true">
                <rect {...centred(ratio)} rx="1.5" />
              </svg>
              <span>{name}</span>
            </>
          ),
        }))}
        onChange={(name) =>
          set(sizeOf(kShapes.find((one) => one.name === name)!.ratio, area * scale.factor, model))
        }
      />
      <div class="row sides">
        {side('width')}
        <IconButton
          icon="swap"
          label={t('size.swap')}
          onClick={() => set(allowed({ width: size.height, height: size.width }, model))}
        />
        {side('height')}
        <Choice
          label={t('size.area')}
          value={scale.name}
          options={kScales.map(({ name }) => ({
            value: name,
            text: t(`size.${name}`),
            title: t(`size.${name}.title`),
          }))}
          onChange={(name) =>
            set(
              sizeOf(
                size.width / size.height,
                area * kScales.find((one) => one.name === name)!.factor,
                model,
              ),
            )
          }
        />
      </div>
    </Section>
  );
}

// A rectangle of this shape in the middle of a square of 24.
function centred(ratio: number) {
  const width = 17 * Math.sqrt(Math.min(ratio, 1.6)) * (ratio > 1.6 ? 1 : 0.92);
  const height = width / ratio;
  const fit = Math.min(1, 20 / height, 22 / width);
  return { x: (-width * fit) / 2, y: (-height * fit) / 2, width: width * fit, height: height * fit };
}

function StepSection() {
  const { steps, guidance, sampler, schedule } = draft.value;
  const usual = shownModel.value?.defaults ?? {};
  const numberOf = (value: unknown, otherwise: number) => (typeof value === 'number' ? value : otherwise);
  const shownSteps = steps ?? numberOf(usual.steps, 20);
  const names = (list: { name: string; web_name?: string }[] = [], own: unknown) => [
    { value: '', text: typeof own === 'string' ? t('usual.of', { name: own }) : t('usual') },
    ...list.map(({ name, web_name }) => ({ value: name, text: web_name || name })),
  ];
  const samplerShown = sampler ?? String(usual.sampler ?? '');
  return (
    <Section name="steps" title={t('details')} value={`${t('steps.n', { n: shownSteps })} · ${samplerShown}`}>
      <Slider
        label={t('steps')}
        value={shownSteps}
        usual={steps === null}
        min={1}
        max={60}
        step={1}
        onInput={(value) => change({ steps: Math.max(1, Math.round(value)) })}
        onReset={() => change({ steps: null })}
        resetLabel={t('usual')}
      />
      <Slider
        label={t('guidance')}
        value={guidance ?? numberOf(usual.guidance, 5)}
        usual={guidance === null}
        min={1}
        max={15}
        step={0.5}
        onInput={(value) => change({ guidance: value })}
        onReset={() => change({ guidance: null })}
        resetLabel={t('usual')}
      />
      <div class="pair">
        <Select
          label={t('sampler')}
          value={sampler ?? ''}
          options={names(capabilities.value?.samplers, usual.sampler)}
          onChange={(value) => change({ sampler: value || null })}
        />
        <Select
          label={t('schedule')}
          value={schedule ?? ''}
          options={names(capabilities.value?.schedules, usual.schedule)}
          onChange={(value) => change({ schedule: value || null })}
        />
      </div>
    </Section>
  );
}

function SeedSection() {
  const { seed, seedLocked } = draft.value;
  return (
    <Section name="seed" title={t('seed')} value={seedLocked && seed !== null ? String(seed) : t('seed.any')}>
      <div class="row seed">
        <input
          type="text"
          inputMode="numeric"
          aria-label={t('seed')}
          placeholder={t('seed.any')}
          value={seed ?? ''}
          onChange={(event) => {
            const number = Number(event.currentTarget.value.trim());
            const said =
              event.currentTarget.value.trim() !== '' && Number.isSafeInteger(number) && number >= 0;
            change(said ? { seed: number, seedLocked: true } : { seed: null, seedLocked: false });
          }}
        />
        <IconButton
          icon="dice"
          label={t('seed.dice')}
          onClick={() => change({ seed: freshSeed(), seedLocked: true })}
        />
        <IconButton
          icon={seedLocked ? 'lock' : 'unlock'}
          label={t(seedLocked ? 'seed.unlock' : 'seed.lock')}
          aria-pressed={seedLocked}
          onClick={() => change({ seedLocked: !seedLocked, seed: seed ?? freshSeed() })}
        />
      </div>
      <p class="muted">{t(seedLocked ? 'seed.locked.hint' : 'seed.any.hint')}</p>
    </Section>
  );
}

export function ExtraSection() {
  const { extra } = draft.value;
  const names = Object.keys(extra).join(', ');
  return (
    <Section name="extra" title={t('extra')} value={names || t('none')}>
      <ExtraFields extra={extra} onChange={(next) => change({ extra: next })} />
    </Section>
  );
}
