// Several models draw one picture: members as cards, what share each has over the noise levels, and how they work
// together.
import { known, t } from '../i18n';
import { change, draft, newMember } from '../state/draft';
import { capabilities, models, offers } from '../state/server';
import { IconButton, Section, Select, Switch } from './controls';
import { MemberCard } from './member_card';
import { PlanFacts } from './plan_facts';
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
      <PlanFacts />
    </Section>
  );
}
