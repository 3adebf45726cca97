// What the running meeting costs, as its people see it: true in a mixed and in a forwarded room.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import { after } from 'node:test';

import { accessible } from './lib/axe.mjs';
import { meetings, sees } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

// No report that somebody made in this folder.
const data = fs.mkdtempSync(path.join(os.tmpdir(), 'quilt-costs-data-'));
const meeting = meetings('costs', ['--data-dir', data]);
after(() => fs.rmSync(data, { recursive: true }));

async function configure(room, change) {
  await until('the room is there', async () => (await fetch(new URL(`/api/rooms/${room.name}`, room.server.url))).ok);
  const answer = await fetch(new URL(`/api/rooms/${room.name}`, room.server.url), {
    method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(change),
  });
  assert.equal(answer.status, 200, await answer.text());
}

// The panel's cells by quantity, as numbers: what this page measured, the mean of all, and the other ways in their order.
async function figures(person) {
  const rows = await person.page.evaluate(() => Object.fromEntries([...document.querySelectorAll('#costs tr[data-quantity]')]
    .map((row) => [row.dataset.quantity, [...row.querySelectorAll('td')].map((cell) => cell.textContent)])));
  return Object.fromEntries(Object.entries(rows).map(([quantity, cells]) => [quantity, cells.map((text) => (text === '–' ? null : Number(text.replaceAll(',', ''))))]));
}

const fact = (person, quantity) => person.page.locator(`#costs dl [data-quantity="${quantity}"] dd`).innerText();

// Bytes that the browser itself counts of media over some seconds, kbit/s.
async function received(person, ms = 4_000) {
  const bytes = async () => {
    const { audio, video } = await person.stats();
    return [...audio, ...video].reduce((sum, stream) => sum + stream.bytesReceived, 0);
  };
  const [before, began] = [await bytes(), performance.now()];
  await new Promise((resolve) => setTimeout(resolve, ms));
  return (((await bytes()) - before) * 8) / (performance.now() - began);
}

// What is shown is what the browser counted, and what goes with it on the wire: never less, and not much more.
function like(shown, counted, what) {
  assert.ok(shown > counted * 0.75 && shown < counted * 1.5 + 80, `${what}: ${shown} is shown, ${counted} kbit/s of media came`);
}

meeting('the cost panel is true where media is mixed, and where it is forwarded', async (room) => {
  const red = await room.enter('red', {}, { viewport: { width: 1280, height: 800 } });
  const green = await room.enter('green');
  const blue = await room.enter('blue');
  await sees(red, ['green', 'blue']);
  // By keys alone.
  await red.page.keyboard.press('i');
  await red.control('costs-tab').focus();
  await red.page.keyboard.press('Enter');
  await red.page.locator('#costs table').waitFor();
  await until('streams and rates of a mixed meeting', async () => {
    const counted = await received(red);
    const now = await figures(red);
    assert.deepEqual(now.uplinks, [1, 1, 2, 1], 'me, all, mesh, sfu');
    assert.deepEqual(now.downlinks, [1, 1, 2, 2]);
    like(now.client_kbps_down[0], counted, 'mine');
    const [mine, mean, mesh, sfu] = now.client_kbps_up;
    assert.ok(mine > 50 && mean > 50, `${mine} and ${mean}`);
    assert.ok(Math.abs(mesh / mean - 2) < 0.1 && Math.abs(sfu / mean - 1) < 0.1, `${now.client_kbps_up}`);
    assert.equal(now.server_kbps_out.length, 3);
    assert.equal(now.server_kbps_out[1], 0, 'a mesh needs no server');
  }, 40_000);
  assert.match(await fact(red, 'topology'), /MCU/);
  assert.match(await fact(red, 'seen_by'), /mixes/);
  assert.match(await fact(red, 'mixing'), /^\d+ ms; 95 % within \d+ ms$/);
  assert.match(await fact(red, 'server_cores'), /^\d+\.?\d* cores?$/);
  assert.match(await fact(red, 'decoders'), /^pictures 3, sound \d/);
  if (process.env.QUILT_SHOTS) await red.page.screenshot({ path: `${process.env.QUILT_SHOTS}/mcu-1280.png` });
  await accessible(red, 'the cost panel');

  await configure(room, { topology: 'sfu' });
  await until('streams and rates of a forwarded meeting', async () => {
    const counted = await received(red);
    const now = await figures(red);
    assert.deepEqual(now.uplinks, [1, 1, 2, 1], 'me, all, mesh, mcu');
    assert.deepEqual(now.downlinks, [2, 2, 2, 1]);
    like(now.client_kbps_down[0], counted, 'mine, of both connections');
    like(now.client_kbps_down[1], counted, 'the mean');
  }, 40_000);
  assert.match(await fact(red, 'topology'), /SFU/);
  assert.match(await fact(red, 'seen_by'), /forwards/);
  assert.match(await fact(red, 'forwarding'), /^[\d.]+ ms; 95 % within [\d.]+ ms$/);
  assert.equal(await fact(red, 'encoders'), 'pictures 0, sound 0');
  if (process.env.QUILT_SHOTS) await red.page.screenshot({ path: `${process.env.QUILT_SHOTS}/sfu-1280.png` });
  // The statistics count all connections, too.
  await red.control('connection-tab').click();
  const video = red.page.locator('#stats-rows tr').first();
  await until('two pictures come', async () => assert.match(await video.innerText(), /2 × \d+×\d+/));
  await red.control('costs-tab').click();
  // Nobody has measured here: the page says how.
  const [report] = await Promise.all([red.context.waitForEvent('page'), red.page.locator('#costs a').click()]);
  await report.locator('[data-testid="no-report"]').waitFor();
  assert.match(await report.locator('pre').innerText(), /quilt tradeoff/);
  if (process.env.QUILT_SHOTS) await report.screenshot({ path: `${process.env.QUILT_SHOTS}/none.png` });
  for (const one of [green, blue]) await one.close();
});

meeting('the cost panel is true where media goes from page to page', async (room) => {
  const direct = { direct: 1 };
  const red = await room.enter('red', direct, { viewport: { width: 1280, height: 800 } });
  await configure(room, { topology: 'mesh' });
  await room.enter('green', direct);
  await room.enter('blue', direct);
  await red.page.keyboard.press('i');
  await red.control('costs-tab').click();
  await until('streams and rates of a mesh', async () => {
    const counted = await received(red);
    const now = await figures(red);
    // Only the pages know what goes between them: there is no mean.
    assert.deepEqual(now.uplinks, [2, null, 1, 1], 'me, all, sfu, mcu');
    assert.deepEqual(now.downlinks, [2, null, 2, 1]);
    const [mine, mean, sfu, mcu] = now.client_kbps_up;
    assert.ok(mine > 100, `${mine}`);
    assert.equal(mean, null);
    for (const way of [sfu, mcu]) assert.ok(Math.abs(mine / way - 2) < 0.1, `${now.client_kbps_up}`);
    like(now.client_kbps_down[0], counted, 'mine, of both connections');
    assert.ok(now.server_kbps_out[0] < 20, `the server sends ${now.server_kbps_out[0]} kbit/s`);
  }, 40_000);
  assert.match(await fact(red, 'topology'), /mesh/i);
  assert.match(await fact(red, 'seen_by'), /only those in the meeting/);
  assert.equal(await fact(red, 'encoders'), 'pictures 0, sound 0');
  assert.equal(await fact(red, 'decoders'), 'pictures 0, sound 0');
  if (process.env.QUILT_SHOTS) await red.page.screenshot({ path: `${process.env.QUILT_SHOTS}/mesh-1280.png` });
});
