// Several models draw together: members, weight curves drawn by hand, regions, cost, and each member's own guess.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pngOf, testPicture } from '../../web/mock/png.mjs';
import { eventually, onlyMock, open, settledBox, stopBrowser } from './browser.mjs';

after(stopBrowser);

async function begin(t, options) {
  const opened = await open(t, options);
  await opened.page.getByRole('button', { name: 'Together' }).click();
  await opened.page.locator('.member').nth(1).waitFor();
  return opened;
}

test(
  'two members draw one picture, and each one’s own guess is beside the fused one',
  onlyMock,
  async (t) => {
    const { page, bodies, write, draw, pictures } = await begin(t, { mock: { stepMs: 60 } });
    await write('a pig face, 3D render');
    await draw();
    await page.locator('.guesses img').nth(1).waitFor();
    assert.deepEqual(await page.locator('.guesses figcaption').allInnerTexts(), ['mini', 'edges']);
    await pictures(1);
    const { recipe, member_previews } = bodies[0];
    const { seed, ...rest } = recipe;
    assert.equal(member_previews, true);
    assert.deepEqual(rest, {
      prompt: 'a pig face, 3D render',
      form: 'paper',
      bridge: 'auto',
      member: [
        { name: 'mini', model: 'mini', hub: true, weight: 0.5, guidance_low: 0 },
        { name: 'edges', model: 'edges', hub: false, weight: 0.5, prompt: '' },
      ],
    });
    assert.ok(seed >= 0);
  },
);

test('lines and words draw together: the control picture is made on the server', async (t) => {
  const { page, bodies, write, draw, steps, pictures } = await begin(t);
  await write('a pig face, 3D render');
  const card = page.locator('.member').nth(1);
  const buffer = pngOf(64, 64, testPicture(64, 64, 8));
  await card.locator('input[type=file]').setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer });
  const source = await card.locator('.filled img').getAttribute('src');
  await card.getByRole('button', { name: 'Edges', exact: true }).click();
  await page.waitForFunction(
    (old) => document.querySelector('.member .filled img').getAttribute('src') !== old,
    source,
  );
  await steps(4);
  await draw();
  await pictures(1);
  await page.locator('.shown .canvas img[src^="blob:"]').waitFor();
  assert.equal(bodies[0].recipe.member.length, 2);
  assert.match(await page.locator('.shown .table').innerText(), /mini \+ edges/);
});

test('a control picture is made with the options that were chosen', onlyMock, async (t) => {
  const { page, mock } = await begin(t);
  const card = page.locator('.member').nth(1);
  const buffer = pngOf(64, 64, testPicture(64, 64, 8));
  await card.locator('input[type=file]').setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer });
  await card.getByText('Options').click();
  await card.getByText('Black and white lines (scribble)').click();
  await card.getByRole('button', { name: 'Soft edges', exact: true }).click();
  const made = () => mock.requests.find(({ path }) => path.endsWith('/controls'))?.body;
  await eventually(made, { kind: 'hed', scribble: true });
});

test('a weight is drawn by hand over the noise levels and sent with rising sigma', onlyMock, async (t) => {
  const { page, bodies, write, draw, pictures } = await begin(t);
  await write('a fox');
  const card = page.locator('.member').nth(1);
  await card.getByRole('button', { name: 'By noise level' }).click();
  const svg = card.locator('.curve svg');
  await svg.scrollIntoViewIfNeeded();
  const box = await settledBox(svg);
  // Much weight at much noise, little at little.
  await page.mouse.move(box.x + 14, box.y + 14);
  await page.mouse.down();
  await page.mouse.move(box.x + box.width / 2, box.y + 20, { steps: 8 });
  await page.mouse.move(box.x + box.width - 40, box.y + box.height - 14, { steps: 8 });
  await page.mouse.up();
  await draw();
  await pictures(1);
  const curve = bodies[0].recipe.member[1].weight_curve;
  assert.ok(curve.length >= 3);
  curve.slice(1).forEach(([sigma], i) => assert.ok(sigma > curve[i][0], JSON.stringify(curve)));
  assert.ok(curve.at(-1)[1] > 0.8 && curve[1][1] < 0.3, JSON.stringify(curve));
  assert.equal(bodies[0].recipe.member[1].weight, undefined);
});

test('the points of a curve are sliders for the keyboard', async (t) => {
  const { page } = await begin(t);
  const card = page.locator('.member').first();
  await card.getByRole('button', { name: 'By noise level' }).click();
  const point = card.getByRole('slider', { name: 'Weight at σ 14.6' });
  await point.focus();
  await page.keyboard.press('Shift+ArrowUp');
  await eventually(() => point.getAttribute('aria-valuenow'), '0.6');
  await page.keyboard.press('ArrowDown');
  await eventually(() => point.getAttribute('aria-valuenow'), '0.58');
});

test('a member’s region is painted, and its control picture is made in place', onlyMock, async (t) => {
  const { page, bodies, draw, pictures } = await begin(t);
  const card = page.locator('.member').nth(1);
  const buffer = pngOf(64, 64, testPicture(64, 64, 8));
  await card.locator('input[type=file]').setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer });
  await card.getByRole('button', { name: 'Edges', exact: true }).click();
  await card.getByRole('button', { name: 'Paint its region' }).click();
  const dialog = page.getByRole('dialog', { name: 'Region of edges' });
  const box = await settledBox(dialog.locator('canvas'));
  await page.mouse.move(box.x + 30, box.y + 30);
  await page.mouse.down();
  await page.mouse.move(box.x + 120, box.y + 120, { steps: 5 });
  await page.mouse.up();
  await dialog.getByRole('button', { name: 'Done' }).click();
  await card.getByAltText('Region of edges').waitFor();
  await page.waitForFunction(() => !document.querySelector('[aria-busy=true]'));
  await draw();
  await pictures(1);
  const { mask, controls } = bodies[0].recipe.member[1];
  assert.match(mask, /^[0-9a-f]{64}$/);
  assert.match(controls[0].image, /^[0-9a-f]{64}$/);
  assert.notEqual(mask, controls[0].image);
});

test(
  'members are added and removed, one is the hub, and the bridges follow the form',
  onlyMock,
  async (t) => {
    const { page } = await begin(t);
    await page.getByRole('button', { name: 'Add a member' }).click();
    await eventually(() => page.locator('.member').count(), 3);
    const plan = page.locator('.plan');
    // Three members of which two are bridged into the hub and back.
    await eventually(() => plan.locator('.plan-list li', { hasText: '→' }).count(), 4);
    await page.getByLabel('Form').selectOption('one_way');
    await eventually(() => plan.locator('.plan-list li', { hasText: '→' }).count(), 2);
    await page
      .locator('.member')
      .first()
      .getByRole('button', { name: /^Remove/ })
      .last()
      .click();
    await eventually(() => page.locator('.member').count(), 2);
    assert.equal(await page.locator('.hub input:checked').count(), 1);
  },
);

test('what it takes is said before it is drawn: bridges, forwards, time, memory', async (t) => {
  const { page } = await begin(t, { mock: { stepMs: 5 } });
  const card = page.locator('.member').nth(1);
  const buffer = pngOf(64, 64, testPicture(64, 64, 8));
  await card.locator('input[type=file]').setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer });
  await page.locator('.plan-line').waitFor();
  const plan = page.locator('.plan');
  await page.getByLabel('Bridges').selectOption('exact');
  await plan.getByText('edges → mini, exact').waitFor();
  assert.match(await plan.locator('.table').innerText(), /evaluations[\s\S]*FLOP[\s\S]*MB/);
  assert.match(await plan.locator('.plan-list').innerText(), /mini[\s\S]*latents \d+ × \d+ × \d+/);
  assert.ok((await plan.locator('.forwards tbody tr').count()) >= 4);
});

test('a picture of several models brings its recipe back', onlyMock, async (t) => {
  const { page, bodies, write, draw, drop, notice, pictures } = await begin(t);
  await write('a pig face');
  await page.locator('.member').nth(1).locator('input.number').fill('0.3');
  await page.locator('.member').nth(1).locator('input.number').blur();
  await draw();
  await pictures(1);
  await page.getByRole('button', { name: 'Draw', exact: true }).first().click();
  const recipe = { ...bodies[0].recipe, width: 256, height: 256, stage: [], bridges: [] };
  const bytes = pngOf(32, 32, testPicture(32, 32, 1), { 'pangu-draw': JSON.stringify({ recipe }) });
  await drop('.stage', bytes);
  await notice().waitFor();
  assert.equal(await page.locator('.member').count(), 2);
  await draw();
  await pictures(2);
  assert.deepEqual(bodies[1].recipe, { ...bodies[0].recipe, width: 256, height: 256 });
});

test(
  'a recipe of the command line keeps what the cards have no place for, and lacking files are told',
  onlyMock,
  async (t) => {
    const { page, bodies, draw, drop, notice, pictures } = await open(t);
    const recipe = {
      prompt: 'a cat',
      bridge: 'auto',
      form: 'paper',
      bridge_every: 2,
      bridges: [],
      width: 256,
      height: 256,
      seed: 3,
      steps: 4,
      count: 1,
      guidance: null,
      guidance_high: null,
      member: [
        {
          name: 'low',
          model: '/somewhere/models/edges',
          hub: false,
          weight: 0.4,
          from: 0,
          to: 0.7,
          sigma_low: 0,
          sigma_high: null,
          prompt: '',
          controls: [{ image: '/somewhere/fox_edges.png', weight: 1, from: 0, to: 1 }],
        },
        { name: 'high', model: 'models/mini', hub: true, weight: 0.6, guidance_low: 1.5, negative: 'leaf' },
      ],
      stage: [{ members: ['low'], until: 't=700', upscale: 'bicubic' }, { members: ['high'] }],
    };
    await drop('.stage', pngOf(16, 16, testPicture(16, 16, 1), { 'pangu-draw': JSON.stringify({ recipe }) }));
    await notice().getByText('Not taken over: fox_edges.png').waitFor();
    await page.getByText('to = 0.7').waitFor();
    await draw();
    await pictures(1);
    assert.deepEqual(bodies[0].recipe, {
      prompt: 'a cat',
      bridge: 'auto',
      form: 'paper',
      bridge_every: 2,
      width: 256,
      height: 256,
      seed: 3,
      steps: 4,
      member: [
        { name: 'low', model: 'edges', hub: false, weight: 0.4, to: 0.7, prompt: '' },
        { name: 'high', model: 'mini', hub: true, weight: 0.6, guidance_low: 1.5, negative: 'leaf' },
      ],
      stage: recipe.stage,
    });
  },
);
