// The page's modules that need no page: texts of PNG files, A1111's parameters, sizes, weight curves, strokes.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { after, before, test } from 'node:test';
import { pngOf, testPicture } from '../../web/mock/png.mjs';

const root = new URL('../../web/', import.meta.url).pathname;
const require = createRequire(`${root}package.json`);
let vite;
const lib = {};

before(async () => {
  const { createServer } = await import(pathToFileURL(require.resolve('vite')).href);
  vite = await createServer({
    root,
    server: { middlewareMode: true, ws: false, watch: null },
    logLevel: 'error',
    appType: 'custom',
  });
  for (const name of ['png_text', 'infotext', 'sizes', 'noise_axis', 'weight_curve', 'strokes', 'grid']) {
    lib[name] = await vite.ssrLoadModule(`/src/lib/${name}.ts`);
  }
});
after(() => vite?.close());

const picture = (texts, options) => new Uint8Array(pngOf(8, 8, testPicture(8, 8, 1), texts, options));

test('texts of a PNG are read as tEXt and iTXt, packed or not, in Latin-1 and UTF-8', async () => {
  const { pngTexts } = lib.png_text;
  assert.equal((await pngTexts(picture({ parameters: 'a fox' }))).get('parameters'), 'a fox');
  assert.equal((await pngTexts(picture({ parameters: '一只狐狸' }))).get('parameters'), '一只狐狸');
  assert.equal((await pngTexts(picture({ a: '一只狐狸' }, { compressed: true }))).get('a'), '一只狐狸');
});

test('what is no PNG, is cut off or lies about its lengths has no texts and does no harm', async () => {
  const { pngTexts } = lib.png_text;
  const whole = picture({ parameters: 'a fox' }, { compressed: true });
  assert.equal((await pngTexts(new Uint8Array())).size, 0);
  assert.equal((await pngTexts(new TextEncoder().encode('JFIF and so on'))).size, 0);
  for (let end = 0; end < whole.length; end++) await pngTexts(whole.subarray(0, end));
  for (let at = 8; at < 90; at++) {
    const damaged = whole.slice();
    damaged[at] ^= 0xff;
    await pngTexts(damaged);
  }
});

test('parameters are read as A1111 writes them', () => {
  const { parsedInfotext, lorasOf } = lib.infotext;
  const info = parsedInfotext(
    'a fox,\nin two lines\nNegative prompt: leaf\nand more\nSteps: 20, Sampler: Euler a, Size: 512x768, Lora hashes: "a: 1, b: 2"',
  );
  assert.equal(info.prompt, 'a fox,\nin two lines');
  assert.equal(info.negative, 'leaf\nand more');
  assert.equal(info.settings.get('Sampler'), 'Euler a');
  assert.equal(info.settings.get('Lora hashes'), 'a: 1, b: 2');
  assert.equal(parsedInfotext('only a prompt: with a colon').prompt, 'only a prompt: with a colon');
  assert.deepEqual(lorasOf('a <lora:ink:0.5> fox <lora:b>'), {
    prompt: 'a fox',
    loras: [
      { name: 'ink', weight: 0.5 },
      { name: 'b', weight: 1 },
    ],
  });
});

test('a size by shape keeps the area, is a multiple, and is one of the list where there is one', () => {
  const { sizeOf, shapeOf, scaleOf, allowed, parsedSize, kShapes, kScales } = lib.sizes;
  const model = { size_multiple: 64, min_side: 256, max_side: 1024, sizes: [] };
  assert.deepEqual(sizeOf(1, 512 * 512, model), { width: 512, height: 512 });
  const wide = sizeOf(16 / 9, 512 * 512, model);
  assert.deepEqual(wide, { width: 704, height: 384 });
  assert.deepEqual(sizeOf(1.5, 256 * 256, model), { width: 384, height: 256 });
  for (const { ratio, name } of kShapes) {
    for (const { factor } of kScales) {
      const size = sizeOf(ratio, 512 * 512 * factor, { ...model, size_multiple: 16 });
      assert.equal(shapeOf(size).name, name);
      assert.equal(
        scaleOf(size, { width: 512, height: 512 }, { ...model, size_multiple: 16 }).factor,
        factor,
      );
    }
  }
  assert.equal(shapeOf({ width: 768, height: 512 }).name, '3:2');
  assert.equal(shapeOf({ width: 1000, height: 300 }), undefined);
  assert.deepEqual(allowed({ width: 5000, height: 10 }, model), { width: 1024, height: 256 });
  assert.deepEqual(
    sizeOf(1.4, 1024 * 1024, {
      sizes: [
        [1024, 1024],
        [1216, 832],
        [832, 1216],
      ],
    }),
    { width: 1216, height: 832 },
  );
  assert.deepEqual(parsedSize('640x480'), { width: 640, height: 480 });
  assert.deepEqual(parsedSize('512'), { width: 512, height: 512 });
  assert.equal(parsedSize('wide'), null);
});

test('a place on the axis of noise levels and its sigma are inverse to each other', () => {
  const { positionOf, sigmaAt, kUsualRange, rangeOf } = lib.noise_axis;
  for (const at of [0, 0.25, 0.5, 1])
    assert.ok(Math.abs(positionOf(sigmaAt(at, kUsualRange), kUsualRange) - at) < 1e-12);
  assert.equal(positionOf(0, kUsualRange), 1);
  assert.equal(rangeOf([Infinity, 80, 0]).high, 80);
});

test('a weight curve is linear between its points, and the recipe’s form of it is the same curve', () => {
  const { weightAt, toRecipe, fromRecipe, movedPoint, sharesAt, flatCurve } = lib.weight_curve;
  const { kUsualRange } = lib.noise_axis;
  const points = [
    { at: 0, weight: 1 },
    { at: 0.5, weight: 0.2 },
    { at: 1, weight: 0 },
  ];
  assert.equal(weightAt(points, 0.25), 0.6);
  const again = fromRecipe(toRecipe(points, kUsualRange), kUsualRange);
  again.forEach((point, i) => {
    assert.ok(Math.abs(point.at - points[i].at) < 1e-3 && Math.abs(point.weight - points[i].weight) < 1e-3);
  });
  assert.equal(movedPoint(points, 0, { at: 0.4, weight: 3 })[0].at, 0);
  assert.ok(movedPoint(points, 1, { at: 7, weight: 0.5 })[1].at < 1);
  assert.deepEqual(
    sharesAt([flatCurve(0.6), flatCurve(0.2)], 0.5).map((share) => Math.round(100 * share)),
    [75, 25],
  );
});

test('a stroke of the pen becomes few points that follow it', () => {
  const { simplified, drawnOver, flatCurve, weightAt } = lib.weight_curve;
  const wave = Array.from({ length: 101 }, (_, i) => ({ at: i / 100, weight: 0.5 + 0.4 * Math.sin(i / 16) }));
  const few = simplified(wave);
  assert.ok(few.length < 16, `${few.length} points`);
  for (const { at, weight } of wave) assert.ok(Math.abs(weightAt(few, at) - weight) <= 0.031);
  const partly = drawnOver(flatCurve(0.1), wave.slice(40, 61));
  assert.equal(weightAt(partly, 0), 0.1);
  assert.ok(Math.abs(weightAt(partly, 0.5) - wave[50].weight) < 0.06);
  partly.slice(1).forEach((point, i) => assert.ok(point.at > partly[i].at));
});

test('strokes are taken back and brought again in order, and a new one forgets those taken back', () => {
  const { emptyPainting, painted, undone, redone } = lib.strokes;
  const stroke = (width) => ({ points: [], width, erase: false });
  const two = painted(painted(emptyPainting, stroke(1)), stroke(2));
  assert.deepEqual(
    undone(two).strokes.map(({ width }) => width),
    [1],
  );
  assert.deepEqual(
    redone(undone(two)).strokes.map(({ width }) => width),
    [1, 2],
  );
  assert.deepEqual(undone(emptyPainting), emptyPainting);
  assert.equal(redone(painted(undone(two), stroke(3))).strokes.length, 2);
});

test('values of an axis are parted by commas, and quotes keep commas inside', () => {
  const { axisValues } = lib.grid;
  assert.deepEqual(axisValues('10, 20,30'), ['10', '20', '30']);
  assert.deepEqual(axisValues('"a, b" , c,, "say ""x"""'), ['a, b', 'c', 'say "x"']);
  assert.deepEqual(axisValues(' '), []);
  assert.deepEqual(axisValues('"open, end'), ['"open', 'end']);
});

test('a grid has a cell for each pair of values, row by row', () => {
  const { cellsOf, labelsOf, axisJson } = lib.grid;
  const axes = [
    { key: 'steps', values: '4, 8' },
    { key: 'guidance', values: '2, 5' },
  ];
  assert.deepEqual(
    cellsOf(axes).map(({ column, row, values }) => [column, row, values.map((pair) => pair.join('='))]),
    [
      [0, 0, ['steps=4', 'guidance=2']],
      [1, 0, ['steps=8', 'guidance=2']],
      [0, 1, ['steps=4', 'guidance=5']],
      [1, 1, ['steps=8', 'guidance=5']],
    ],
  );
  assert.deepEqual(labelsOf(axes[0]), ['steps 4', 'steps 8']);
  const none = { key: '', values: '1, 2' };
  assert.equal(cellsOf([none, none]).length, 1);
  assert.equal(cellsOf([axes[0], none]).length, 2);
  assert.equal(axisJson({ type: 'integer' }, '8'), 8);
  assert.equal(axisJson({ type: 'integer' }, 'x'), 'x');
  assert.equal(axisJson({ type: 'text' }, '8'), '8');
  assert.deepEqual(axisJson({ type: 'texts' }, 'flat'), ['flat']);
});
