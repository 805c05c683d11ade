// What a drawing will take, before it is drawn: sizes, experts, forwards of every network, bridges, time and memory.
import type { PlanBridge, PlanMember, PlanStage } from '../api/types';
import { bytesText, known, operationsText, secondsText, t } from '../i18n';
import { isGrid } from '../state/grid';
import { planned } from '../state/plan';
import { Icon } from './icon';
import { Section } from './controls';

// Time, or what stands for it where these models have not drawn here yet, in a few words.
function summary(): string {
  const { plan, problem } = planned.value;
  if (problem) return t('plan.refused');
  if (!plan) return '';
  const { cost } = plan.plan;
  return plan.seconds !== null
    ? t('plan.about', { time: secondsText(plan.seconds) })
    : operationsText(cost.gflop);
}

// Beside the button that draws: the time, and above it what the job would fail with.
export function PlanLine() {
  const { plan, problem } = planned.value;
  if (problem) {
    return (
      <div class="problem" role="status">
        <Icon name="warning" />
        <div>
          <p>{problem.message}</p>
          {problem.hint && <p class="hint">{problem.hint}</p>}
        </div>
      </div>
    );
  }
  if (!plan) return null;
  const { evaluations, weight_bytes } = plan.plan.cost;
  const words = [summary(), t('plan.evaluations', { n: evaluations }), bytesText(weight_bytes)];
  return (
    <p class="plan-line muted">
      {isGrid.value && `${t('plan.each')}: `}
      {words.join(' · ')}
    </p>
  );
}

export function PlanSection() {
  if (!planned.value.plan) return null;
  return (
    <Section name="plan" title={t('plan')} value={summary()}>
      <PlanFacts />
    </Section>
  );
}

export function PlanFacts() {
  const { plan } = planned.value;
  if (!plan) return null;
  const { stages, cost } = plan.plan;
  const facts: [string, string][] = [
    [t('plan.time'), plan.seconds !== null ? t('plan.about', { time: secondsText(plan.seconds) }) : '–'],
    [t('plan.networks'), t('plan.evaluations', { n: cost.evaluations })],
    [t('plan.operations'), operationsText(cost.gflop)],
    [t('plan.memory'), bytesText(cost.weight_bytes)],
  ];
  return (
    <div class="plan">
      <dl class="table">
        {facts.map(([name, value]) => (
          <div key={name}>
            <dt>{name}</dt>
            <dd>{value}</dd>
          </div>
        ))}
      </dl>
      {stages.map((stage, i) => (
        <Stage key={i} stage={stage} number={stages.length > 1 ? i + 1 : null} />
      ))}
      <Forwards />
      {plan.warnings.map((warning) => (
        <p class="muted" key={warning}>
          {warning}
        </p>
      ))}
    </div>
  );
}

function Stage({ stage, number }: { stage: PlanStage; number: number | null }) {
  const bridges = [...stage.bridges, ...stage.carries].filter(({ kind }) => kind !== 'identity');
  return (
    <section aria-label={t('plan.stage', { n: number ?? 1 })}>
      {number !== null && <h3>{t('plan.stage', { n: number })}</h3>}
      <ul class="plan-list">
        {stage.members.map((member) => (
          <li key={member.name}>
            <b>{member.name}</b> <span class="muted">{spaceText(member)}</span>
          </li>
        ))}
        {bridges.map((bridge) => (
          <li key={`${bridge.from} ${bridge.to}`}>
            <b>
              {bridge.from} → {bridge.to}
            </b>{' '}
            <span class="muted">{bridgeText(bridge)}</span>
          </li>
        ))}
      </ul>
    </section>
  );
}

// "256 × 256, latents 4 × 32 × 32; structure 9, texture 11".
function spaceText({ width, height, latent_channels, downscale, experts }: PlanMember): string {
  const latents = `${latent_channels} × ${height / downscale} × ${width / downscale}`;
  const steps = experts.map(({ name, steps }) => `${known('expert', name)} ${steps}`).join(', ');
  return `${width} × ${height}, ${t('plan.latents', { shape: latents })}; ${t('plan.steps', { list: steps })}`;
}

const bridgeText = ({ kind, by }: PlanBridge) => `${known('bridge', kind)}: ${by}`;

// The forwards of every network for one picture.
function Forwards() {
  const { networks, bridges } = planned.value.plan!.plan.cost;
  const several = new Set(networks.map(({ member }) => member)).size > 1;
  const rows: [string, number, number, number][] = [
    ...networks.map(({ member, network, part, calls, rows, gflop }): [string, number, number, number] => [
      `${several ? `${member}, ` : ''}${part === 'denoiser' ? known('expert', network) : known('plan.part', part)}`,
      calls,
      rows,
      gflop,
    ]),
    ...bridges.map(({ from, to, kind, crossings, gflop }): [string, number, number, number] => [
      `${from} → ${to}, ${known('bridge', kind)}`,
      crossings,
      crossings,
      gflop,
    ]),
  ];
  return (
    <table class="forwards">
      <caption>{t('plan.each')}</caption>
      <thead>
        <tr>
          <th scope="col">{t('plan.network')}</th>
          <th scope="col">{t('plan.calls')}</th>
          <th scope="col">{t('plan.rows')}</th>
          <th scope="col">GFLOP</th>
        </tr>
      </thead>
      <tbody>
        {rows.map(([name, calls, count, gflop]) => (
          <tr key={name}>
            <th scope="row">{name}</th>
            <td>{calls}</td>
            <td>{count}</td>
            <td>{gflop > 0 ? gflop.toFixed(1) : '–'}</td>
          </tr>
        ))}
      </tbody>
    </table>
  );
}
