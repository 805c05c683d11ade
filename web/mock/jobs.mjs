// The mock server's queue: one job at a time is "drawn", step by step, and everything that happens is an event.
import { createHash } from 'node:crypto';
import { capabilities, models } from './catalogue.mjs';
import { pngOf, testEdges, testPicture } from './png.mjs';

const kHigh = 14.6146;
const kLow = 0.0292;
const now = () => new Date().toISOString();
const isFinal = ({ state }) => ['done', 'failed', 'cancelled'].includes(state);

export class Mistake extends Error {
  constructor(status, code, message, hint = '') {
    super(message);
    Object.assign(this, { status, code, hint });
  }
}

export class Jobs {
  constructor({ stepMs = 40, owner = 'local' } = {}) {
    this.stepMs = stepMs;
    this.owner = owner;
    this.list = [];
    this.pictures = new Map(); // id -> {bytes, type, width, height}
    this.events = new Map(); // id of a job -> [{id, event, data}]
    this.listeners = new Map();
    this.keys = new Map(); // Idempotency-Key -> {body, job}
    this.working = false;
    this.stopped = false;
  }

  addPicture(bytes, type, { width, height }) {
    const id = createHash('sha256').update(bytes).digest('hex');
    const fresh = !this.pictures.has(id);
    this.pictures.set(id, { bytes, type, width, height });
    return {
      fresh,
      picture: { id, url: `/v1/pictures/${id}`, width, height, content_type: type, bytes: bytes.length },
    };
  }

  find(id) {
    const job = this.list.find((one) => one.id === id);
    if (!job) throw new Mistake(404, 'not_found', `no job '${id}'`);
    return job;
  }

  submit(body, key) {
    const known = key && this.keys.get(key);
    if (known) {
      if (known.body === JSON.stringify(body)) return known.job;
      throw new Mistake(409, 'conflict', 'the Idempotency-Key was used with another body');
    }
    check(body, this.pictures);
    const job = this.add({ kind: body.recipe ? 'coop' : 'draw', ...body });
    if (key) this.keys.set(key, { body: JSON.stringify(body), job });
    return job;
  }

  add(fields) {
    const job = {
      id: `j${createHash('sha256').update(`${Math.random()}`).digest('hex').slice(0, 16)}`,
      state: 'queued',
      owner: this.owner,
      model: '',
      priority: 0,
      attempts: 0,
      created_at: now(),
      started_at: null,
      finished_at: null,
      expires_at: null,
      position: null,
      progress: null,
      pictures: [],
      resolved: null,
      warnings: [],
      seconds: {},
      error: null,
      ...fields,
    };
    this.list.unshift(job);
    this.events.set(job.id, []);
    this.listeners.set(job.id, new Set());
    this.positions();
    void this.work();
    return job;
  }

  waiting() {
    return this.list.filter((job) => job.state === 'queued').toReversed();
  }

  positions() {
    const waiting = this.waiting();
    waiting.forEach((job, i) => {
      if (job.position === i + 1) return;
      job.position = i + 1;
      this.tell(job, 'queued', { position: i + 1, waiting: waiting.length });
    });
  }

  tell(job, event, data) {
    const events = this.events.get(job.id);
    events.push({ id: events.length + 1, event, data: structuredClone(data) });
    for (const listener of this.listeners.get(job.id)) listener(events.at(-1));
  }

  cancel(id) {
    const job = this.find(id);
    if (isFinal(job)) return { status: 200, job };
    if (job.state === 'queued') this.end(job, 'cancelled');
    else job.cancelling = true;
    return { status: 202, job };
  }

  end(job, state, error = null) {
    Object.assign(job, { state, error, position: null, progress: null, finished_at: now() });
    this.positions();
    this.tell(job, state, job);
  }

  async work() {
    if (this.working) return;
    this.working = true;
    for (let job; (job = this.waiting()[0]) && !this.stopped;) await this.draw(job);
    this.working = false;
  }

  async pause(ms = this.stepMs) {
    await new Promise((resume) => setTimeout(resume, ms));
  }

  async draw(job) {
    Object.assign(job, { state: 'running', position: null, attempts: job.attempts + 1, started_at: now() });
    job.progress = { stage: 'load', step: 0, steps: 0, sigma: null, expert: null, seconds_left: null };
    this.positions();
    this.tell(job, 'started', { attempt: job.attempts });
    this.tell(job, 'stage', { stage: 'load' });
    await this.pause();
    if (job.kind === 'control') return this.drawControl(job);
    const asked = job.recipe ?? job.request;
    const resolved = resolvedOf(job, asked);
    const problem = problemOf(resolved);
    if (problem) return this.end(job, 'failed', problem);
    job.resolved = resolved;
    if (resolved.guidance === 1 && resolved.negative) {
      job.warnings.push('negative: has no effect without guidance');
      this.tell(job, 'warning', { message: job.warnings[0] });
    }
    job.progress.stage = 'draw';
    this.tell(job, 'stage', { stage: 'draw' });
    const begun = Date.now();
    for (let index = 0; index < resolved.count; index++) {
      for (let step = 0; step < resolved.steps; step++) {
        if (job.cancelling) return this.end(job, 'cancelled');
        await this.pause();
        this.step(job, resolved, index, step);
      }
      this.finishPicture(job, resolved, index);
    }
    job.seconds = { 'read model': 0.02, draw: (Date.now() - begun) / 1000 };
    this.end(job, 'done');
  }

  step(job, resolved, index, step) {
    const { steps, count, width, height } = resolved;
    const sigma = kHigh * (kLow / kHigh) ** (step / Math.max(1, steps - 1));
    const model = models.find(({ id }) => id === hubOf(job)) ?? models[0];
    const expert = model.experts[model.boundaries.filter((boundary) => sigma < boundary).length];
    const all = steps * count;
    const done = index * steps + step + 1;
    const progress = {
      step: done,
      steps: all,
      sigma,
      expert,
      seconds_left: ((all - done) * this.stepMs) / 1000,
    };
    Object.assign(job.progress, progress);
    this.tell(job, 'step', progress);
    const every = job.preview_every ?? 1;
    if (!every || done % every) return;
    const small = { width: Math.max(8, Math.round(width / 4)), height: Math.max(8, Math.round(height / 4)) };
    const guesses = [
      null,
      ...(job.member_previews ? (job.recipe?.member ?? []).map((member) => member.name) : []),
    ];
    guesses.forEach((member, i) => {
      const noise = Math.max(0, 1 - (step + 1) / steps) ** 0.7;
      const rgb = testPicture(small.width, small.height, resolved.seed + index + 31 * i, noise);
      const image = pngOf(small.width, small.height, rgb).toString('base64');
      this.tell(job, 'preview', {
        step: done,
        steps: all,
        ...small,
        content_type: 'image/png',
        image,
        member,
      });
    });
  }

  finishPicture(job, resolved, index) {
    const [width, height] = [resolved.width, resolved.height].map((side) =>
      Math.round(side * (resolved.upscale ?? 1)),
    );
    const seed = resolved.seed + index;
    const texts = job.recipe
      ? { 'pangu-draw': JSON.stringify({ recipe: { ...job.recipe, width, height, seed, count: 1 } }) }
      : {
          'pangu-draw': JSON.stringify({
            model: { fingerprint: '0', name: job.model || 'mini', ...job.load },
            request: { ...resolved, seed, count: 1 },
          }),
        };
    const bytes = pngOf(width, height, testPicture(width, height, seed), texts);
    const { picture } = this.addPicture(bytes, 'image/png', { width, height });
    const shown = { index, id: picture.id, url: picture.url, seed, width, height };
    job.pictures.push(shown);
    this.tell(job, 'picture', shown);
  }

  drawControl(job) {
    const { width, height } = this.pictures.get(job.source);
    const bytes = pngOf(width, height, testEdges(width, height, 5));
    const { picture } = this.addPicture(bytes, 'image/png', { width, height });
    job.pictures.push({ index: 0, id: picture.id, url: picture.url, seed: 0, width, height });
    this.end(job, 'done');
  }
}

const hubOf = (job) => (job.recipe?.member ?? []).find(({ hub }) => hub)?.model || job.model || 'mini';

function resolvedOf(job, asked) {
  const model = models.find(({ id }) => id === hubOf(job)) ?? models[0];
  const { member, form, bridge, ...fields } = asked;
  const [, width, height] = /^(\d+)x(\d+)$/.exec(fields.size ?? '') ?? [];
  return {
    negative: '',
    styles: [],
    clip_skip: 1,
    count: 1,
    seed: Math.floor(Math.random() * 2 ** 31),
    ...model.defaults,
    ...(width && { width: Number(width), height: Number(height) }),
    ...fields,
  };
}

// What a job would do, in the shape of POST /v1/plan.
export function planOf(body, pictures) {
  check(body, pictures);
  const resolved = resolvedOf(body, body.recipe ?? body.request);
  const problem = problemOf(resolved);
  if (problem) throw new Mistake(400, problem.code, problem.message, problem.hint);
  const { width, height, steps, count, guidance } = resolved;
  const named = body.recipe?.member ?? [
    { name: body.model || 'mini', model: body.model || 'mini', hub: true },
  ];
  const members = named.map(({ name, model, hub }) => ({
    ...models.find(({ id }) => id === model),
    name,
    hub,
  }));
  const rows = guidance === 1 ? 1 : 2;
  const others = members.filter(({ hub }) => !hub);
  const hub = members.find((member) => member.hub);
  const pairs = bridgesOf(body.recipe?.form, hub, others);
  const kind = body.recipe?.bridge === 'exact' ? 'exact' : 'learned';
  const networks = members.flatMap(({ name, experts }) =>
    experts.map((network) => ({
      member: name,
      network,
      part: 'denoiser',
      calls: steps / experts.length,
      rows: (rows * steps) / experts.length,
      gflop: (1.7 * rows * steps) / experts.length,
    })),
  );
  const evaluations = count * networks.reduce((sum, { rows }) => sum + rows, 0);
  return {
    kind: body.recipe ? 'coop' : 'draw',
    resolved: { ...resolved, seed: null },
    seconds: 0.05 * evaluations,
    warnings: [],
    plan: {
      stages: [
        {
          members: members.map(({ name, hub, experts }) => ({
            name,
            hub: Boolean(hub),
            width,
            height,
            latent_channels: 4,
            downscale: 8,
            experts: experts.map((expert) => ({ name: expert, steps: steps / experts.length })),
          })),
          bridges: pairs.map(([from, to]) => ({ from, to, kind, by: `${from}-to-${to}` })),
          carries: [],
        },
      ],
      cost: {
        pictures: count,
        evaluations,
        gflop: 1.7 * evaluations,
        weight_bytes: members.reduce((sum, { weight_bytes }) => sum + weight_bytes, 0),
        networks,
        bridges: pairs.map(([from, to]) => ({ from, to, kind, crossings: steps, gflop: 0 })),
      },
    },
  };
}

function bridgesOf(form, hub, others) {
  const into = others.map(({ name }) => [name, hub.name]);
  if (form === 'one_way') return into;
  const back = others.map(({ name }) => [hub.name, name]);
  if (form !== 'symmetric') return [...into, ...back];
  const between = others.flatMap((a) => others.filter((b) => b !== a).map((b) => [a.name, b.name]));
  return [...into, ...back, ...between];
}

// What only the model can tell, as the program says it.
function problemOf({ width, height, prompt, steps }) {
  if (width % 16 || height % 16) {
    const near = `${Math.round(width / 16) * 16}x${Math.round(height / 16) * 16}`;
    const message = `size: expected multiples of 16, found ${width}x${height}`;
    return { code: 'bad_input', message, hint: `the nearest is ${near}` };
  }
  if (steps > 1000)
    return { code: 'bad_input', message: `steps: expected 1 to 1000, found ${steps}`, hint: '' };
  if (/\bcrash\b/.test(prompt)) {
    return {
      code: 'worker_died',
      message: 'the worker ended twice while it drew this job',
      hint: 'is there memory enough?',
    };
  }
  return null;
}

const kBodyFields = ['request', 'model', 'load', 'recipe', 'preview_every', 'member_previews', 'priority'];
const kRecipeFields = [
  'member',
  'stage',
  'form',
  'bridge',
  'bridges',
  'bridge_every',
  'bridge_from',
  'bridge_to',
  'handoff',
];

// The form of a body, as the server checks it at once.
function check(body, pictures) {
  if (typeof body !== 'object' || body === null) throw bad('the body', 'an object', JSON.stringify(body));
  for (const key of Object.keys(body))
    if (!kBodyFields.includes(key)) throw bad(`key '${key}'`, 'a known key', 'it');
  const fields = body.recipe ?? body.request;
  if (!fields) throw bad("key 'request'", 'a request or a recipe', 'neither');
  const known = new Set(capabilities.fields.map(({ key }) => key));
  if (body.recipe) kRecipeFields.forEach((key) => known.add(key));
  for (const [key, value] of Object.entries(fields)) {
    if (!known.has(key)) throw bad(`request, key '${key}'`, 'a known key', 'it');
    const { type, picture } = capabilities.fields.find((field) => field.key === key) ?? {};
    if ((type === 'integer' || type === 'number') && value !== null && typeof value !== 'number') {
      throw bad(
        `request, key '${key}'`,
        type === 'integer' ? 'a whole number' : 'a number',
        JSON.stringify(value),
      );
    }
    if (picture && type === 'text' && value && !pictures.has(value)) {
      throw bad(`request, key '${key}'`, 'the id of a picture', `'${value}'`);
    }
  }
  const named = [body.model, ...(body.recipe?.member ?? []).map(({ model }) => model)].filter(Boolean);
  for (const name of named) {
    if (!models.some(({ id, error }) => id === name && !error)) {
      throw bad('model', models.map(({ id }) => id).join(', '), `'${name}'`);
    }
  }
  if (body.recipe && (body.recipe.member ?? []).filter(({ hub }) => hub).length !== 1) {
    throw bad('recipe', 'exactly one member with hub = true', 'another number');
  }
}

const bad = (what, expected, found, hint = '') =>
  new Mistake(400, 'bad_input', `${what}: expected ${expected}, found ${found}`, hint);
