// The server is started anew under a meeting: the page says so, and comes back by itself.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { type } from './lib/meeting.mjs';
import { Browser } from './lib/participant.mjs';
import { startServer } from './lib/server.mjs';
import { until } from './lib/wait.mjs';

// Promised are 5 s from the restart; this machine may be busy.
const BACK_WITHIN = 15_000;

let folder;
let browser;
before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'quilt-comeback-'));
  browser = await Browser.start(folder, 'red');
});
after(async () => {
  await browser.close();
  fs.rmSync(folder, { recursive: true });
});

test('after a restart everybody is back as who they were', { timeout: 120_000 }, async () => {
  const kept = ['--data-dir', path.join(folder, 'data')];
  let server = await startServer(folder, kept);
  try {
    const { host } = new URL(server.url);
    const red = await browser.open(server.url);
    const state = async () => red.control('state').innerText();
    const isHost = async () => (await red.page.locator('.person.host.me').count()) === 1;
    await red.control('create').click();
    await type(red, 'Red');
    await red.control('join').click();
    await until('red is in', async () => {
      assert.equal(await state(), 'Connected', await red.control('error').innerText());
    }, 30_000);
    await until('red is host', isHost);
    await red.page.keyboard.press('m');

    await server.stop();
    await until('the page says so', async () => /lost/i.test(await state()));
    server = await startServer(folder, [...kept, '--listen', host]);
    await until('red is back', async () => (await state()) === 'Connected', BACK_WITHIN);
    await until('and host', isHost);
    assert.equal(await red.control('mic').getAttribute('aria-pressed'), 'false', 'and still muted');
    assert.equal(await server.metric('quilt_participants'), 1, 'and there once');
    await red.plays();
    assert.deepEqual(red.faults(), []);
    await red.close();
  } finally {
    await server.stop();
  }
});
