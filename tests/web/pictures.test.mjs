// What is done with pictures: settings restored from them, varied, compared, started from, masked, made to controls.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { pngOf, testPicture } from '../../web/mock/png.mjs';
import { kPhone, onlyMock, open, settledBox, stopBrowser } from './browser.mjs';

after(stopBrowser);

const picture = (texts = {}, options = {}) => pngOf(64, 64, testPicture(64, 64, 3), texts, options);
const parameters = `a (red:1.2) fox <lora:ink:0.7>, in the snow
Negative prompt: leaf, "tree"
Steps: 28, Sampler: DPM++ 2M Karras, CFG scale: 6.5, Seed: 1234, Size: 320x256, Model: mini, Lora hashes: "ink: 1, x: 2", Version: v1.9`;

test('a PNG of this program that is dropped fills the form, and its seed is locked', async (t) => {
  const { page, bodies, draw, drop, notice, pictures, url } = await open(t);
  const { data } = await (await fetch(new URL('v1/models', url))).json();
  const { defaults } = data.find((model) => model.id === 'mini');
  const request = {
    prompt: '蓝色的鲸鱼，扁平图标',
    negative: 'leaf',
    styles: ['3d:4'],
    width: 320,
    height: 256,
    steps: 4,
    guidance: 6,
    guidance_rescale: 0.3,
    guidance_low: defaults.guidance_low, // what the model does anyway is not sent
    style_scale: 2,
    guidance_high: null,
    sampler: 'euler',
    schedule: 'normal',
    seed: 99,
    count: 1,
    clip_skip: 1,
    composite: true,
    controls: [],
    image_prompt: '',
    init_image: '',
    mask_blur: 4,
    mask_image: '',
    noise: 'philox',
    strength: null,
  };
  await drop('.stage', picture({ 'pangu-draw': JSON.stringify({ model: { name: 'mini' }, request }) }));
  await notice().getByText('The settings of the picture (PanGu-Draw) are in the form.').waitFor();
  assert.equal(await page.locator('textarea.prompt').inputValue(), request.prompt);
  await draw();
  await pictures(1);
  assert.deepEqual(bodies[0], {
    model: 'mini',
    request: {
      prompt: request.prompt,
      negative: 'leaf',
      styles: ['3d:4'],
      width: 320,
      height: 256,
      steps: 4,
      guidance: 6,
      guidance_rescale: 0.3,
      sampler: 'euler',
      schedule: 'normal',
      seed: 99,
    },
  });
});

for (const [how, options] of [
  ['plain', {}],
  ['packed', { compressed: true }],
]) {
  test(
    `a PNG of A1111 with ${how} text fills the form, and what has no place is told`,
    onlyMock,
    async (t) => {
      const { page, bodies, draw, drop, notice, pictures } = await open(t);
      await drop('.stage', picture({ parameters: `${parameters}, Hires upscale: 2` }, options));
      await notice().getByText('Hires upscale: 2').waitFor();
      await draw();
      await pictures(1);
      assert.deepEqual(bodies[0], {
        model: 'mini',
        load: { lora: ['ink:0.7'] },
        request: {
          prompt: 'a (red:1.2) fox , in the snow',
          negative: 'leaf, "tree"',
          width: 320,
          height: 256,
          steps: 28,
          guidance: 6.5,
          sampler: 'dpmpp_2m',
          schedule: 'karras',
          seed: 1234,
        },
      });
    },
  );
}

test('a picture without settings becomes the start picture', async (t) => {
  const { page, bodies, draw, drop, notice, write, steps, pictures } = await open(t);
  await steps(4);
  await drop('.stage', picture());
  await notice().getByText('it is the start picture now').waitFor();
  await write('a door');
  await draw();
  await pictures(1);
  const { init_image, width, height } = bodies[0].request;
  assert.match(init_image, /^[0-9a-f]{64}$/);
  assert.deepEqual([width, height], [64, 64]);
});

test('settings are restored by the file dialog too, which keyboards and phones have', async (t) => {
  const { page, notice } = await open(t);
  const buffer = picture({ 'pangu-draw': JSON.stringify({ request: { prompt: 'from a file' } }) });
  await page.locator('.restore input').setInputFiles({ name: 'a.png', mimeType: 'image/png', buffer });
  await notice().waitFor();
  assert.equal(await page.locator('textarea.prompt').inputValue(), 'from a file');
});

test('vary draws the same with another seed; reuse takes all settings and the seed', async (t) => {
  const { page, bodies, drawn, steps, write, draw, pictures } = await open(t);
  await steps(3);
  await drawn('a fox');
  await page.getByRole('button', { name: 'Vary' }).click();
  await pictures(2);
  const [first, second] = bodies;
  assert.notEqual(second.request.seed, first.request.seed);
  assert.deepEqual({ ...second.request, seed: 0, count: 0 }, { ...first.request, seed: 0, count: 0 });
  await write('something else');
  await steps(9);
  await page.locator('.latest .thumbs button').nth(1).click();
  await page.getByRole('button', { name: 'Reuse' }).click();
  await draw();
  await pictures(3);
  assert.deepEqual(bodies[2].request, first.request);
});

test('two pictures are compared by a line that the arrow keys move', async (t) => {
  const { page, drawn, steps } = await open(t);
  await steps(2);
  await drawn('one');
  await drawn('two');
  await page.getByRole('button', { name: 'Compare', exact: true }).click();
  await page
    .locator('.thumbs')
    .getByRole('button', { name: /Compare with: one/ })
    .click();
  const dialog = page.getByRole('dialog', { name: 'Compare' });
  await dialog.locator('.compare img[src^="blob:"]').nth(1).waitFor();
  const clip = () => dialog.locator('.over').evaluate((element) => getComputedStyle(element).clipPath);
  const before = await clip();
  await dialog.getByLabel('Line between the two pictures').focus();
  await page.keyboard.press('ArrowLeft');
  await page.waitForFunction(
    (old) => getComputedStyle(document.querySelector('.over')).clipPath !== old,
    before,
  );
  const box = await dialog.locator('.compare').boundingBox();
  await page.mouse.click(box.x + box.width * 0.25, box.y + 20);
  await page.waitForFunction(() => /7[456]/.test(getComputedStyle(document.querySelector('.over')).clipPath));
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
});

// The share of white, and the colour at a point, of the mask that a job was sent with.
async function maskOf(page, id) {
  return page.evaluate(async (address) => {
    const image = await createImageBitmap(await (await fetch(address)).blob());
    const canvas = new OffscreenCanvas(image.width, image.height);
    const context = canvas.getContext('2d');
    context.drawImage(image, 0, 0);
    const { data } = context.getImageData(0, 0, image.width, image.height);
    let white = 0;
    for (let i = 0; i < data.length; i += 4) white += data[i] / 255;
    const middle = 4 * (image.width * (image.height >> 1) + (image.width >> 1));
    return {
      width: image.width,
      height: image.height,
      share: (4 * white) / data.length,
      middle: data[middle],
      corner: data[0],
    };
  }, `v1/pictures/${id}`);
}

async function stroke(page, box, points) {
  const at = ([x, y]) => [box.x + x * box.width, box.y + y * box.height];
  await page.mouse.move(...at(points[0]));
  await page.mouse.down();
  for (const point of points.slice(1)) await page.mouse.move(...at(point), { steps: 4 });
  await page.mouse.up();
}

test('a mask is painted by a brush, strokes are taken back by key, and white is what was painted', async (t) => {
  const { page, bodies, drawn, steps, draw, pictures } = await open(t);
  await steps(4);
  await drawn('a room');
  await page.getByRole('button', { name: 'Start from it' }).click();
  await page.getByRole('button', { name: 'Paint a mask' }).click();
  const dialog = page.getByRole('dialog', { name: 'Paint a mask' });
  const canvas = dialog.locator('canvas');
  const box = await settledBox(canvas);
  await stroke(page, box, [
    [0.4, 0.5],
    [0.6, 0.5],
  ]);
  await stroke(page, box, [
    [0.1, 0.1],
    [0.9, 0.1],
  ]);
  await stroke(page, box, [
    [0.1, 0.9],
    [0.9, 0.9],
  ]);
  await canvas.focus();
  await page.keyboard.press('Control+z');
  await page.keyboard.press('Control+z');
  await page.keyboard.press('Control+Shift+Z');
  await page.keyboard.press('Control+z');
  await dialog.getByRole('button', { name: 'Done' }).click();
  await page.getByText('What is painted is drawn anew').first().waitFor();
  await draw();
  await pictures(2);
  const { init_image, mask_image, strength } = bodies[1].request;
  assert.match(init_image, /^[0-9a-f]{64}$/);
  assert.equal(strength, undefined);
  const mask = await maskOf(page, mask_image);
  assert.deepEqual([mask.width, mask.height], [256, 256]);
  assert.equal(mask.middle, 255);
  assert.equal(mask.corner, 0);
  assert.ok(mask.share > 0.01 && mask.share < 0.1, `${mask.share}`);
});

test('a mask is painted by a finger on a phone', onlyMock, async (t) => {
  const { page, bodies, drawn, draw, steps, pictures } = await open(t, { size: kPhone });
  await steps(2);
  await drawn('a room');
  await page.getByRole('button', { name: 'Start from it' }).tap();
  await page.getByRole('button', { name: 'Paint a mask' }).tap();
  const canvas = page.getByRole('dialog').locator('canvas');
  const box = await settledBox(canvas);
  const session = await page.context().newCDPSession(page);
  const at = (x, y) => [{ x: box.x + x * box.width, y: box.y + y * box.height }];
  await session.send('Input.dispatchTouchEvent', { type: 'touchStart', touchPoints: at(0.3, 0.5) });
  for (const x of [0.4, 0.5, 0.6]) {
    await session.send('Input.dispatchTouchEvent', { type: 'touchMove', touchPoints: at(x, 0.5) });
  }
  await session.send('Input.dispatchTouchEvent', { type: 'touchEnd', touchPoints: [] });
  await page.locator('button[aria-label^="Undo"]:enabled').waitFor();
  await page.getByRole('dialog').getByRole('button', { name: 'Done' }).click();
  await page.locator('.mask-row').waitFor();
  await draw();
  await pictures(2);
  assert.equal((await maskOf(page, bodies[1].request.mask_image)).middle, 255);
});

test(
  'LoRA and ControlNet are chosen by name, and the control picture is made in place',
  onlyMock,
  async (t) => {
    const { page, bodies, draw, write, section, pictures } = await open(t);
    await write('a bridge');
    const loras = await section('lora');
    await loras.getByLabel('Add a LoRA').selectOption('ink');
    await loras.locator('input.number').fill('0.6');
    await loras.locator('input.number').blur();
    const controls = await section('control');
    await controls.getByRole('button', { name: 'Add a control' }).click();
    await controls
      .locator('input[type=file]')
      .setInputFiles({ name: 'p.png', mimeType: 'image/png', buffer: picture() });
    await controls.locator('.filled img').waitFor();
    const before = await controls.locator('.filled img').getAttribute('src');
    await controls.getByRole('button', { name: 'Edges', exact: true }).click();
    await page.waitForFunction(
      (old) => document.querySelector('.control-card img').getAttribute('src') !== old,
      before,
    );
    await draw();
    await pictures(1);
    assert.deepEqual(bodies[0].load, { lora: ['ink:0.6'], controlnet: ['canny'] });
    const [control] = bodies[0].request.controls;
    assert.deepEqual({ ...control, image: '' }, { image: '', weight: 1, from: 0, to: 1 });
    assert.notEqual(control.image, before.split('/').at(-1));
  },
);
