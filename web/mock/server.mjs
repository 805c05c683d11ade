// A server that speaks the page's part of docs/api.md and draws test pictures: for the page's tests and development.
// It keeps everything in memory and trusts everyone.
import { createServer } from 'node:http';
import { capabilities, models } from './catalogue.mjs';
import { Jobs, Mistake, planOf } from './jobs.mjs';
import { sizeOfPng } from './png.mjs';

const kMostBody = 32 << 20;

// `page`: the text of the page; `key`: the key that it wants, if any; `stepMs`: how long a step takes.
export async function startMock({ page, key = null, stepMs = 40, port = 0 }) {
  const jobs = new Jobs({ stepMs, owner: key ? 'ann' : 'local' });
  const requests = []; // what was asked, for tests: {method, path, body}
  const server = createServer((request, response) => {
    answer({ request, response, jobs, page, key, requests }).catch((error) => {
      const { status = 500, code = 'internal', message, hint = '' } = error;
      if (!response.headersSent) send(response, status, { error: { code, message, hint } });
      else response.destroy();
    });
  });
  await new Promise((ready) => server.listen(port, '127.0.0.1', ready));
  return {
    url: `http://127.0.0.1:${server.address().port}/`,
    jobs,
    requests,
    cut: () => server.closeAllConnections(), // as when a network fails
    async stop() {
      jobs.stopped = true;
      server.closeAllConnections();
      await new Promise((ended) => server.close(ended));
    },
  };
}

function send(response, status, body, headers = {}) {
  const text = body === undefined ? '' : JSON.stringify(body);
  response.writeHead(status, { 'Content-Type': 'application/json', 'Cache-Control': 'no-store', ...headers });
  response.end(text);
}

async function bodyOf(request) {
  const parts = [];
  let size = 0;
  for await (const part of request) {
    size += part.length;
    if (size > kMostBody) throw new Mistake(413, 'too_large', 'the body is too large');
    parts.push(part);
  }
  return Buffer.concat(parts);
}

async function jsonOf(request) {
  if (!/^application\/json/.test(request.headers['content-type'] ?? '')) {
    throw new Mistake(415, 'unsupported_media_type', 'the body must be application/json');
  }
  try {
    return JSON.parse((await bodyOf(request)).toString());
  } catch {
    throw new Mistake(400, 'bad_input', 'the body: expected JSON, found something else');
  }
}

async function answer(context) {
  const { request, response, page, key, requests } = context;
  const url = new URL(request.url, 'http://mock');
  requests.push({ method: request.method, path: url.pathname + url.search });
  if (url.pathname === '/') {
    response.writeHead(200, {
      'Content-Type': 'text/html; charset=utf-8',
      'Content-Security-Policy':
        "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src 'self' blob: data:; connect-src 'self'; base-uri 'none'; form-action 'none'",
    });
    return response.end(typeof page === 'function' ? await page() : page);
  }
  const open = url.pathname === '/v1/session' || url.pathname === '/healthz';
  if (key && !open && !hasKey(request, key)) throw new Mistake(401, 'unauthorized', 'a key is wanted');
  for (const [method, pattern, handle] of kRoutes) {
    const found = pattern.exec(url.pathname);
    if (found && method === request.method) return handle({ ...context, url }, ...found.slice(1));
  }
  throw new Mistake(404, 'not_found', `no route ${request.method} ${url.pathname}`);
}

const hasKey = (request, key) => (request.headers.cookie ?? '').includes(`pangu_session=${key}`);

const kRoutes = [
  ['GET', /^\/healthz$/, ({ response }) => send(response, 200, { status: 'ok' })],
  ['GET', /^\/v1\/session$/, showSession],
  ['POST', /^\/v1\/session$/, logIn],
  ['GET', /^\/v1\/models$/, ({ response }) => send(response, 200, { object: 'list', data: models })],
  ['GET', /^\/v1\/capabilities$/, ({ response }) => send(response, 200, capabilities)],
  ['GET', /^\/v1\/jobs$/, listJobs],
  ['POST', /^\/v1\/jobs$/, postJob],
  ['POST', /^\/v1\/plan$/, postPlan],
  ['GET', /^\/v1\/jobs\/(\w+)$/, ({ response, jobs }, id) => send(response, 200, jobs.find(id))],
  ['DELETE', /^\/v1\/jobs\/(\w+)$/, forgetJob],
  ['POST', /^\/v1\/jobs\/(\w+)\/cancel$/, cancelJob],
  ['GET', /^\/v1\/jobs\/(\w+)\/events$/, streamEvents],
  ['POST', /^\/v1\/pictures$/, postPicture],
  ['GET', /^\/v1\/pictures\/([0-9a-f]{64})$/, showPicture],
  ['GET', /^\/v1\/pictures\/([0-9a-f]{64})\/settings$/, showSettings],
  ['POST', /^\/v1\/pictures\/([0-9a-f]{64})\/controls$/, makeControl],
];

function showSession({ request, response, key }) {
  if (key && !hasKey(request, key)) throw new Mistake(401, 'unauthorized', 'a key is wanted');
  send(response, 200, { name: key ? 'ann' : 'local', admin: !key, needs_key: Boolean(key) });
}

async function logIn({ request, response, key }) {
  const body = await jsonOf(request);
  if (body.key !== key)
    throw new Mistake(401, 'unauthorized', 'the key is not known', 'ask whoever runs the server');
  response.writeHead(204, { 'Set-Cookie': `pangu_session=${key}; HttpOnly; SameSite=Strict; Path=/` });
  response.end();
}

function listJobs({ response, jobs, url }) {
  const states = url.searchParams.get('state')?.split(',');
  const before = url.searchParams.get('before');
  const limit = Number(url.searchParams.get('limit') ?? 50);
  const found = jobs.list.filter(({ state }) => !states || states.includes(state));
  const from = before ? found.findIndex(({ id }) => id === before) + 1 : 0;
  const shown = found.slice(from, from + limit);
  send(response, 200, { jobs: shown, next: from + limit < found.length ? shown.at(-1).id : null });
}

async function postJob({ request, response, jobs, requests }) {
  const body = await jsonOf(request);
  requests.at(-1).body = body;
  const job = jobs.submit(body, request.headers['idempotency-key']);
  send(response, 202, job, { Location: `/v1/jobs/${job.id}` });
}

async function postPlan({ request, response, jobs }) {
  send(response, 200, planOf(await jsonOf(request), jobs.pictures));
}

function cancelJob({ response, jobs }, id) {
  const { status, job } = jobs.cancel(id);
  send(response, status, job);
}

function forgetJob({ response, jobs }, id) {
  const job = jobs.find(id);
  jobs.cancel(id);
  jobs.list.splice(jobs.list.indexOf(job), 1);
  response.writeHead(204).end();
}

function streamEvents({ request, response, jobs }, id) {
  const job = jobs.find(id);
  response.writeHead(200, { 'Content-Type': 'text/event-stream', 'Cache-Control': 'no-store' });
  const write = ({ id, event, data }) => {
    response.write(`id: ${id}\nevent: ${event}\ndata: ${JSON.stringify(data)}\n\n`);
    if (['done', 'failed', 'cancelled'].includes(event)) response.end();
  };
  const events = jobs.events.get(id);
  const last = request.headers['last-event-id'];
  if (last) events.filter((event) => event.id > Number(last)).forEach(write);
  else {
    write({ id: events.length, event: 'state', data: job });
    if (['done', 'failed', 'cancelled'].includes(job.state)) write(events.at(-1));
  }
  jobs.listeners.get(id).add(write);
  request.on('close', () => jobs.listeners.get(id).delete(write));
}

async function postPicture({ request, response, jobs }) {
  const bytes = await bodyOf(request);
  const size = sizeOfPng(bytes);
  if (!size)
    throw new Mistake(400, 'bad_input', 'the picture: expected PNG, JPEG or WebP, found something else');
  const { fresh, picture } = jobs.addPicture(bytes, 'image/png', size);
  send(response, fresh ? 201 : 200, picture, { Location: picture.url });
}

function pictureOf(jobs, id) {
  const picture = jobs.pictures.get(id);
  if (!picture) throw new Mistake(404, 'not_found', 'no such picture');
  return picture;
}

function showPicture({ response, jobs }, id) {
  const { bytes, type } = pictureOf(jobs, id);
  response.writeHead(200, { 'Content-Type': type, ETag: `"${id}"`, 'Cache-Control': 'private, immutable' });
  response.end(bytes);
}

// The mock reads no pictures; the page reads those that it can by itself.
function showSettings({ jobs }, id) {
  pictureOf(jobs, id);
  throw new Mistake(400, 'bad_input', 'the picture says nothing of how it was drawn');
}

async function makeControl({ request, response, jobs, requests }, id) {
  const body = await jsonOf(request);
  const { kind } = body;
  requests.at(-1).body = body;
  pictureOf(jobs, id);
  const known = capabilities.controls.map((control) => control.kind);
  if (!known.includes(kind))
    throw new Mistake(400, 'bad_input', `kind: expected ${known.join(', ')}, found '${kind}'`);
  const job = jobs.add({ kind: 'control', source: id });
  send(response, 202, job, { Location: `/v1/jobs/${job.id}` });
}
