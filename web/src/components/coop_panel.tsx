// Several models draw one picture: members as cards, what share each has over the noise levels, and what it costs.
import { useEffect } from 'preact/hooks';
import { signal } from '@preact/signals';
import * as api from '../api/client';
import type { CoopPlan } from '../api/types';
import { bytesText, known, t } from '../i18n';
import { bodyOf, change, draft, newMember } from '../state/draft';
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

const plan = signal<CoopPlan | null>(null);
const planProblem = signal<string | null>(null);
const kPlanDelayMs = 500;

// What drawing will cost, before it is drawn: from the server's plan where it offers one, else from the form alone.
function Cost() {
  const { members, form } = draft.value;
  const body = JSON.stringify(bodyOf(draft.value));
  useEffect(() => {
    if (!offers('plan') || members.length < 2) return;
    const timer = setTimeout(() => {
      api.plan(JSON.parse(body)).then(
        (found) => {
          plan.value = found;
          planProblem.value = null;
        },
        (error) => {
          plan.value = null;
          planProblem.value = api.problemFrom(error).message;
        },
      );
    }, kPlanDelayMs);
    return () => clearTimeout(timer);
  }, [body]);
  const distinct = new Set(members.map((member) => member.model));
  const bytes = [...distinct].reduce((sum, id) => sum + (modelOf(id)?.weight_bytes ?? 0), 0);
  const bridges = kBridges[form]?.(members.length);
  const stages = plan.value?.stages ?? [];
  return (
    <dl class="table cost" aria-live="polite">
      <div>
        <dt>{t('cost.networks')}</dt>
        <dd>{t('cost.forwards', { n: members.length })}</dd>
      </div>
      {bridges !== undefined && (
        <div>
          <dt>{t('cost.bridges')}</dt>
          <dd>{t('cost.most', { n: bridges })}</dd>
        </div>
      )}
      {bytes > 0 && (
        <div>
          <dt>{t('cost.memory')}</dt>
          <dd>{bytesText(bytes)}</dd>
        </div>
      )}
      {stages.flatMap((stage) =>
        stage.bridges.map(({ from, to, kind, by }) => (
          <div key={`${from}>${to}`}>
            <dt>
              {from} → {to}
            </dt>
            <dd>
              {known('bridge', kind)}
              {by && <small> {reasonOf(by)}</small>}
            </dd>
          </div>
        )),
      )}
      {planProblem.value && (
        <div>
          <dt>{t('cost.plan')}</dt>
          <dd class="bad">{planProblem.value}</dd>
        </div>
      )}
    </dl>
  );
}

// The reason without the folder that it begins with.
const reasonOf = (by: string) => by.replace(/^\S*\//, '');
