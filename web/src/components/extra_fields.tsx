// Every field of a request that the form has no control of its own for: its input follows from the server's table of
// fields. What a restored picture says beyond the table, such as the stages of a recipe, is shown as it is.
import { useId } from 'preact/hooks';
import type { Field, Json, JsonObject } from '../api/types';
import { t } from '../i18n';
import { kShownFields } from '../lib/shown_fields';
import { capabilities } from '../state/server';
import { IconButton, Select } from './controls';

interface ExtraFieldsProps {
  extra: JsonObject;
  ofMember?: boolean; // without the fields that all members share
  onChange(extra: JsonObject): void;
}

export function ExtraFields({ extra, ofMember, onChange }: ExtraFieldsProps) {
  const fields = capabilities.value?.fields ?? [];
  const free = fields.filter(
    ({ key, picture, shared, type }) =>
      !kShownFields.has(key) && !(key in extra) && !picture && !(ofMember && shared) && isPlain(type),
  );
  const without = (key: string) => Object.fromEntries(Object.entries(extra).filter(([one]) => one !== key));
  return (
    <div class="extras">
      {Object.entries(extra).map(([key, value]) => (
        <div class="row" key={key}>
          <ExtraField
            name={key}
            value={value}
            field={fields.find((field) => field.key === key)}
            onChange={(next) => onChange({ ...extra, [key]: next })}
          />
          <IconButton
            icon="close"
            label={t('remove.named', { name: key })}
            onClick={() => onChange(without(key))}
          />
        </div>
      ))}
      {free.length > 0 && (
        <Select
          label={t('extra.add')}
          hideLabel
          value=""
          options={[
            { value: '', text: t('extra.choose') },
            ...free.map(({ key, help }) => ({ value: key, text: help ? `${key}: ${help}` : key })),
          ]}
          onChange={(key) => {
            const field = free.find((one) => one.key === key);
            if (field) onChange({ ...extra, [key]: beginning(field) });
          }}
        />
      )}
    </div>
  );
}

const isPlain = (type: string) => ['text', 'number', 'integer', 'boolean'].includes(type);

// What a field is when it is added: its default, or the first thing that may be said.
function beginning({ type, default: usual, usual: words, values }: Field): Json {
  if (usual !== null && usual !== '') return usual;
  if (values.length) return values[0]!;
  const said = Number.parseFloat(words);
  return type === 'text' ? '' : type === 'boolean' ? true : Number.isFinite(said) ? said : 0;
}

interface ExtraFieldProps {
  name: string;
  value: Json;
  field: Field | undefined;
  onChange(value: Json): void;
}

function ExtraField({ name, value, field, onChange }: ExtraFieldProps) {
  const id = useId();
  if (!field || !isPlain(field.type)) {
    return (
      <code>
        {name} = {JSON.stringify(value)}
      </code>
    );
  }
  return (
    <div class="extra">
      <label for={id}>{name}</label>
      <ExtraInput id={id} field={field} value={value} onChange={onChange} />
      {field.help && <small class="muted">{field.help}</small>}
    </div>
  );
}

function ExtraInput({
  id,
  field,
  value,
  onChange,
}: { id: string; field: Field } & Omit<ExtraFieldProps, 'name' | 'field'>) {
  if (field.type === 'boolean') {
    return (
      <input
        id={id}
        type="checkbox"
        checked={value === true}
        onChange={(event) => onChange(event.currentTarget.checked)}
      />
    );
  }
  if (field.values.length) {
    return (
      <select id={id} value={String(value)} onChange={(event) => onChange(event.currentTarget.value)}>
        {field.values.map((one) => (
          <option key={one}>{one}</option>
        ))}
      </select>
    );
  }
  if (field.type === 'text') {
    return (
      <input
        id={id}
        type="text"
        value={String(value)}
        onChange={(event) => onChange(event.currentTarget.value)}
      />
    );
  }
  const whole = field.type === 'integer';
  return (
    <input
      id={id}
      type="number"
      step={whole ? 1 : 'any'}
      value={Number(value)}
      onChange={(event) => {
        const number = event.currentTarget.valueAsNumber;
        if (Number.isFinite(number)) onChange(whole ? Math.round(number) : number);
      }}
    />
  );
}
