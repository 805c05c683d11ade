// The npm package `openai`, unmodified, on a server: it draws, streams, edits, lists, and hears of errors.
import assert from 'node:assert/strict';
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import { before, test } from 'node:test';
import { pngOf, testPicture } from '../../web/mock/png.mjs';

const require = createRequire(new URL('../../web/package.json', import.meta.url).pathname);
let client, toFile, BadRequestError;

before(async () => {
  const library = await import(pathToFileURL(require.resolve('openai')).href);
  ({ toFile, BadRequestError } = library);
  client = new library.OpenAI({ baseURL: `${process.env.PANGU_PAGE_URL}v1`, apiKey: 'none' });
});

const isPng = (text) => Buffer.from(text, 'base64').subarray(1, 4).toString() === 'PNG';

test('models are listed', async () => {
  const names = [];
  for await (const model of client.models.list()) names.push(model.id);
  assert.equal(names[0], 'mini');
});

test('pictures are generated, and the same for the same seed', async () => {
  const request = { prompt: 'a red apple', n: 2, size: '64x64', seed: 7, steps: 2 };
  const made = await client.images.generate(request);
  assert.equal(made.data.length, 2);
  assert.ok(isPng(made.data[0].b64_json));
  const again = await client.images.generate(request);
  assert.ok(again.data[0].b64_json === made.data[0].b64_json, 'the pictures differ');
});

test('a stream sends partial pictures before the complete one', async () => {
  const types = [];
  const stream = await client.images.generate({
    prompt: 'a red apple',
    size: '128x128',
    stream: true,
    partial_images: 2,
    steps: 8,
  });
  for await (const event of stream) types.push(event.type);
  assert.deepEqual(types, [
    'image_generation.partial_image',
    'image_generation.partial_image',
    'image_generation.completed',
  ]);
});

test('a picture is edited and varied', async () => {
  const file = () =>
    toFile(Buffer.from(pngOf(64, 64, testPicture(64, 64, 1))), 'a.png', { type: 'image/png' });
  const edited = await client.images.edit({ image: await file(), prompt: 'a green leaf', steps: 2 });
  assert.ok(isPng(edited.data[0].b64_json));
  const varied = await client.images.createVariation({ image: await file(), size: '64x64' });
  assert.equal(varied.data.length, 1);
});

test('what is refused is a BadRequestError that names the field', async () => {
  await assert.rejects(client.images.generate({ prompt: 'x', stepz: 3 }), (error) => {
    assert.ok(error instanceof BadRequestError);
    assert.match(error.message, /steps/);
    return true;
  });
});

test('a call that is aborted does not keep the next one waiting', async () => {
  const abort = new AbortController();
  const long = client.images.generate(
    { prompt: 'x', size: '256x256', steps: 1000 },
    { signal: abort.signal, maxRetries: 0 },
  );
  setTimeout(() => abort.abort(), 1000);
  await assert.rejects(long);
  const begun = Date.now();
  await client.images.generate({ prompt: 'a red apple', size: '64x64', steps: 2 });
  assert.ok(Date.now() - begun < 15000, 'the aborted drawing went on');
});
