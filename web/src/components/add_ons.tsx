// LoRAs and ControlNets. A control picture is taken as it is, or made on the server from a photograph.
import { useSignal } from '@preact/signals';
import * as api from '../api/client';
import type { Json, JsonObject, Picture } from '../api/types';
import { known, t } from '../i18n';
import { change, type ControlUse, draft, type LoraUse, shownModel } from '../state/draft';
import { waitForJob } from '../state/waiting';
import { capabilities, networks, offers } from '../state/server';
import { notify } from '../state/view';
import { IconButton, Section, Select, Slider, Switch } from './controls';
import { notifyProblem, PictureField } from './picture_field';

export function AddOnSections() {
  return (
    <>
      <LoraSection />
      <ControlSection />
    </>
  );
}

function LoraSection() {
  const { loras } = draft.value;
  if (!networks('lora').length && !loras.length) return null;
  return (
    <Section name="lora" title="LoRA" value={loras.map(({ name }) => name).join(', ') || t('none')}>
      <LoraList loras={loras} onChange={(next) => change({ loras: next })} />
    </Section>
  );
}

export function LoraList({ loras, onChange }: { loras: LoraUse[]; onChange(loras: LoraUse[]): void }) {
  const free = networks('lora').filter((name) => !loras.some((lora) => lora.name === name));
  return (
    <>
      {loras.map((lora, i) => (
        <div class="row add-on" key={lora.name}>
          <Slider
            label={lora.name}
            value={lora.weight}
            min={0}
            max={1.5}
            step={0.05}
            onInput={(weight) => onChange(loras.with(i, { ...lora, weight }))}
          />
          <IconButton
            icon="close"
            label={t('remove.named', { name: lora.name })}
            onClick={() => onChange(loras.toSpliced(i, 1))}
          />
        </div>
      ))}
      {free.length > 0 && (
        <Select
          label={t('lora.add')}
          hideLabel
          value=""
          options={[
            { value: '', text: t('lora.choose') },
            ...free.map((name) => ({ value: name, text: name })),
          ]}
          onChange={(name) => name && onChange([...loras, { name, weight: 1 }])}
        />
      )}
    </>
  );
}

function ControlSection() {
  const { controls } = draft.value;
  const byItself = shownModel.value?.controls ?? false;
  const nets = networks('controlnet');
  if (!nets.length && !byItself && !controls.length) return null;
  const set = (i: number, patch: Partial<ControlUse>) =>
    change({ controls: controls.with(i, { ...controls[i]!, ...patch }) });
  const add = () =>
    change({
      controls: [
        ...controls,
        { network: byItself ? '' : (nets[0] ?? ''), picture: null, weight: 1, from: 0, to: 1 },
      ],
    });
  return (
    <Section
      name="control"
      title={t('control')}
      value={
        controls.length ? controls.map(({ network }) => network || t('control.own')).join(', ') : t('none')
      }
    >
      {controls.map((control, i) => (
        <div class="control-card" key={i}>
          <div class="row">
            {nets.length > 0 && (
              <Select
                label={t('control.network')}
                hideLabel
                value={control.network}
                options={[
                  ...(byItself ? [{ value: '', text: t('control.own') }] : []),
                  ...nets.map((name) => ({ value: name, text: name })),
                ]}
                onChange={(network) => set(i, { network })}
              />
            )}
            <IconButton
              icon="close"
              label={t('remove.named', { name: control.network || t('control') })}
              onClick={() => change({ controls: controls.toSpliced(i, 1) })}
            />
          </div>
          <ControlPicture value={control.picture} onChange={(picture) => set(i, { picture })} />
          <Slider
            label={t('control.weight')}
            value={control.weight}
            min={0}
            max={2}
            step={0.05}
            onInput={(weight) => set(i, { weight })}
          />
          <Slider
            label={t('control.to')}
            value={control.to}
            min={0}
            max={1}
            step={0.05}
            onInput={(to) => set(i, { to: Math.max(to, control.from) })}
          />
        </div>
      ))}
      <IconButton icon="plus" text label={t('control.add')} onClick={add} />
    </Section>
  );
}

interface ControlPictureProps {
  value: Picture | null;
  onChange(picture: Picture | null): void;
}

// A control picture, and the buttons that make one of the picture that was chosen.
export function ControlPicture({ value, onChange }: ControlPictureProps) {
  const busy = useSignal<string | null>(null);
  const kinds = capabilities.value?.controls ?? [];
  const chosen = useSignal<Record<string, JsonObject>>({}); // options that were changed, by kind
  const make = async (kind: string) => {
    if (!value) return;
    busy.value = kind;
    try {
      const job = await waitForJob(await api.makeControl(value.id, kind, chosen.value[kind] ?? {}));
      const made = job.pictures[0];
      if (made)
        onChange({
          id: made.id,
          url: made.url ?? api.pictureUrl(made.id),
          width: made.width,
          height: made.height,
        });
      job.warnings.forEach((warning) => notify(warning));
    } catch (error) {
      notifyProblem(error);
    } finally {
      busy.value = null;
    }
  };
  return (
    <>
      <PictureField label={t('control.picture')} value={value} onChange={onChange} />
      {value && offers('controls') && kinds.length > 0 && (
        <div class="make" role="group" aria-label={t('control.make')}>
          <span class="muted">{t('control.make')}</span>
          {kinds.map(({ kind }) => (
            <button
              key={kind}
              type="button"
              class="chip"
              disabled={busy.value !== null}
              aria-busy={busy.value === kind}
              onClick={() => make(kind)}
            >
              {known('control.kind', kind)}
            </button>
          ))}
          <details class="make-options">
            <summary>{t('control.options')}</summary>
            {kinds.map(({ kind, options }) => (
              <fieldset key={kind}>
                <legend>{known('control.kind', kind)}</legend>
                {Object.entries(options).map(([name, usual]) => (
                  <ControlOption
                    key={name}
                    name={name}
                    value={chosen.value[kind]?.[name] ?? usual}
                    onChange={(next) =>
                      (chosen.value = {
                        ...chosen.value,
                        [kind]: { ...chosen.value[kind], [name]: next },
                      })
                    }
                  />
                ))}
              </fieldset>
            ))}
          </details>
        </div>
      )}
    </>
  );
}

interface ControlOptionProps {
  name: string;
  value: Json;
  onChange(value: Json): void;
}

// A number or a switch, as the server's default is one.
function ControlOption({ name, value, onChange }: ControlOptionProps) {
  const label = known('control.option', name);
  if (typeof value === 'boolean') return <Switch label={label} on={value} onChange={onChange} />;
  return (
    <label class="row spread">
      <span>{label}</span>
      <input
        class="number"
        type="number"
        step="any"
        value={Number(value)}
        onChange={(event) => {
          const number = event.currentTarget.valueAsNumber;
          if (Number.isFinite(number)) onChange(number);
        }}
      />
    </label>
  );
}
