// What the page's tests share: Chromium, a server (the mock, or the one whose address is in PANGU_PAGE_URL), and a page
// that must neither fail in its scripts nor ask anybody but its own server.
import assert from 'node:assert/strict';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { isDeepStrictEqual } from 'node:util';
import { startMock } from '../../web/mock/server.mjs';

const require = createRequire(new URL('../../web/package.json', import.meta.url));
const { chromium } = require('playwright-core');

export const kDesktop = { width: 1360, height: 860 };
export const kPhone = { width: 390, height: 844 };
export const axeSource = () => readFile(require.resolve('axe-core/axe.min.js'), 'utf8');
// Tests that need what only the mock does are left out with a real server.
export const realServer = process.env.PANGU_PAGE_URL ?? '';
export const onlyMock = { skip: realServer ? 'needs the mock server' : false };

const pageText = () => readFile(new URL('../../web/dist/index.html', import.meta.url));
let browser;

export async function startBrowser() {
  browser ??= await chromium.launch({
    executablePath: process.env.PANGU_CHROMIUM ?? '/usr/bin/chromium',
    args: ['--no-sandbox'],
  });
  return browser;
}

export async function stopBrowser() {
  await browser?.close();
  browser = undefined;
}

// Opens the page for one test; everything ends with the test.
export async function open(t, options = {}) {
  const {
    size = kDesktop,
    locale = 'en-US',
    theme = 'light',
    context = {},
    mock: mockOptions = {},
    ready = true,
  } = options;
  const mock = realServer ? null : await startMock({ page: pageText, stepMs: 15, ...mockOptions });
  const url = mock?.url ?? realServer;
  const phone = size.width < 600;
  const browsing = await (
    await startBrowser()
  ).newContext({
    viewport: size,
    locale,
    colorScheme: theme,
    hasTouch: phone,
    isMobile: phone,
    ...context,
  });
  const page = await browsing.newPage();
  page.setDefaultTimeout(realServer ? 60000 : 10000);
  const failures = [];
  const foreign = [];
  const bodies = []; // of POST /v1/jobs
  page.on('pageerror', (error) => failures.push(error.message));
  page.on('request', (request) => {
    const address = request.url();
    if (!address.startsWith(url) && !/^(data|blob):/.test(address)) foreign.push(address);
    if (request.method() === 'POST' && new URL(address).pathname === '/v1/jobs')
      bodies.push(request.postDataJSON());
  });
  t.after(async () => {
    await browsing.close();
    await mock?.stop();
    assert.deepEqual(failures, [], 'errors in the scripts of the page');
    assert.deepEqual(foreign, [], 'requests to others than the own server');
  });
  await page.goto(url);
  if (ready) await page.locator('[role=status][aria-live=polite]:not(:empty)').waitFor({ state: 'attached' });
  const known = await page.locator('.latest .thumbs li').count();
  // Waits until this test has drawn so many; a real server has those of the tests before.
  const pictures = (count) =>
    page
      .locator('.latest .thumbs li')
      .nth(known + count - 1)
      .waitFor();
  return { page, mock, bodies, url, pictures, ...actions(page) };
}

// Waits until what is read is as expected: a page shows a change a moment after it.
export async function eventually(read, expected) {
  const end = Date.now() + 5000;
  for (let found; ; await new Promise((resume) => setTimeout(resume, 20))) {
    found = await read();
    if (isDeepStrictEqual(found, expected) || Date.now() > end) return assert.deepEqual(found, expected);
  }
}

// Where an element is, once it stays there.
export async function settledBox(locator) {
  for (let before; ; await new Promise((resume) => setTimeout(resume, 100))) {
    const box = await locator.boundingBox();
    if (box && isDeepStrictEqual(box, before)) return box;
    before = box;
  }
}

// What a user does, by the words that a user reads.
function actions(page) {
  const write = (prompt) => page.locator('textarea.prompt').fill(prompt);
  const draw = () => page.locator('.send button[type=submit]').click();
  const section = async (name) => {
    const found = page.locator(`[data-section="${name}"]`);
    if ((await found.getAttribute('open')) === null) await found.locator('summary').click();
    return found;
  };
  const steps = async (count) => {
    const field = (await section('steps')).locator('input.number').first();
    await field.fill(String(count));
    await field.blur();
  };
  // Draws and waits until the picture is on the stage.
  const drawn = async (prompt) => {
    const before = await page.locator('.latest .thumbs li').count();
    await write(prompt);
    await draw();
    await page.locator('.latest .thumbs li').nth(before).waitFor();
    await page.locator('.shown .canvas img[src^="blob:"]').waitFor();
  };
  // A file as the browser gets it when it is dropped on an element.
  const drop = async (selector, bytes) => {
    const dataTransfer = await page.evaluateHandle(
      (list) => {
        const transfer = new DataTransfer();
        transfer.items.add(new File([new Uint8Array(list)], 'picture.png', { type: 'image/png' }));
        return transfer;
      },
      [...bytes],
    );
    await page.dispatchEvent(selector, 'drop', { dataTransfer });
  };
  return { write, draw, section, steps, drawn, drop, notice: () => page.locator('.notice').last() };
}
