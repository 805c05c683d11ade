// Asks for the server's key. It goes to the server once, which answers with a cookie; the page does not keep it.
import { useSignal } from '@preact/signals';
import * as api from '../api/client';
import type { Problem } from '../api/client';
import { t } from '../i18n';
import { startPage } from '../state/start';
import { ProblemNote } from './controls';
import { Dialog } from './dialog';

export function KeyDialog() {
  const key = useSignal('');
  const problem = useSignal<Problem | null>(null);
  const send = async () => {
    try {
      await api.logIn(key.value);
      await startPage();
    } catch (error) {
      problem.value = api.problemFrom(error);
    }
  };
  return (
    <Dialog title={t('key.title')} locked onClose={() => {}}>
      <form
        class="stack"
        onSubmit={(event) => {
          event.preventDefault();
          void send();
        }}
      >
        <label class="field">
          {t('key')}
          <input
            type="password"
            autocomplete="current-password"
            value={key.value}
            onInput={(event) => (key.value = event.currentTarget.value)}
          />
        </label>
        {problem.value && <ProblemNote message={problem.value.message} hint={problem.value.hint} />}
        <button type="submit" class="button primary">
          {t('key.enter')}
        </button>
      </form>
    </Dialog>
  );
}
