// Two pictures in one frame, a line between them that is moved by hand, by touch or by the arrow keys.
import { useSignal } from '@preact/signals';
import { t } from '../i18n';
import { entryOfId, type Entry } from '../state/gallery';
import { defaultModel } from '../state/server';
import { compared } from '../state/view';
import { IconButton } from './controls';
import { Dialog } from './dialog';
import { KeptImage } from './kept_image';

export function CompareDialog({ pair }: { pair: [string, string] }) {
  const at = useSignal(50);
  const [left, right] = pair.map(entryOfId);
  const close = () => (compared.value = null);
  if (!left || !right) return null;
  const move = (event: PointerEvent) => {
    if (event.type === 'pointermove' && !event.buttons) return;
    const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
    at.value = Math.min(100, Math.max(0, (100 * (event.clientX - box.left)) / box.width));
  };
  return (
    <Dialog title={t('compare')} wide onClose={close}>
      <div
        class="compare"
        style={{ '--ratio': left.width / left.height, '--at': `${at.value}%` }}
        onPointerDown={(event) => {
          event.currentTarget.setPointerCapture(event.pointerId);
          move(event);
        }}
        onPointerMove={move}
      >
        <KeptImage picture={right.picture} alt={altOf(right)} />
        <div class="over">
          <KeptImage picture={left.picture} alt={altOf(left)} />
        </div>
        <i aria-hidden="true" />
      </div>
      <input
        class="compare-range"
        type="range"
        min={0}
        max={100}
        aria-label={t('compare.slider')}
        value={at.value}
        onInput={(event) => (at.value = event.currentTarget.valueAsNumber)}
      />
      <div class="compare-words">
        <Words entry={left} other={right} />
        <IconButton
          icon="swap"
          label={t('compare.swap')}
          onClick={() => (compared.value = [pair[1], pair[0]])}
        />
        <Words entry={right} other={left} />
      </div>
    </Dialog>
  );
}

const altOf = (entry: Entry) => `${entry.prompt} (${entry.seed})`;

// What differs between the two is emphasised; the rest is said once and quietly.
function Words({ entry, other }: { entry: Entry; other: Entry }) {
  const facts = factsOf(entry);
  const others = factsOf(other);
  const differing = Object.keys(facts).filter((key) => facts[key] !== others[key]);
  return (
    <p>
      {entry.prompt || t('no.prompt')}
      <br />
      <strong>{differing.map((key) => `${key} ${facts[key]}`).join(' · ')}</strong>
    </p>
  );
}

function factsOf({ seed, width, height, resolved, body }: Entry): Record<string, string> {
  const facts: Record<string, string> = { [t('seed')]: String(seed), [t('size')]: `${width} × ${height}` };
  for (const key of ['steps', 'guidance', 'sampler', 'schedule'] as const) {
    facts[t(key)] = String(resolved?.[key] ?? '');
  }
  facts[t('model')] = body.model || (defaultModel.value?.title ?? '');
  return facts;
}
