// Drawing on the page: what is sent, what is seen while it is drawn, the queue, and the gallery.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { eventually, kPhone, onlyMock, open, stopBrowser } from './browser.mjs';

after(stopBrowser);

test('a prompt becomes a picture, and the job says only what was chosen', async (t) => {
  const { page, bodies, drawn, steps } = await open(t);
  await steps(4);
  await drawn('a red apple, 3D render');
  assert.equal(bodies.length, 1);
  const { request, ...rest } = bodies[0];
  const { seed, ...said } = request;
  assert.deepEqual(said, { prompt: 'a red apple, 3D render', steps: 4 });
  assert.ok(Number.isSafeInteger(seed));
  assert.deepEqual(rest, {});
  const facts = await page.locator('.shown .table').innerText();
  assert.match(facts, new RegExp(`Seed\\s+${seed}`));
  assert.match(facts, /256 × 256/);
});

test('while it is drawn the page shows step, noise level, the serving expert and a preview', async (t) => {
  // So many steps that no server is done before everything has been looked at.
  const { page, draw, write, steps } = await open(t, { mock: { stepMs: 50 } });
  await steps(300);
  await write('a castle');
  await draw();
  await page.locator('.live .preview').waitFor();
  await page.waitForFunction(() =>
    /Step \d+ of \d+ · σ [\d.]+ · structure/.test(document.querySelector('.doing')?.innerText),
  );
  assert.equal(await page.locator('.timeline .span.drawing').innerText(), 'structure');
  await page.waitForFunction(() => /σ [\d.]+ · texture/.test(document.querySelector('.doing')?.innerText));
  assert.equal(await page.locator('.timeline .span.drawing').innerText(), 'texture');
  assert.ok((await page.locator('.timeline .tick').count()) > 5);
  // The tests behind this one need not wait for the rest of it.
  await page.getByRole('button', { name: 'Cancel: a castle' }).click();
});

test('progress is read out by quarters, not by steps', async (t) => {
  const { page, drawn } = await open(t);
  await page.evaluate(() => {
    window.said = [];
    const region = document.querySelector('[aria-live=polite][role=status]');
    new MutationObserver(() => window.said.push(region.textContent)).observe(region, {
      childList: true,
      characterData: true,
      subtree: true,
    });
  });
  await drawn('a fox');
  const said = await page.evaluate(() => window.said);
  assert.ok(said.length >= 2 && said.length <= 8, said.join(' | '));
  assert.ok(
    said.some((text) => /percent drawn|finished/.test(text)),
    said.join(' | '),
  );
});

test('jobs wait with their positions, and each can be cancelled', onlyMock, async (t) => {
  const { page, write, draw, mock } = await open(t, { mock: { stepMs: 1500 } });
  for (const prompt of ['first', 'second', 'third']) {
    await write(prompt);
    await draw();
    await page.locator('.queue li', { hasText: prompt }).waitFor();
  }
  const items = page.locator('.queue li');
  assert.match(await items.nth(0).innerText(), /first[\s\S]*drawing/);
  await page.locator('.queue li', { hasText: 'third' }).getByText('Number 2 in the queue').waitFor();
  await page.getByRole('button', { name: 'Cancel: second' }).click();
  await page.locator('.queue li', { hasText: 'third' }).getByText('Number 1 in the queue').waitFor();
  await page.getByRole('button', { name: 'Cancel: first' }).click();
  await page
    .locator('.queue li', { hasText: 'third' })
    .getByText(/drawing/)
    .waitFor();
  assert.deepEqual(mock.jobs.list.map(({ state }) => state).sort(), ['cancelled', 'cancelled', 'running']);
});

test('what a drawing would fail with is said before it is drawn, with its hint', async (t) => {
  const { page, bodies, write, section, steps } = await open(t);
  await write('a fox');
  await page.locator('.plan-line').getByText('evaluations').waitFor();
  await steps(2000);
  const problem = page.locator('.send .problem');
  await problem.getByText(/steps: expected 1 to 1000, found 2000/).waitFor();
  await steps(4);
  await problem.waitFor({ state: 'detached' });
  const plan = await section('plan');
  await plan.getByText(/structure \d, texture \d/).waitFor();
  assert.equal(bodies.length, 0);
});

test('a grid draws a picture for every pair of values, in a table that fills', onlyMock, async (t) => {
  const { page, bodies, write, section, steps, pictures } = await open(t);
  await steps(3);
  await write('a fox');
  const grid = await section('grid');
  await grid.getByLabel('Columns').selectOption('guidance');
  await grid.getByLabel('Values').first().fill('2, 5');
  await grid.getByLabel('Rows').selectOption('seed');
  await grid.getByLabel('Values').last().fill('1, 2');
  await page.locator('.send').getByText('4 pictures').waitFor();
  await page.locator('.send button[type=submit]').click();
  await page.getByText('4 of 4 pictures').waitFor();
  await pictures(4);
  assert.deepEqual(
    bodies.map(({ request: { guidance, seed, steps } }) => [guidance, seed, steps]),
    [
      [2, 1, 3],
      [5, 1, 3],
      [2, 2, 3],
      [5, 2, 3],
    ],
  );
  const table = page.locator('.grid-table');
  assert.deepEqual(await table.locator('th').allInnerTexts(), [
    'guidance 2',
    'guidance 5',
    'seed 1',
    'seed 2',
  ]);
  await page.waitForFunction(
    () => document.querySelectorAll('.grid-table td img[src^="blob:"]').length === 4,
  );
  const saved = page.waitForEvent('download');
  await page.getByRole('button', { name: 'Download the grid' }).click();
  assert.equal((await saved).suggestedFilename(), 'pangu-draw-grid.png');
  await table.getByRole('button').first().click();
  await page.locator('.shown').waitFor();
  await page.getByRole('button', { name: 'Grid', exact: true }).click();
  await page.reload();
  await page.locator('.latest .thumbs button').first().click();
  await page.getByRole('button', { name: 'Grid', exact: true }).click();
  await page.getByText('4 of 4 pictures').waitFor();
});

test('a failed job keeps the words of the server with their hint', onlyMock, async (t) => {
  const { page, write, draw } = await open(t);
  await write('crash');
  await draw();
  const problem = page.locator('.stage .problem');
  await problem.waitFor();
  assert.match(await problem.innerText(), /the worker ended twice while it drew this job/);
  assert.match(await problem.innerText(), /is there memory enough\?/);
  await write('');
  await page.getByRole('button', { name: 'Change its settings' }).click();
  await eventually(() => page.locator('textarea.prompt').inputValue(), 'crash');
  await page.locator('.stage').getByRole('button', { name: 'Dismiss' }).click();
  await page.locator('.queue').waitFor({ state: 'detached' });
});

test('what the server refuses at once is told beside the button', onlyMock, async (t) => {
  const { page, write, draw } = await open(t);
  await page.route('**/v1/jobs', (route) =>
    route.fulfill({
      status: 429,
      contentType: 'application/json',
      body: JSON.stringify({
        error: { code: 'too_many', message: 'the queue is full', hint: 'try again in 9 s' },
      }),
    }),
  );
  await write('a fox');
  await draw();
  assert.match(await page.locator('.send .problem').innerText(), /the queue is full\s+try again in 9 s/);
});

test('the seed is new each time until it is locked, and the dice roll one', async (t) => {
  const { page, bodies, drawn, section, steps } = await open(t);
  await steps(2);
  await drawn('a');
  await drawn('b');
  assert.notEqual(bodies[0].request.seed, bodies[1].request.seed);
  const seeds = await section('seed');
  await seeds.getByRole('button', { name: 'Keep this seed' }).click();
  await drawn('c');
  await drawn('d');
  assert.equal(bodies[2].request.seed, bodies[1].request.seed);
  assert.equal(bodies[3].request.seed, bodies[1].request.seed);
  await seeds.getByRole('button', { name: 'Roll a seed' }).click();
  await drawn('e');
  assert.notEqual(bodies[4].request.seed, bodies[3].request.seed);
  await seeds.getByRole('textbox').fill('77');
  await seeds.getByRole('textbox').blur();
  await drawn('f');
  assert.equal(bodies[5].request.seed, 77);
});

test('a shape gives a size that the model draws, and sides are swapped and rounded', async (t) => {
  const { section } = await open(t);
  const size = await section('size');
  const value = () => size.locator('.value').innerText();
  await size.getByText('3:2').click();
  await size.locator('.chosen', { hasText: '3:2' }).waitFor();
  const [width, height] = (await value()).split(' × ').map(Number);
  assert.ok(
    width % 8 === 0 && height % 8 === 0 && Math.abs(width / height - 1.5) < 0.1,
    `${width} × ${height}`,
  );
  await size.getByRole('button', { name: 'Swap width and height' }).click();
  await eventually(value, `${height} × ${width}`);
  await size.getByLabel('Width', { exact: true }).fill('301');
  await size.getByLabel('Width', { exact: true }).blur();
  await eventually(async () => Number((await value()).split(' × ')[0]) % 8, 0);
});

test('negative prompt, styles, steps, guidance and sampler are sent as they were chosen', async (t) => {
  const { page, bodies, draw, write, section, steps, pictures } = await open(t);
  await write('a fox');
  await page.getByRole('button', { name: 'Add a negative prompt' }).click();
  await page.getByLabel('Negative prompt').fill('leaf');
  await page.getByRole('button', { name: '3d', exact: true }).click();
  await page.getByLabel('Scale of the style 3d').fill('4');
  await steps(3);
  const details = await section('steps');
  await details.getByLabel('Sampler').selectOption('euler');
  await details.locator('input.number').nth(1).fill('6.5');
  await details.locator('input.number').nth(1).blur();
  await page.getByRole('button', { name: 'One more' }).click();
  await draw();
  await pictures(2);
  const { seed, ...said } = bodies[0].request;
  assert.deepEqual(said, {
    prompt: 'a fox',
    negative: 'leaf',
    styles: ['3d:4'],
    steps: 3,
    guidance: 6.5,
    sampler: 'euler',
    count: 2,
  });
  assert.ok(seed >= 0);
});

test('every other field of the server’s table can be added, with its help', async (t) => {
  const { page, bodies, write, section, steps, pictures, draw } = await open(t);
  await write('a fox');
  await steps(2);
  const more = await section('extra');
  const add = more.getByLabel('Add a setting');
  for (const key of ['upscale', 'composite', 'resize_mode', 'spacing']) await add.selectOption(key);
  await more.getByLabel('upscale', { exact: true }).fill('1.5');
  await more.getByLabel('upscale', { exact: true }).blur();
  await more.getByLabel('composite', { exact: true }).uncheck();
  await more.getByRole('button', { name: 'Remove resize_mode' }).click();
  assert.equal(await add.locator('option[value=upscale]').count(), 0);
  await draw();
  await pictures(1);
  const { seed, ...said } = bodies[0].request;
  assert.deepEqual(said, { prompt: 'a fox', steps: 2, upscale: 1.5, composite: false });
  assert.ok(seed >= 0);
  await page.locator('.shown .table').getByText('384 × 384').waitFor();
});

test('pictures and the form are there again after a reload, also when the server has forgotten them', async (t) => {
  const { page, drawn, mock } = await open(t);
  const prompt = `一个红苹果 ${Date.now()}`;
  await drawn(prompt);
  // The bytes are in the browser's own store by now.
  await page.waitForFunction(async () => {
    const [database] = (await indexedDB.databases()).filter(({ name }) => name.startsWith('pangu-draw'));
    const opening = indexedDB.open(database.name);
    await new Promise((done) => (opening.onsuccess = done));
    const count = opening.result.transaction('bytes').objectStore('bytes').count();
    await new Promise((done) => (count.onsuccess = done));
    opening.result.close();
    return count.result === 1;
  });
  if (mock) {
    mock.jobs.list.length = 0;
    mock.jobs.pictures.clear();
  }
  await page.reload();
  await page.locator('.latest .thumbs img[src^="blob:"]').first().waitFor();
  assert.equal(await page.locator('textarea.prompt').inputValue(), prompt);
  await page.getByRole('button', { name: 'Gallery' }).click();
  await page.getByRole('searchbox').fill(prompt.slice(2));
  await eventually(() => page.locator('.thumbs.large li').count(), 1);
  await page.getByRole('searchbox').fill('nothing of the kind');
  await page.getByText('No picture has these words').waitFor();
});

test(
  'the gallery has the pictures of this owner alone, also where an administrator sees all jobs',
  onlyMock,
  async (t) => {
    const { page, drawn, mock, steps, pictures } = await open(t);
    await steps(2);
    await drawn('mine');
    mock.jobs.list.push({ ...structuredClone(mock.jobs.list[0]), id: 'j0', owner: 'bob' });
    await page.reload();
    await page.locator('[role=status][aria-live=polite]:not(:empty)').waitFor({ state: 'attached' });
    await pictures(1);
    assert.equal(await page.locator('.latest .thumbs li').count(), 1);
  },
);

test('a job that runs on while the page is loaded again is shown again', onlyMock, async (t) => {
  const { page, write, draw, pictures } = await open(t, { mock: { stepMs: 150 } });
  await write('a slow one');
  await draw();
  await page.locator('.live .preview').waitFor();
  await page.reload();
  await page.locator('.queue li', { hasText: 'a slow one' }).waitFor();
  await pictures(1);
});

test('a job that the server has forgotten leaves the queue', onlyMock, async (t) => {
  const { page, write, draw, mock } = await open(t, { mock: { stepMs: 400 } });
  await write('forgotten');
  await draw();
  await page.locator('.live .preview').waitFor();
  mock.jobs.list.length = 0;
  mock.cut();
  await page.locator('.queue li').waitFor({ state: 'detached' });
  await page.getByRole('heading', { name: 'Describe a picture' }).waitFor();
});

test('a size that was chosen keeps its shape with another model', onlyMock, async (t) => {
  const { section } = await open(t);
  const size = await section('size');
  await size.getByText('3:2').click();
  await size.getByText('L', { exact: true }).click();
  const model = await section('model');
  await model.getByLabel('Model').selectOption('edges');
  await size.locator('.chosen', { hasText: '3:2' }).waitFor();
  await size.locator('.chosen', { hasText: 'L' }).waitFor();
  await eventually(() => size.locator('.value').innerText(), '240 × 160');
});

test('a picture that was deleted stays away', async (t) => {
  const { page, drawn, steps } = await open(t);
  await steps(2);
  await drawn('to be deleted');
  const before = await page.locator('.latest .thumbs li').count();
  await page.getByRole('button', { name: 'Delete', exact: true }).click();
  await page.waitForFunction((n) => document.querySelectorAll('.latest .thumbs li').length === n, before - 1);
  await page.reload();
  await page.locator('.status.good').waitFor();
  await page.waitForTimeout(300);
  assert.equal(await page.locator('.latest .thumbs li').count(), before - 1);
});

test(
  'a server with keys is entered by a key, and a wrong one is refused in its words',
  onlyMock,
  async (t) => {
    const { page, drawn } = await open(t, { mock: { key: 'open-sesame' }, ready: false });
    const dialog = page.getByRole('dialog');
    await dialog.getByLabel('Key').fill('guess');
    await dialog.getByRole('button', { name: 'Enter' }).click();
    await dialog.getByText('the key is not known').waitFor();
    await dialog.getByLabel('Key').fill('open-sesame');
    await dialog.getByRole('button', { name: 'Enter' }).click();
    await dialog.waitFor({ state: 'detached' });
    await drawn('a fox');
  },
);

test('a server that goes away is told of, and found again', onlyMock, async (t) => {
  const { page, url } = await open(t);
  await page.route(`${url}v1/**`, (route) => route.abort());
  await page.reload();
  await page.locator('.status.bad').waitFor();
  await page.unroute(`${url}v1/**`);
  await page.locator('.status.good').waitFor();
});

test('on a phone the picture is on top once it is drawn, and nothing is wider than the page', async (t) => {
  const { page, drawn } = await open(t, { size: kPhone });
  await drawn('a fox');
  const order = await page.evaluate(() =>
    [...document.querySelector('.workspace').children].map((e) => e.className),
  );
  assert.deepEqual(order.slice(1), ['stage', 'form', 'rail']);
  for (const width of [390, 320]) {
    await page.setViewportSize({ width, height: 700 });
    const wide = await page.evaluate(() => document.documentElement.scrollWidth);
    assert.ok(wide <= width, `the page is ${wide} px wide on a screen of ${width} px`);
  }
});
