// Several models draw one picture: members as cards, what share each has over the noise levels, and what it costs.
import { bytesText, known, t } from '../i18n';
import { change, draft, newMember, shownModel } from '../state/draft';
import { capabilities, modelOf, models, offers } from '../state/server';
import { IconButton, Section, Select, Switch } from './controls';
import { MemberCard } from './member_card';
import { SharesChart } from './shares_chart';

export function CoopPanel() {
  const { members } = draft.value;
  const add = () => {
    const able = models.value.filter((model) => !model.error);
    const fresh = able.find((model) => !members.some((member) => member.model === model.id)) ?? able[0];
    if (fresh) change({ members: [...members, newMember(fresh.id, { hub: !members.length })] });
  };
  return (
    <section class="coop" aria-label={t('coop')}>
      {members.length > 1 && <SharesChart members={members} />}
      <ul class="members">
        {members.map((member, i) => (
          <li key={member.key}>
            <MemberCard member={member} index={i} />
          </li>
        ))}
      </ul>
      <IconButton icon="plus" text label={t('member.add')} onClick={add} />
      <Together />
    </section>
  );
}

function Together() {
  const { form, bridge, memberPreviews } = draft.value;
  const coop = capabilities.value?.coop;
  const options = (kind: 'form' | 'bridge', names: string[] = []) =>
    names.map((name) => ({ value: name, text: known(kind, name) }));
  return (
    <Section
      name="together"
      title={t('together')}
      value={`${known('form', form)} · ${known('bridge', bridge)}`}
      open
    >
      <div class="pair">
        <Select
          label={t('form.name')}
          value={form}
          options={options('form', coop?.forms)}
          onChange={(value) => change({ form: value })}
        />
        <Select
          label={t('bridge.name')}
          value={bridge}
          options={options('bridge', coop?.bridges)}
          onChange={(value) => change({ bridge: value })}
        />
      </div>
      {offers('member_previews') && (
        <Switch
          label={t('member.previews')}
          on={memberPreviews}
          onChange={(on) => change({ memberPreviews: on })}
        />
      )}
      <Cost />
    </Section>
  );
}

// Bridges a step by the form, n members (docs/coop.md).
const kBridges: Record<string, (n: number) => number> = {
  paper: (n) => 2 * (n - 1),
  symmetric: (n) => n * (n - 1),
  one_way: (n) => n - 1,
};

// What drawing will cost, before it is drawn. Bridges of members in one space are none, so their number is a bound.
function Cost() {
  const { members, form, steps } = draft.value;
  const n = members.length;
  const all = steps ?? Number(shownModel.value?.defaults?.steps ?? 20);
  const bridges = kBridges[form]?.(n);
  const distinct = new Set(members.map((member) => member.model));
  const bytes = [...distinct].reduce((sum, id) => sum + (modelOf(id)?.weight_bytes ?? 0), 0);
  const facts: [string, string][] = [[t('cost.networks'), t('cost.each', { n, all: n * all })]];
  if (bridges !== undefined) {
    facts.push([t('cost.bridges'), t('cost.most', { n: bridges, all: bridges * all })]);
  }
  if (bytes > 0) facts.push([t('cost.memory'), bytesText(bytes)]);
  return (
    <dl class="table cost">
      {facts.map(([name, value]) => (
        <div key={name}>
          <dt>{name}</dt>
          <dd>{value}</dd>
        </div>
      ))}
    </dl>
  );
}
