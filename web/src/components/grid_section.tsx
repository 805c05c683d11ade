// Two settings and their values: a picture for every pair.
import { useId } from 'preact/hooks';
import { t } from '../i18n';
import { axes, axisKeys, cells, isGrid, kMostCells, setAxis } from '../state/grid';
import { capabilities, models } from '../state/server';
import { kModelAxis } from '../lib/grid';
import { Section, Select } from './controls';

export function GridSection() {
  const n = cells.value.length;
  return (
    <Section name="grid" title={t('grid')} value={isGrid.value ? t('grid.n', { n }) : t('none')}>
      <p class="muted">{t('grid.hint')}</p>
      {(['grid.columns', 'grid.rows'] as const).map((label, i) => (
        <AxisFields key={label} label={t(label)} index={i} />
      ))}
      {n > kMostCells && <p class="muted">{t('grid.most', { n: kMostCells })}</p>}
    </Section>
  );
}

function AxisFields({ label, index }: { label: string; index: number }) {
  const id = useId();
  const { key, values } = axes.value[index]!;
  const known = axisKeys.value;
  return (
    <div class="pair axis">
      <Select
        label={label}
        value={key}
        options={[
          { value: '', text: t('none') },
          ...(key && !known.includes(key) ? [{ value: key, text: key }] : []),
          ...known.map((name) => ({ value: name, text: name })),
        ]}
        onChange={(next) => setAxis(index, { key: next })}
      />
      <div class="field">
        <label for={id}>{t('grid.values')}</label>
        <input
          id={id}
          type="text"
          disabled={!key}
          value={values}
          placeholder={exampleOf(key)}
          onInput={(event) => setAxis(index, { values: event.currentTarget.value })}
        />
      </div>
    </div>
  );
}

// What may be written there.
function exampleOf(key: string): string {
  const field = capabilities.value?.fields.find((one) => one.key === key);
  const few = (list: string[]) => list.slice(0, 2).join(', ');
  if (key === kModelAxis) return few(models.value.map(({ id }) => id));
  if (key === 'sampler') return few(capabilities.value!.samplers.map(({ name }) => name));
  if (key === 'schedule') return few(capabilities.value!.schedules.map(({ name }) => name));
  if (field?.values.length) return few(field.values);
  return field?.type === 'number' || field?.type === 'integer' ? '10, 20, 30' : '';
}
