// A proxy refuses WebSockets: meetings go on all the same, by requests and an event stream.

import assert from 'node:assert/strict';
import { after } from 'node:test';

import { meetings, sees } from './lib/meeting.mjs';
import { startProxy } from './lib/proxy.mjs';
import { until } from './lib/wait.mjs';

const proxies = [];
const meeting = meetings('proxy');
after(() => Promise.all(proxies.map((proxy) => proxy.close())));

// Everybody but red is behind the proxy.
async function behind(room, upgrade) {
  const proxy = await startProxy(room.server.url, upgrade);
  proxies.push(proxy);
  room.url = (colour) => (colour === 'red' ? room.server.url : proxy.url);
  return proxy;
}

async function path(person) {
  await person.control('more').click();
  await person.control('open-stats').click();
  const shown = person.page.locator('#stats-more', { hasText: 'Messages by' });
  await shown.waitFor();
  const text = await shown.innerText();
  await person.page.keyboard.press('Escape');
  return text;
}

meeting('who is behind it meets, writes, is muted, and comes back after its connections were cut', async (room) => {
  const proxy = await behind(room, 'refused');
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  await sees(green, ['red']);
  assert.match(await path(green), /HTTP, for the network refuses WebSockets/);
  assert.match(await path(red), /WebSocket/);
  assert.equal(proxy.upgrades.length, 1);
  await green.page.keyboard.press('c');
  await green.control('chat-input').fill('from behind the wall');
  await green.control('chat-input').press('Enter');
  await red.page.keyboard.press('c');
  await until('red reads it', async () => (await red.control('chat-log').innerText()).includes('behind the wall'));

  const who = await red.page.locator('[data-testid="person"][data-name="Green"]').getAttribute('data-id');
  proxy.cut();
  await red.control('chat-input').fill('still there?');
  await red.control('chat-input').press('Enter');
  await until('green reads on', async () => (await green.control('chat-log').innerText()).includes('still there?'));
  await green.control('chat-input').fill('yes');
  await green.control('chat-input').press('Enter');
  await until('red reads on', async () => (await red.control('chat-log').innerText()).includes('yes'));
  const people = red.page.locator('[data-testid="person"]');
  assert.equal(await people.count(), 2);
  assert.equal(await people.nth(1).getAttribute('data-id'), who, 'as the same person');
  await green.control('leave').click();
  await until('green has left', async () => (await people.count()) === 1);
});

meeting('an upgrade that is never answered holds nobody up for long', async (room) => {
  await behind(room, 'ignored');
  const red = await room.enter('red', { view: 1 });
  const green = await room.enter('green');
  await until('green is in', async () => (await green.control('state').innerText()) === 'Connected', 15_000);
  await sees(red, ['green']);
  // A window that is closed has left, at once.
  await green.page.close({ runBeforeUnload: true });
  await until('green is not in any more', async () => assert.equal(await room.server.metric('quilt_participants'), 0), 4_500);
  await sees(red, []);
});
