// The form: what to draw, and how. The button at its end sends it; Ctrl+Enter does so from anywhere in it.
import { useSignal } from '@preact/signals';
import type { Problem } from '../api/client';
import { problemFrom } from '../api/client';
import { t } from '../i18n';
import { bodyOf, change, draft, freshSeed } from '../state/draft';
import { cells, isGrid, kMostCells, submitGrid } from '../state/grid';
import { active, submit } from '../state/jobs';
import { capabilities, models, needsKey } from '../state/server';
import { announce, notify } from '../state/view';
import { AddOnSections } from './add_ons';
import { CoopPanel } from './coop_panel';
import { GridSection } from './grid_section';
import { IconButton, ProblemNote } from './controls';
import { PlanLine, PlanSection } from './plan_facts';
import { DetailSections, ExtraSection, ModelSection } from './form_details';
import { PromptFields } from './form_prompt';
import { StartSection } from './form_start';
import { restoreAndTell } from './drop_target';
import { imageTypes } from './picture_field';

export function Form() {
  const problem = useSignal<Problem | null>(null);
  const sending = useSignal(false);
  const coop = draft.value.mode === 'coop';

  const send = async () => {
    if (sending.value) return;
    sending.value = true;
    problem.value = null;
    const { seedLocked, seed } = draft.value;
    // The seed is said by the page, so that the form shows what was drawn.
    if (!seedLocked || seed === null) change({ seed: freshSeed() });
    try {
      if (isGrid.value) {
        await submitGrid();
      } else {
        const job = await submit(bodyOf(draft.value));
        for (const warning of job.warnings ?? []) notify(warning);
      }
      announce(t('announce.queued'));
      document.querySelector('.stage')?.scrollIntoView({ block: 'nearest' });
    } catch (error) {
      problem.value = problemFrom(error);
      if (problem.value.status === 401) needsKey.value = true;
    } finally {
      sending.value = false;
    }
  };

  return (
    <form
      class="form"
      aria-label={t('form')}
      onSubmit={(event) => {
        event.preventDefault();
        void send();
      }}
      onKeyDown={(event) => {
        if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) void send();
      }}
    >
      <div class="scroll">
        <PromptFields />
        {coop && <CoopPanel />}
        {!coop && <ModelSection />}
        <DetailSections />
        {!coop && <StartSection />}
        {!coop && <AddOnSections />}
        <ExtraSection />
        <GridSection />
        {!coop && <PlanSection />}
        <RestoreRow />
      </div>
      <div class="send">
        {problem.value ? (
          <ProblemNote
            message={problem.value.code === 'offline' ? t('status.offline') : problem.value.message}
            hint={problem.value.hint}
          />
        ) : (
          <PlanLine />
        )}
        <div class="row">
          {isGrid.value ? <GridCount /> : <CountStepper />}
          <button
            type="submit"
            class="button primary"
            disabled={sending.value || !models.value.length || cells.value.length > kMostCells}
          >
            {t(active.value.length ? 'send.more' : 'send.draw')}
            <kbd aria-hidden="true">Ctrl ↵</kbd>
          </button>
        </div>
      </div>
    </form>
  );
}

// A grid has a picture a cell.
function GridCount() {
  return <p class="grid-count">{t('grid.n', { n: cells.value.length })}</p>;
}

function CountStepper() {
  const { count } = draft.value;
  const most = capabilities.value?.limits.count ?? 100;
  const set = (n: number) => change({ count: Math.min(most, Math.max(1, Math.round(n) || 1)) });
  return (
    <div class="stepper" role="group" aria-label={t('count')}>
      <IconButton icon="minus" label={t('count.less')} onClick={() => set(count - 1)} disabled={count <= 1} />
      <input
        type="number"
        inputMode="numeric"
        min={1}
        max={most}
        value={count}
        aria-label={t('count')}
        onChange={(event) => set(event.currentTarget.valueAsNumber)}
      />
      <IconButton
        icon="plus"
        label={t('count.more')}
        onClick={() => set(count + 1)}
        disabled={count >= most}
      />
    </div>
  );
}

function RestoreRow() {
  return (
    <label class="restore">
      <input
        class="unseen"
        type="file"
        accept={imageTypes}
        onChange={(event) => {
          const file = event.currentTarget.files?.[0];
          event.currentTarget.value = '';
          if (file) void restoreAndTell(file);
        }}
      />
      <span>{t('restore')}</span>
      <small>{t('restore.hint')}</small>
    </label>
  );
}
