// A picture's settings back into the form: of a PNG that this program or A1111's web UI wrote, read here, and of
// everything else that the server can read (JPEG, WebP, ComfyUI). What has no place in the form stays as an extra field.
import * as api from '../api/client';
import type { JobBody, Json, JsonObject, Picture } from '../api/types';
import { lorasOf, parsedInfotext } from '../lib/infotext';
import { kUsualRange } from '../lib/noise_axis';
import { pngTexts } from '../lib/png_text';
import { fromRecipe } from '../lib/weight_curve';
import { kShownFields } from '../lib/shown_fields';
import { parsedSize } from '../lib/sizes';
import {
  change,
  type ControlUse,
  type Draft,
  emptyDraft,
  kWholeControl,
  type LoraUse,
  type Member,
  newMember,
} from './draft';
import { capabilities, modelOf, models, networks } from './server';

export interface Restored {
  origin: string;
  lacking: string[]; // what could not be taken over
}

// Reads the file and fills the form. Throws the server's Problem if nobody can read it.
export async function restoreFile(file: Blob): Promise<Restored> {
  const texts = await pngTexts(new Uint8Array(await file.arrayBuffer()));
  const own = texts.get('pangu-draw');
  if (own) return { origin: 'PanGu-Draw', lacking: restoreOwn(JSON.parse(own) as JsonObject) };
  const parameters = texts.get('parameters');
  if (parameters) return { origin: 'A1111', lacking: restoreInfotext(parameters) };
  const { id } = await api.upload(file);
  const settings = await api.settingsOf(id);
  return {
    origin: settings.origin,
    lacking: [...restoreBody(settings), ...settings.unmatched, ...settings.warnings],
  };
}

// The JSON that this program keeps in a picture (docs/pictures.md).
function restoreOwn(json: JsonObject): string[] {
  if (json.recipe) return restoreBody({ recipe: json.recipe as JsonObject });
  const model = json.model as JsonObject | undefined;
  const load = json.load as JsonObject | undefined;
  return restoreBody({
    request: (json.request ?? {}) as JsonObject,
    model: String(model?.name ?? model?.path ?? ''),
    load: load ?? model,
  });
}

// A1111's names of settings, with the field that each becomes.
function restoreInfotext(text: string): string[] {
  const { prompt, negative, settings } = parsedInfotext(text);
  const tagged = lorasOf(prompt);
  const size = parsedSize(settings.get('Size') ?? '');
  const sampler = samplerOf(settings.get('Sampler') ?? '');
  const schedule = scheduleOf(settings.get('Schedule type') ?? '') ?? sampler.schedule;
  const number = (key: string) => (settings.has(key) ? Number(settings.get(key)) : null);
  const lacking = restoreBody({
    request: {
      prompt: tagged.prompt,
      negative,
      steps: number('Steps'),
      guidance: number('CFG scale'),
      seed: number('Seed'),
      clip_skip: number('Clip skip'),
      strength: null,
      width: size?.width ?? null,
      height: size?.height ?? null,
      sampler: sampler.name,
      schedule,
    },
    model: settings.get('Model') ?? '',
    load: { lora: tagged.loras.map(({ name, weight }) => `${name}:${weight}`) },
  });
  if (settings.has('Sampler') && !sampler.name) lacking.push(`Sampler: ${settings.get('Sampler')}`);
  const passes = ['Hires upscale', 'ControlNet 0', 'Refiner', 'Mask blur'].filter((key) => settings.has(key));
  return [...lacking, ...passes.map((key) => `${key}: ${settings.get(key)}`)];
}

const plainName = (name: string) => name.toLowerCase().replace(/[\s_-]/g, '');

// A sampler by our name or A1111's, whose end may be a schedule: "DPM++ 2M Karras".
function samplerOf(said: string): { name: string | null; schedule: string | null } {
  const samplers = capabilities.value?.samplers ?? [];
  const find = (name: string) =>
    samplers.find((one) =>
      [one.name, one.web_name ?? ''].some((known) => plainName(known) === plainName(name)),
    )?.name;
  const whole = find(said);
  if (whole) return { name: whole, schedule: null };
  const [, begin, end] = /^(.*)\s+(\w+)$/.exec(said) ?? [];
  const name = begin && find(begin);
  return name ? { name, schedule: scheduleOf(end!) } : { name: null, schedule: null };
}

function scheduleOf(said: string): string | null {
  const same = ({ name, web_name = '' }: { name: string; web_name?: string }) =>
    [name, web_name].some((known) => plainName(known) === plainName(said));
  return capabilities.value?.schedules.find(same)?.name ?? null;
}

// Values that say nothing, because they are what holds without them.
const kUsual: JsonObject = {
  clip_skip: 1,
  composite: true,
  guidance_rescale: 0,
  guidance_high: null,
  mask_blur: 4,
  s_noise: 1,
  resize_mode: 'crop',
  upscale: 1,
  hires_scale: 1,
  hires_strength: 0.7,
  bridge_every: 1,
  bridge_from: 0,
  bridge_to: 1,
  handoff: 'fresh',
  noise: 'philox',
};

// Fills the form from a job's body. Returns what could not be taken over.
export function restoreBody({ request, model = '', load = {}, recipe }: JobBody): string[] {
  const lacking: string[] = [];
  const fields = recipe ?? request ?? {};
  const named = recipe ? '' : knownModel(model, lacking);
  const usual = recipe ? {} : (modelOf(named)?.defaults ?? {});
  const draft: Draft = {
    ...emptyDraft,
    ...commonDraft(fields, usual, lacking),
    mode: recipe ? 'coop' : 'draw',
  };
  if (recipe) {
    draft.form = textOr(recipe.form, 'paper');
    draft.bridge = textOr(recipe.bridge, 'auto');
    draft.members = objects(recipe.member).map((member) => memberOf(member, lacking));
    if (objects(recipe.stage).length) draft.extra.stage = recipe.stage!;
    for (const key of ['init_image', 'mask_image', 'image_prompt']) {
      if (recipe[key]) lacking.push(`${key}: ${fileName(String(recipe[key]))}`);
    }
  } else {
    draft.model = named;
    draft.loras = lorasFrom(load.lora ?? load.loras, lacking);
    draft.controls = controlsFrom(fields, load, lacking);
    const start = pictureFrom(fields.init_image, lacking);
    if (start) {
      const strength = fields.strength;
      const mask = pictureFrom(fields.mask_image, lacking);
      draft.start = { picture: start, mask, strength: typeof strength === 'number' ? strength : null };
    }
    draft.imagePrompt = pictureFrom(fields.image_prompt, lacking);
  }
  change(draft);
  return lacking;
}

// Fields that the form has no place for, and that say something.
function unusual(fields: JsonObject, shown: Set<string>, usual: JsonObject): JsonObject {
  const says = ([key, value]: [string, Json]) =>
    !shown.has(key) && value !== null && value !== '' && value !== usual[key] && !isEmptyList(value);
  return Object.fromEntries(Object.entries(fields).filter(says));
}

const isEmptyList = (value: Json) => Array.isArray(value) && value.length === 0;

// `usual`: what holds with the model where nothing is said.
function commonDraft(fields: JsonObject, usual: JsonObject, lacking: string[]): Partial<Draft> {
  const size = parsedSize(textOr(fields.size, ''));
  const seed = numberOr(fields.seed);
  const extra = unusual(fields, kShownFields, { ...kUsual, ...usual });
  const known = new Set(capabilities.value?.fields.map((field) => field.key) ?? Object.keys(extra));
  for (const key of Object.keys(extra)) {
    if (known.has(key) || key.startsWith('bridge') || key === 'handoff') continue;
    lacking.push(`${key}: ${JSON.stringify(extra[key])}`);
    delete extra[key];
  }
  return {
    prompt: textOr(fields.prompt, ''),
    negative: textOr(fields.negative, ''),
    styles: texts(fields.styles).map(styleOf),
    width: numberOr(fields.width) ?? size?.width ?? null,
    height: numberOr(fields.height) ?? size?.height ?? null,
    steps: numberOr(fields.steps),
    guidance: numberOr(fields.guidance),
    sampler: textOr(fields.sampler, '') || null,
    schedule: textOr(fields.schedule, '') || null,
    seed: seed !== null && seed >= 0 ? seed : null,
    seedLocked: seed !== null && seed >= 0,
    count: numberOr(fields.count) ?? 1,
    extra,
  };
}

// What a member's card shows, and what holds without being said.
const kShownOfMember = new Set(
  'name model hub weight weight_curve prompt mask controls control_image image_prompt lora loras'.split(' '),
);
const kUsualOfMember: JsonObject = { ...kUsual, from: 0, to: 1, sigma_low: 0, sigma_high: null };

function memberOf(json: JsonObject, lacking: string[]): Member {
  const curve = Array.isArray(json.weight_curve) ? (json.weight_curve as [number, number][]) : [];
  const [control] = controlsFrom(json, {}, lacking);
  const model = knownModel(textOr(json.model, ''), lacking);
  return newMember(model, {
    hub: json.hub === true,
    weight: numberOr(json.weight) ?? 0.5,
    curve: curve.length ? fromRecipe(curve, kUsualRange) : null,
    prompt: typeof json.prompt === 'string' ? json.prompt : null,
    mask: pictureFrom(json.mask, lacking),
    control: control?.picture ?? pictureFrom(json.control_image, lacking),
    controlUse: control ? { weight: control.weight, from: control.from, to: control.to } : kWholeControl,
    imagePrompt: pictureFrom(json.image_prompt, lacking),
    loras: lorasFrom(json.lora, lacking),
    name: textOr(json.name, ''),
    extra: unusual(json, kShownOfMember, { ...kUsualOfMember, ...modelOf(model)?.defaults }),
  });
}

// "/somewhere/models/mini" and "v1-5.safetensors" are the models "mini" and "v1-5".
const fileName = (path: string) =>
  path
    .split(/[\\/]/)
    .at(-1)!
    .replace(/\.(safetensors|ckpt)$/, '');

function knownModel(said: string, lacking: string[]): string {
  if (!said) return '';
  const name = fileName(said);
  const found = models.value.find((model) => [said, name].includes(model.id) || model.title === name);
  if (!found) lacking.push(`model: ${said}`);
  return found?.id ?? '';
}

function lorasFrom(value: Json | undefined, lacking: string[]): LoraUse[] {
  return texts(value).flatMap((text) => {
    const [, file = text, weight = '1'] = /^(.*?)(?::(-?[\d.]+))?$/.exec(text) ?? [];
    const name = fileName(file);
    if (networks('lora').includes(name)) return [{ name, weight: Number(weight) }];
    lacking.push(`LoRA: ${name}`);
    return [];
  });
}

function controlsFrom(fields: JsonObject, load: JsonObject, lacking: string[]): ControlUse[] {
  const nets = texts(load.controlnet).map(fileName);
  return objects(fields.controls).map((use, i) => ({
    network: nets[i] ?? '',
    picture: pictureFrom(use.image, lacking),
    weight: numberOr(use.weight) ?? 1,
    from: numberOr(use.from) ?? 0,
    to: numberOr(use.to) ?? 1,
  }));
}

// Pictures of a request are ids on a server; a path of another machine says nothing here.
function pictureFrom(value: Json | undefined, lacking: string[]): Picture | null {
  if (typeof value !== 'string' || !value) return null;
  const [id] = /[0-9a-f]{64}/.exec(value) ?? [];
  if (id) return { id, url: api.pictureUrl(id), width: 0, height: 0 };
  lacking.push(value.split(/[\\/]/).at(-1)!);
  return null;
}

function styleOf(text: string) {
  const [, name, scale] = /^(.*):(-?[\d.]+)$/.exec(text) ?? [];
  return name ? { name, scale: Number(scale) } : { name: text, scale: null };
}

const numberOr = (value: Json | undefined) => (typeof value === 'number' ? value : null);
const textOr = (value: Json | undefined, otherwise: string) =>
  typeof value === 'string' ? value : otherwise;
const texts = (value: Json | undefined): string[] =>
  (Array.isArray(value) ? value : [value]).filter((one): one is string => typeof one === 'string');
const objects = (value: Json | undefined): JsonObject[] =>
  (Array.isArray(value) ? value : []).filter(
    (one): one is JsonObject => typeof one === 'object' && one !== null,
  );
