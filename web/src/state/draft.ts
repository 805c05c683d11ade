// What the user is about to ask for: the fields of the form, kept over a reload, and the body of the job that they make.
import { computed } from '@preact/signals';
import type { Job, JobBody, Json, JsonObject, Picture } from '../api/types';
import { kUsualRange } from '../lib/noise_axis';
import { type CurvePoint, toRecipe } from '../lib/weight_curve';
import { modelOf, models, offers } from './server';
import { stored } from './stored';

export interface StyleUse {
  name: string;
  scale: number | null; // null: the model's
}

export interface LoraUse {
  name: string;
  weight: number;
}

export interface ControlUse {
  network: string; // "" where the model reads controls by itself
  picture: Picture | null;
  weight: number;
  from: number;
  to: number;
}

export interface StartPicture {
  picture: Picture;
  strength: number | null; // null: the program's
  mask: Picture | null;
}

export interface Member {
  key: number; // tells cards apart; no part of the recipe
  name: string; // in the recipe; "": that of the model
  model: string;
  hub: boolean;
  weight: number;
  curve: CurvePoint[] | null; // null: `weight` everywhere
  prompt: string | null; // null: the common one
  mask: Picture | null;
  control: Picture | null;
  controlUse: Pick<ControlUse, 'weight' | 'from' | 'to'>;
  imagePrompt: Picture | null;
  loras: LoraUse[];
  extra: JsonObject; // keys of a restored member that its card does not show
}

export interface Draft {
  mode: 'draw' | 'coop';
  prompt: string;
  negative: string;
  styles: StyleUse[];
  model: string; // "": the server's default
  width: number | null; // null: the model's
  height: number | null;
  steps: number | null;
  guidance: number | null;
  sampler: string | null;
  schedule: string | null;
  seed: number | null;
  seedLocked: boolean;
  count: number;
  loras: LoraUse[];
  controls: ControlUse[];
  start: StartPicture | null;
  imagePrompt: Picture | null;
  members: Member[];
  form: string;
  bridge: string;
  memberPreviews: boolean;
  extra: JsonObject; // fields of a restored picture that the form does not show
}

export const emptyDraft: Draft = {
  mode: 'draw',
  prompt: '',
  negative: '',
  styles: [],
  model: '',
  width: null,
  height: null,
  steps: null,
  guidance: null,
  sampler: null,
  schedule: null,
  seed: null,
  seedLocked: false,
  count: 1,
  loras: [],
  controls: [],
  start: null,
  imagePrompt: null,
  members: [],
  form: 'paper',
  bridge: 'auto',
  memberPreviews: true,
  extra: {},
};

export const kWholeControl = { weight: 1, from: 0, to: 1 };

let lastKey = Date.now();
export function newMember(model: string, patch: Partial<Member> = {}): Member {
  return {
    key: ++lastKey,
    name: '',
    model,
    hub: false,
    weight: 0.5,
    curve: null,
    prompt: null,
    mask: null,
    control: null,
    controlUse: kWholeControl,
    imagePrompt: null,
    loras: [],
    extra: {},
    ...patch,
  };
}

// A draft that an older page kept may lack what this one reads; it is then begun anew.
function isLike(value: unknown, template: Json): boolean {
  if (template === null) return value !== undefined;
  if (typeof template !== 'object') return typeof value === typeof template;
  if (typeof value !== 'object' || value === null) return false;
  if (Array.isArray(template))
    return Array.isArray(value) && value.every((one) => isLike(one, template[0] ?? one));
  return Object.entries(template).every(([key, one]) => isLike((value as JsonObject)[key], one));
}

const isDraft = (value: unknown): value is Draft =>
  isLike(value, {
    ...(emptyDraft as unknown as JsonObject),
    members: [newMember('') as unknown as JsonObject],
    loras: [{ name: '', weight: 1 }],
    controls: [{ network: '', picture: null, weight: 1, from: 0, to: 1 }],
    styles: [{ name: '', scale: null }],
  });

export const draft = stored<Draft>('draft', emptyDraft, isDraft);
export const change = (patch: Partial<Draft>) => (draft.value = { ...draft.value, ...patch });

const hubOf = (members: Member[]) => members.find((member) => member.hub) ?? members[0];
// The model whose sizes, styles and defaults the form shows.
export const shownModel = computed(() => {
  const { mode, model, members } = draft.value;
  return modelOf(mode === 'coop' ? (hubOf(members)?.model ?? model) : model);
});

// The first members of a new recipe: the default model and one other.
export function beginCoop(): void {
  if (draft.value.members.length || !models.value.length) return;
  const able = models.value.filter((model) => !model.error);
  const hub = able.find((model) => model.default) ?? able[0];
  const other = able.find((model) => model !== hub) ?? hub;
  if (!hub || !other) return;
  change({
    members: [
      newMember(hub.id, { hub: true }),
      newMember(other.id, { prompt: readsText(other.id) ? null : '' }),
    ],
  });
}

// Whether a member of this model is led by the prompt, rather than by a picture of lines or a picture to vary.
export const readsText = (model: string) => !modelOf(model)?.image_prompt && !modelOf(model)?.controls;

const kMostSeed = 2 ** 31;
export const freshSeed = () => Math.floor(Math.random() * kMostSeed);

const loraWords = (loras: LoraUse[]) => loras.map(({ name, weight }) => `${name}:${weight}`);

// An added setting whose text is still empty says nothing.
const saidOf = (extra: JsonObject): JsonObject =>
  Object.fromEntries(Object.entries(extra).filter(([, value]) => value !== ''));

// Fields that both kinds of job share; what is not said is left to the model.
function commonFields(d: Draft): JsonObject {
  const said: [string, Json | null][] = [
    ['negative', d.negative.trim() || null],
    [
      'styles',
      d.styles.length
        ? d.styles.map(({ name, scale }) => (scale === null ? name : `${name}:${scale}`))
        : null,
    ],
    ['width', d.width],
    ['height', d.height],
    ['steps', d.steps],
    ['guidance', d.guidance],
    ['sampler', d.sampler],
    ['schedule', d.schedule],
    ['seed', d.seed],
    ['count', d.count > 1 ? d.count : null],
  ];
  return {
    ...saidOf(d.extra),
    prompt: d.prompt.trim(),
    ...Object.fromEntries(said.filter(([, value]) => value !== null)),
  };
}

function drawBody(d: Draft): JobBody {
  const request = commonFields(d);
  if (d.start) {
    request.init_image = d.start.picture.id;
    if (d.start.mask) request.mask_image = d.start.mask.id;
    if (d.start.strength !== null) request.strength = d.start.strength;
  }
  if (d.imagePrompt) request.image_prompt = d.imagePrompt.id;
  const controls = d.controls.filter((control) => control.picture);
  if (controls.length) {
    request.controls = controls.map(({ picture, weight, from, to }) => ({
      image: picture!.id,
      weight,
      from,
      to,
    }));
  }
  const load: JsonObject = {};
  if (d.loras.length) load.lora = loraWords(d.loras);
  const networks = controls.map((control) => control.network).filter(Boolean);
  if (networks.length) load.controlnet = networks;
  return {
    request,
    ...(d.model && { model: d.model }),
    ...(Object.keys(load).length && { load }),
  };
}

function memberJson(member: Member): JsonObject {
  const model = modelOf(member.model);
  const json: JsonObject = {
    ...saidOf(member.extra),
    name: memberName(member),
    model: member.model,
    hub: member.hub,
  };
  if (member.curve) json.weight_curve = toRecipe(member.curve, kUsualRange);
  else json.weight = member.weight;
  if (member.prompt !== null) json.prompt = member.prompt;
  if (member.mask) json.mask = member.mask.id;
  if (member.control) json.controls = [{ image: member.control.id, ...member.controlUse }];
  if (member.imagePrompt) json.image_prompt = member.imagePrompt.id;
  if (member.loras.length) json.lora = loraWords(member.loras);
  // A hub whose guidance ends at a noise level by default holds its own only if it is guided to the end (coop.md).
  if (member.hub && Number(model?.defaults?.guidance_low) > 0) json.guidance_low ??= 0;
  return json;
}

// Members of the same model are told apart by a number.
export function memberName(member: Member): string {
  if (member.name) return member.name;
  const same = draft.value.members.filter((one) => one.model === member.model);
  const name = member.model || 'model';
  return same.length > 1 ? `${name} ${same.indexOf(member) + 1}` : name;
}

function coopBody(d: Draft): JobBody {
  const recipe = commonFields(d);
  recipe.form = d.form;
  recipe.bridge = d.bridge;
  recipe.member = d.members.map(memberJson);
  return { recipe, ...(d.memberPreviews && offers('member_previews') && { member_previews: true }) };
}

export const bodyOf = (d: Draft): JobBody => (d.mode === 'coop' ? coopBody(d) : drawBody(d));

export const promptOf = (body: Pick<Job, 'request' | 'recipe'>) =>
  String(body.request?.prompt ?? body.recipe?.prompt ?? '');
