// For everyone: no violations in axe at either size, theme and language; a keyboard is enough; less motion if wished.
import assert from 'node:assert/strict';
import { after, test } from 'node:test';
import { axeSource, kDesktop, kPhone, open, stopBrowser } from './browser.mjs';

after(stopBrowser);

async function violations(page) {
  await page.evaluate(await axeSource());
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'] }));
  return found.violations.map(
    ({ id, nodes }) => `${id}: ${nodes.map((node) => node.target.join(' ')).join(' | ')}`,
  );
}

for (const [where, size] of [
  ['desktop', kDesktop],
  ['phone', kPhone],
]) {
  for (const [theme, locale] of [
    ['light', 'en-US'],
    ['dark', 'zh-CN'],
  ]) {
    test(`axe finds no violation: ${where}, ${theme}, ${locale}`, async (t) => {
      const { page, drawn, steps, section } = await open(t, { size, theme, locale });
      const check = async (view) => assert.deepEqual(await violations(page), [], view);
      await check('empty');
      await steps(2);
      await page.locator('details').evaluateAll((all) => all.forEach((details) => (details.open = true)));
      await check('all sections');
      await drawn('a fox');
      await check('picture');
      await page.locator('.actions button').nth(2).click();
      await page.locator('.picture-field.filled .button').first().click();
      await check('mask');
      await page.keyboard.press('Escape');
      await page.locator('nav button').nth(1).click();
      await page.locator('.weight .button').first().click();
      await page.locator('.send :is(.plan-line, .problem)').waitFor();
      await check('together');
      await page.locator('nav button').nth(2).click();
      await page.locator('.thumbs.large').waitFor();
      await check('gallery');
      await page.locator('nav button').first().click();
      const grid = await section('grid');
      await grid.locator('select').first().selectOption('seed');
      await grid.locator('input').first().fill('1, 2');
      await page.locator('.send button[type=submit]').click();
      await page.locator('.grid-table td').nth(1).waitFor();
      await check('grid');
    });
  }
}

test('the language is the browser’s, can be switched, and is kept', async (t) => {
  const { page } = await open(t, { locale: 'zh-CN' });
  assert.equal(await page.locator('html').getAttribute('lang'), 'zh-CN');
  await page.getByRole('button', { name: '开始作画' }).waitFor();
  await page.getByRole('button', { name: 'English' }).click();
  await page.getByRole('heading', { name: 'Describe a picture' }).waitFor();
  await page.reload();
  await page.getByRole('heading', { name: 'Describe a picture' }).waitFor();
  assert.equal(await page.locator('html').getAttribute('lang'), 'en');
});

test('the theme is the system’s, can be switched, and is kept', async (t) => {
  const { page } = await open(t, { theme: 'dark' });
  const theme = () => page.locator('html').getAttribute('data-theme');
  assert.equal(await theme(), 'dark');
  await page.getByRole('button', { name: 'Light theme' }).click();
  assert.equal(await theme(), 'light');
  await page.reload();
  assert.equal(await theme(), 'light');
});

test('a picture can be drawn and varied by the keyboard alone', async (t) => {
  const { page, bodies, steps, pictures } = await open(t);
  await steps(2);
  await page.reload();
  await page.locator('.status.good').waitFor();
  await page.keyboard.press('Tab');
  assert.equal(await page.evaluate(() => document.activeElement.className), 'skip');
  await page.keyboard.press('Enter');
  await page.keyboard.press('Tab');
  assert.match(await page.evaluate(() => document.activeElement.className), /prompt/);
  await page.keyboard.type('a fox');
  await page.keyboard.press('Control+Enter');
  await page.locator('.shown').waitFor();
  await page.getByRole('button', { name: 'Vary' }).focus();
  await page.keyboard.press('Enter');
  await pictures(2);
  assert.equal(bodies.length, 2);
});

test('nothing moves by itself where less motion is wished', async (t) => {
  const { page, write, draw } = await open(t, { context: { reducedMotion: 'reduce' }, mock: { stepMs: 80 } });
  await write('a fox');
  await draw();
  await page.locator('.status.busy').waitFor();
  const moving = await page.evaluate(
    () => document.getAnimations().filter((a) => a.playState === 'running').length,
  );
  assert.equal(moving, 0);
});
