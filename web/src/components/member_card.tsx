// One member: its model, its weight over the noise levels, its region, and what it reads.
import { t } from '../i18n';
import { flatCurve } from '../lib/weight_curve';
import { defaultSize } from '../lib/sizes';
import { change, draft, type Member, memberName, readsText, shownModel } from '../state/draft';
import { sourceOf } from '../state/gallery';
import { masking, paintedMasks } from '../state/masking';
import { modelOf, models, networks } from '../state/server';
import { focus } from '../state/view';
import { entryOfId } from '../state/gallery';
import { ControlPicture, LoraList } from './add_ons';
import { IconButton, Select, Slider, Switch } from './controls';
import { ExtraFields } from './extra_fields';
import { CurveEditor } from './curve_editor';
import { PictureField, uploaded } from './picture_field';

export function MemberCard({ member, index }: { member: Member; index: number }) {
  const { members } = draft.value;
  const name = memberName(member);
  const set = (patch: Partial<Member>) => change({ members: members.with(index, { ...member, ...patch }) });
  const setModel = (id: string) =>
    set({ model: id, name: '', prompt: readsText(id) ? member.prompt : (member.prompt ?? '') });
  const makeHub = () => change({ members: members.map((one) => ({ ...one, hub: one.key === member.key })) });
  const remove = () => {
    const rest = members.toSpliced(index, 1);
    change({ members: member.hub ? rest.map((one, i) => ({ ...one, hub: i === 0 })) : rest });
  };
  const model = modelOf(member.model);
  return (
    <article class={`member member-${index % 4}`} aria-label={name}>
      <header>
        <i class="dot" aria-hidden="true" />
        <Select
          label={t('member.model', { n: index + 1 })}
          hideLabel
          value={member.model}
          options={models.value.map((one) => ({
            value: one.id,
            text: one.title || one.id,
            disabled: one.error !== null,
          }))}
          onChange={setModel}
        />
        <label class="hub" title={t('hub.hint')}>
          <input type="radio" name="hub" checked={member.hub} onChange={makeHub} />
          {t('hub')}
        </label>
        <IconButton
          icon="trash"
          label={t('remove.named', { name })}
          onClick={remove}
          disabled={members.length < 2}
        />
      </header>
      <Weight member={member} name={name} set={set} index={index} />
      {model?.controls && (
        <>
          <ControlPicture value={member.control} onChange={(control) => set({ control })} />
          {member.control && (
            <Slider
              label={t('control.weight')}
              value={member.controlUse.weight}
              min={0}
              max={2}
              step={0.05}
              onInput={(weight) => set({ controlUse: { ...member.controlUse, weight } })}
            />
          )}
        </>
      )}
      {model?.image_prompt && (
        <PictureField
          label={t('image_prompt')}
          value={member.imagePrompt}
          onChange={(imagePrompt) => set({ imagePrompt })}
        />
      )}
      <OwnPrompt member={member} name={name} set={set} />
      {(networks('lora').length > 0 || member.loras.length > 0) && (
        <LoraList loras={member.loras} onChange={(loras) => set({ loras })} />
      )}
      <ExtraFields ofMember extra={member.extra} onChange={(extra) => set({ extra })} />
      <Region member={member} name={name} set={set} index={index} />
    </article>
  );
}

interface PartProps {
  member: Member;
  name: string;
  set(patch: Partial<Member>): void;
}

function Weight({ member, name, set, index }: PartProps & { index: number }) {
  const { curve, weight } = member;
  if (!curve) {
    return (
      <div class="weight">
        <Slider
          label={t('weight')}
          value={weight}
          min={0}
          max={1}
          step={0.05}
          onInput={(value) => set({ weight: Math.max(0, value) })}
        />
        <IconButton
          icon="curve"
          text
          label={t('curve.draw')}
          onClick={() => set({ curve: flatCurve(Math.min(1, weight)) })}
        />
      </div>
    );
  }
  return (
    <div class="weight">
      <CurveEditor
        label={t('curve.of', { name })}
        points={curve}
        index={index}
        onChange={(points) => set({ curve: points })}
      />
      <button type="button" class="link" onClick={() => set({ curve: null })}>
        {t('curve.flat')}
      </button>
    </div>
  );
}

function OwnPrompt({ member, name, set }: PartProps) {
  if (!readsText(member.model) && !modelOf(member.model)?.controls) return null;
  return (
    <div class="own-prompt">
      <Switch
        label={t('member.own')}
        on={member.prompt !== null}
        onChange={(on) => set({ prompt: on ? '' : null })}
      />
      {member.prompt !== null && (
        <input
          type="text"
          value={member.prompt}
          aria-label={t('member.prompt', { name })}
          placeholder={t('member.prompt.empty')}
          onInput={(event) => set({ prompt: event.currentTarget.value })}
        />
      )}
    </div>
  );
}

// The region in which the member has weight, painted over the picture on the stage or over an empty one.
function Region({ member, name, set, index }: PartProps & { index: number }) {
  const paint = async () => {
    const usual = defaultSize(shownModel.value);
    const { width, height } = draft.value;
    const shown = focus.value.kind === 'picture' ? entryOfId(focus.value.id) : undefined;
    masking.value = {
      title: t('region.of', { name }),
      hint: t('region.hint'),
      background: shown ? await sourceOf(shown.picture).catch(() => null) : null,
      width: width ?? usual.width,
      height: height ?? usual.height,
      colour: kColours[index % kColours.length]!,
      strokes: member.mask ? (paintedMasks.get(member.mask.id) ?? []) : [],
      async done(blob, strokes) {
        const mask = blob && (await uploaded(blob));
        if (mask) paintedMasks.set(mask.id, strokes);
        if (!mask && blob) return;
        const { members } = draft.value;
        change({ members: members.map((one) => (one.key === member.key ? { ...one, mask } : one)) });
      },
    };
  };
  return (
    <div class="row region">
      {member.mask && <img src={member.mask.url} alt={t('region.of', { name })} />}
      <IconButton
        icon="brush"
        text
        label={t(member.mask ? 'region.change' : 'region.paint')}
        onClick={paint}
      />
      {member.mask && (
        <IconButton icon="trash" label={t('region.remove')} onClick={() => set({ mask: null })} />
      )}
    </div>
  );
}

// The colours of members in masks; the stylesheet's --member-0 to --member-3 on a light ground.
const kColours = ['#2f6fb0', '#c26a12', '#2c8a5b', '#8b4fb5'];
