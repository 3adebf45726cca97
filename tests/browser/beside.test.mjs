// Beside the picture: by which way words go, files, and the door.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';

import { accessible } from './lib/axe.mjs';
import { meetings, sees, type } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('beside');

const connected = (person) => until(`${person.colour} is in`, async () => (await person.control('state').innerText()) === 'Connected');
const log = (person) => person.control('chat-log').innerText();

async function write(person, text) {
  await person.control('chat-input').fill(text);
  await person.control('chat-input').press('Enter');
}

// How many messages their data channels have carried.
const carried = (person) => person.page.evaluate(async () => {
  const report = await window.probe.peers.at(-1).getStats();
  const channels = [...report.values()].filter(({ type }) => type === 'data-channel');
  return channels.reduce(([sent, received], one) => [sent + one.messagesSent, received + one.messagesReceived], [0, 0]);
});

const opened = (person) => person.page.evaluate(async () => {
  const report = await window.probe.peers.at(-1).getStats();
  return [...report.values()].some(({ type, state }) => type === 'data-channel' && state === 'open');
});

// Somebody with a script of their own, who opens channels as nobody should.
async function opensChannels(room) {
  const socket = new WebSocket(`${location.origin.replace('http', 'ws')}/api/rooms/${room}/ws`);
  const answers = new Map();
  const bye = new Promise((resolve) => {
    socket.onmessage = ({ data }) => {
      const message = JSON.parse(data);
      if (message.type === 'bye') resolve(message.reason);
      answers.get(message.id)?.(message);
    };
  });
  await new Promise((resolve) => (socket.onopen = resolve));
  let last = 0;
  const ask = (command) => new Promise((resolve) => {
    last += 1;
    answers.set(last, resolve);
    socket.send(JSON.stringify({ id: last, ...command }));
  });
  await ask({ type: 'join', name: 'Eve', audio: false, video: false });
  const peer = new RTCPeerConnection();
  peer.addTransceiver('audio', { direction: 'recvonly' });
  const other = peer.createDataChannel('other');
  const loose = peer.createDataChannel('talk', { ordered: false });
  const closed = [other, loose].map((channel) => new Promise((resolve) => (channel.onclose = () => resolve('closed'))));
  await peer.setLocalDescription();
  const { sdp } = await ask({ type: 'offer', sdp: peer.localDescription.sdp });
  await peer.setRemoteDescription({ type: 'answer', sdp });
  const found = { closed: await Promise.all(closed), answers: [] };
  const talk = peer.createDataChannel('talk');
  const heard = [];
  talk.onmessage = ({ data }) => heard.shift()?.(JSON.parse(data));
  await new Promise((resolve) => (talk.onopen = resolve));
  for (const message of ['{"id":70,"type":"ping"}', '{"id":71,"type":"dance"}', new Uint8Array([1, 2, 3]), '{"id":72,"type":"chat","text":"\\u0007"}']) {
    const answer = new Promise((resolve) => heard.push(resolve));
    talk.send(message);
    const { type, id, code } = await answer;
    found.answers.push([type, id, code]);
  }
  try {
    talk.send('x'.repeat(17_000));
    found.large = 'taken';
  } catch (error) {
    found.large = error.name;
  }
  for (let n = 0; n < 20; n += 1) peer.createDataChannel(`more-${n}`);
  found.bye = await bye;
  peer.close();
  return found;
}

meeting('chat goes by the data channel, and who opens other channels is refused', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  await red.page.keyboard.press('c');
  await green.page.keyboard.press('c');
  for (const one of [red, green]) await until(`${one.colour} has a channel`, () => opened(one));
  await write(red, 'by the channel');
  await until('green reads it', async () => (await log(green)).includes('by the channel'));
  await until('the line went by the channel, and its acknowledgement', async () => {
    assert.deepEqual([await carried(red), await carried(green)], [[1, 2], [0, 1]]);
  });
  await red.control('stats').click();
  await red.page.locator('#stats-more', { hasText: 'Data channel' }).waitFor();
  // Without the channel by the socket.
  await green.page.evaluate(() => {
    Object.defineProperty(RTCDataChannel.prototype, 'readyState', { get: () => 'closed' });
  });
  await write(green, 'by the socket');
  await until('red reads it', async () => (await log(red)).includes('by the socket'));
  assert.equal((await carried(green))[0], 0);

  const eve = await room.visit('red', '/');
  const found = await eve.page.evaluate(opensChannels, room.name);
  assert.deepEqual(found, {
    closed: ['closed', 'closed'],
    answers: [['ack', 70, undefined], ['error', 71, 'bad_message'], ['error', undefined, 'bad_message'], ['error', 72, 'bad_text']],
    large: 'TypeError',
    bye: 'sends_too_much',
  });
  await write(red, 'undisturbed');
  await until('green reads on', async () => (await log(green)).includes('undisturbed'));
});

meeting('a file reaches those present, as a download under a safe name', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  const blue = await room.enter('blue', { view: 1 });
  await connected(red);
  await connected(green);
  await connected(blue);
  for (const person of [red, green]) await person.page.keyboard.press('c');
  const send = (person, name, buffer) => person.control('chat-file-input').setInputFiles({ name, mimeType: 'text/html', buffer });
  const page = Buffer.from('<script>document.title = "no"</script>');
  await send(red, '<img src=x onerror=alert(1)>\u202egpj.html', page);
  const [link] = [green.control('file')];
  await link.waitFor();
  assert.equal(await link.innerText(), '_img src=x onerror=alert(1)_gpj.html');
  await accessible(green, 'a file in the chat');
  const coming = green.page.waitForEvent('download');
  await link.click();
  const download = await coming;
  assert.equal(download.suggestedFilename(), '_img src=x onerror=alert(1)_gpj.html');
  const saved = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'quilt-file-')), 'saved');
  await download.saveAs(saved);
  assert.deepEqual(fs.readFileSync(saved), page);
  fs.rmSync(path.dirname(saved), { recursive: true });
  const url = await link.getAttribute('href');
  const answer = await fetch(new URL(url, room.server.url));
  assert.deepEqual(
    ['content-type', 'x-content-type-options', 'cache-control'].map((name) => answer.headers.get(name)),
    ['application/octet-stream', 'nosniff', 'no-store'],
  );
  assert.match(answer.headers.get('content-disposition'), /^attachment; /);

  // For one only, and the largest there may be.
  await green.control('chat-to').selectOption({ label: 'Red' });
  const large = Buffer.alloc(10_000_000, 'quilt');
  await send(green, 'large.bin', large);
  const own = red.page.locator('.chat-line.direct', { hasText: 'large.bin' });
  await own.waitFor();
  assert.match(await own.innerText(), /10\.0 MB/);
  const body = await fetch(new URL(await own.locator('a').getAttribute('href'), room.server.url));
  assert.ok(Buffer.from(await body.arrayBuffer()).equals(large));
  await send(green, 'larger.bin', Buffer.alloc(10_000_001));
  await until('green is told', async () => (await green.page.locator('#chat-problem').innerText()).includes('at most 10.0 MB'));
  assert.equal(await green.control('sending').count(), 0);
  // Newcomers have the chat, but no files.
  await write(red, 'that was all');
  await blue.close();
  room.people.splice(room.people.indexOf(blue), 1);
  const late = await room.enter('blue');
  await connected(late);
  await late.page.keyboard.press('c');
  await until('blue reads it', async () => (await log(late)).includes('that was all'));
  assert.equal(await late.control('file').count(), 0);
});

meeting('newcomers wait until the host lets them in', async (room) => {
  const host = await room.visit('red', '/');
  await host.control('room-name').fill(room.name);
  await host.control('create').click();
  await type(host, 'Red');
  await host.control('join').click();
  await connected(host);
  await host.control('people-toggle').click();
  await host.control('hold').click();
  await until('newcomers wait', async () => (await host.control('hold').innerText()) === 'Let newcomers in at once');

  const green = await room.enter('green');
  await green.control('waiting').waitFor();
  assert.equal(await green.control('state').innerText(), 'Waiting to be let in');
  assert.equal(await green.control('person').count(), 0);
  await accessible(green, 'the waiting room');
  const waiter = host.page.locator('[data-testid="waiter"][data-name="Green"]');
  await waiter.waitFor();
  await until('the host is told', async () => (await host.control('notice').innerText()).includes('Green waits to be let in'));
  await accessible(host, 'the list of who waits');
  const blue = await room.enter('blue');
  await host.control('admit-all').waitFor();
  await host.page.locator('[data-testid="waiter"][data-name="Blue"]').getByRole('button', { name: 'Turn away: Blue' }).click();
  await until('blue is told', async () => (await blue.page.locator('#goodbye-text').innerText()).includes('not let you in'));
  await blue.control('rejoin').click();
  await until('and told again', async () => (await blue.control('error').innerText()).includes('not let you in'));
  assert.equal(await blue.control('join').isVisible(), true, 'no dead end');

  await waiter.getByRole('button', { name: 'Let in: Green' }).click();
  await sees(host, ['green']);
  assert.equal(await host.control('waiting-list').count(), 0);
  // Who was in comes back without asking.
  await green.page.reload();
  await until('green is in again', async () => (await host.control('person').count()) === 2);
  await sees(host, ['green']);
  assert.equal(await green.control('waiting').count(), 0);
});
