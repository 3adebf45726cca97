// The operator's page: behind the key, who is where, and having them leave.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { accessible } from './lib/axe.mjs';
import { meetings } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const KEY = '0123456789abcdef';
const kept = fs.mkdtempSync(path.join(os.tmpdir(), 'quilt-admin-data-'));
const meeting = meetings('admin', ['--api-key', KEY, '--data-dir', kept]);

meeting('with the key the operator sees everybody and has them leave', async (room) => {
  const red = await room.enter('red', { token: KEY });
  await until('red is in', async () => (await red.control('state').innerText()) === 'Connected');
  const green = await room.visit('green', '/admin');
  await green.control('key').fill('wrong');
  await green.control('unlock').click();
  await until('a wrong key is refused', async () => (await green.control('error').innerText()).includes('not the API key'));
  await accessible(green, 'the locked admin page');
  await green.control('key').fill(KEY);
  await green.control('unlock').click();
  await green.page.locator('[data-testid="admin-person"][data-name="Red"]').waitFor();
  await until('there are figures', async () => (await green.control('figures').innerText()).includes('MB'));
  await accessible(green, 'the admin page');
  const person = green.page.locator('[data-testid="admin-person"][data-name="Red"]');
  await until('it is told how red is reached', async () => (await person.innerText()).includes('WebSocket + Data channel'));
  await until('and who shares the encoder', async () => assert.match((await green.control('admin-encoder').allInnerTexts()).join(), /H264 1280×720, grid.*: Red/));
  const begun = await fetch(new URL(`/api/rooms/${room.name}/recordings`, room.server.url), {
    method: 'POST', headers: { authorization: `Bearer ${KEY}`, 'content-type': 'application/json' }, body: '{}',
  });
  assert.equal(begun.status, 201);
  await until('and that it is recorded', async () => assert.match((await green.control('admin-encoder').allInnerTexts()).join(), /Being recorded since/));
  await green.page.locator('[data-testid="admin-pipeline"][data-name="decode-opus"] button').first().click();
  await until('the graph is shown', async () => (await green.control('graph-dialog').innerText()).includes('digraph'));
  await accessible(green, 'the graph of a pipeline');
  assert.match(await green.control('graph-save').getAttribute('download'), /^decode-opus-\d+\.dot$/);
  await green.control('graph-close').click();
  green.page.on('dialog', (dialog) => void dialog.accept());
  await green.control('remove').click();
  await until('red is out', async () => (await red.page.locator('#goodbye-text').innerText()).includes('removed'));
  await until('the room is gone', async () => (await green.control('admin-room').count()) === 0);
});

meeting('without an invitation one is told so', async (room) => {
  const red = await room.enter('red');
  await until('red is told', async () => (await red.control('error').innerText()).includes('invitation'));
  assert.equal(await red.control('join').isVisible(), true);
});
