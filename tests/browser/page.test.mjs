// The page before the meeting and around it: lobby, pre-join, languages, sizes, what it loads.

import assert from 'node:assert/strict';
import zlib from 'node:zlib';

import { accessible } from './lib/axe.mjs';
import { meetings, type } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('page');

// Issue 6: compressed JavaScript and CSS of the meeting page.
const PAGE_BYTES = 60 * 1024;

meeting('a private room is in no list, and the lobby remembers where one was', async (room) => {
  const red = await room.visit('red', '/');
  await red.control('private').check();
  const name = await red.control('room-name').inputValue();
  assert.match(name, /^_[a-z]+-[a-z]+-\d\d-[a-z0-9]{10}$/);
  await red.control('create').click();
  await type(red, 'Red');
  await red.control('join').click();
  await until('red is in', async () => (await red.control('state').innerText()) === 'Connected');
  const listed = await (await fetch(new URL('/api/rooms', room.server.url))).json();
  assert.deepEqual(listed.rooms, []);
  const known = await (await fetch(new URL(`/api/rooms/${name}`, room.server.url))).json();
  assert.deepEqual(known.names, ['Red']);
  // Who opened it is its host, and nobody else becomes so.
  await until('red is host', async () => red.page.locator('.person.host.me').count().then((n) => n === 1));
  const second = await fetch(new URL(`/api/rooms/${name}/host`, room.server.url), { method: 'POST' });
  assert.equal(second.status, 409);

  await red.control('leave').click();
  await red.control('lobby').click();
  await until('the lobby remembers', async () => (await red.control('recent-room').allInnerTexts()).includes(name));
  await accessible(red, 'the lobby');
  await red.control('share-new').click();
  await red.control('qr').waitFor();
  await accessible(red, 'the invitation');
  await red.page.keyboard.press('Escape');
  await red.control('forget').click();
  assert.equal(await red.control('recent-room').count(), 0);
});

meeting('before joining one chooses devices, hears and sees them, and may send sound only', async (room) => {
  const red = await room.visit('red', `/r/${room.name}`, { viewport: { width: 1280, height: 720 } });
  await until('the lists are filled', async () => (await red.control('choose-camera').first().locator('option').count()) > 1);
  await until('the level moves', async () => Number(await red.control('level').first().getAttribute('aria-valuenow')) > 20);
  await accessible(red, 'the pre-join screen');
  await type(red, 'Red');
  await red.control('audio-only').click();
  await until('red is in', async () => (await red.control('state').innerText()) === 'Connected');
  assert.equal(await red.control('camera').getAttribute('aria-pressed'), 'false');
  assert.equal(await red.control('mic').getAttribute('aria-pressed'), 'true');

  // Another microphone in the meeting: a new track, no new offer.
  const offers = await red.page.evaluate(() => {
    window.offers = 0;
    const peer = window.probe.peers.at(-1);
    const original = peer.setLocalDescription.bind(peer);
    peer.setLocalDescription = (...args) => ((window.offers += 1), original(...args));
    window.before = peer.getSenders().find(({ track }) => track?.kind === 'audio').track.id;
    return window.offers;
  });
  assert.equal(offers, 0);
  await red.control('more').click();
  await red.control('open-settings').click();
  const select = red.page.locator('#settings-microphone');
  await until('the list is filled', async () => (await select.locator('option').count()) > 1);
  await accessible(red, 'the settings');
  await select.selectOption({ index: 1 });
  await until('another track is sent', async () => red.page.evaluate(() => {
    const { track } = window.probe.peers.at(-1).getSenders().find((sender) => sender.track?.kind === 'audio') ?? {};
    return track !== undefined && track.id !== window.before;
  }));
  assert.equal(await red.page.evaluate(() => window.offers), 0);
});

meeting('every language fits a small telephone, in its own direction', async (room) => {
  for (const [locale, dir, join] of [['ar-EG', 'rtl', 'انضمام'], ['ko-KR', 'ltr', '참가'], ['de-DE', 'ltr', 'Teilnehmen'], ['fr-FR', 'ltr', 'Join']]) {
    const look = { locale, viewport: { width: 320, height: 640 }, colorScheme: dir === 'rtl' ? 'dark' : 'light' };
    const red = await room.visit('red', `/r/${room.name}`, look);
    await red.control('join').waitFor();
    assert.equal((await red.control('join').innerText()).trim(), join);
    assert.equal(await red.page.evaluate(() => document.documentElement.dir), dir);
    await type(red, 'Red');
    await red.control('join').click();
    await until('red is in', async () => red.page.evaluate(() => document.body.dataset.state === 'connected'));
    await red.control('chat').click();
    const wide = await red.page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
    assert.ok(wide <= 0, `${locale}: ${wide} px too wide`);
    for (const name of ['mic', 'camera', 'chat', 'more', 'leave']) {
      const box = await red.control(name).boundingBox();
      assert.ok(box && box.x >= 0 && box.x + box.width <= 320 && box.width >= 40 && box.height >= 40, `${locale}: ${name} ${JSON.stringify(box)}`);
    }
    await accessible(red, `the chat in ${locale}`);
    await red.control('leave').click();
    await red.control('goodbye').waitFor();
    await accessible(red, `goodbye in ${locale}`);
    await red.close();
  }
});

meeting('the page asks nobody but its server, runs no inline script, and is small', async (room) => {
  // From a page without files, so that none is in the browser's cache.
  const red = await room.visit('red', '/healthz');
  const asked = [];
  const bodies = [];
  red.page.on('request', (request) => asked.push(request.url()));
  red.page.on('response', (response) => {
    if (/\.(js|css)$/.test(new URL(response.url()).pathname)) bodies.push(response);
  });
  await red.page.goto(new URL(`/r/${room.name}?name=Red&join=1`, room.server.url).href);
  await until('red is in', async () => (await red.control('state').innerText()) === 'Connected');
  const origin = new URL(room.server.url).origin;
  for (const url of asked) assert.ok([origin, 'data:', 'blob:'].some((start) => url.startsWith(start)), url);
  for (const response of bodies) assert.equal(response.headers()['content-encoding'], 'br', response.url());
  const sizes = await Promise.all(bodies.map(async (response) => zlib.brotliCompressSync(await response.body()).length));
  const bytes = sizes.reduce((sum, size) => sum + size, 0);
  assert.ok(sizes.length > 20, `${sizes.length} files`);
  assert.ok(bytes <= PAGE_BYTES, `${bytes} bytes`);
  const policy = (await fetch(new URL('/', room.server.url))).headers.get('content-security-policy');
  assert.match(policy, /script-src 'self'/);
  assert.doesNotMatch(policy, /unsafe/);
});

meeting('an address that is no room has a way out', async (room) => {
  const red = await room.visit('red', '/r/a%20b');
  await red.control('nowhere').waitFor();
  await accessible(red, 'the page of no room');
});

meeting('where sound needs a click there is a button for it', async (room) => {
  const red = await room.visit('red', '/');
  // As a browser does that has never been clicked in: no sound, but a silent picture may play.
  await red.page.addInitScript(() => {
    const play = HTMLMediaElement.prototype.play;
    HTMLMediaElement.prototype.play = function () {
      return this.muted || window.clicked ? play.call(this) : Promise.reject(new DOMException('', 'NotAllowedError'));
    };
  });
  await red.page.goto(new URL(`/r/${room.name}?name=Red&join=1`, room.server.url).href);
  await red.control('start-sound').waitFor();
  assert.equal(await red.page.locator('#mix').evaluate((mix) => mix.muted), true);
  await red.page.evaluate(() => {
    window.clicked = true;
  });
  await red.control('start-sound').click();
  await until('it plays aloud', async () => red.page.locator('#mix').evaluate((mix) => !mix.muted && !mix.paused));
});

meeting('the page on sharing says what others miss, and tries whether media gets through', async (room) => {
  const red = await room.visit('red', '/help/share');
  const verdicts = () => red.control('check').evaluateAll((all) => all.map(({ dataset }) => dataset.verdict));
  // Of this server: no HTTPS, for this machine only, media too, no public address, no TURN.
  await until('media got through', async () => {
    assert.deepEqual(await verdicts(), ['missing', 'missing', 'missing', 'perhaps', 'perhaps', 'fine']);
  });
  await accessible(red, 'the page on sharing');
});
