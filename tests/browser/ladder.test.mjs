// A browser whose line is narrow from the first packet on gets what the line bears, and climbs
// rung by rung as it gets wider. The line is the browser's own emulation, which WebRTC heeds if it
// was set before the connection; unlike `line.test.mjs` this needs no rights.

import assert from 'node:assert/strict';

import { hears, meetings, sees } from './lib/meeting.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('ladder');

// A rung is left within seconds, and proven upwards within 30 s (issue 4). The emulated line loses
// nothing and has a queue without an end, so what is in it has to drain first, at what the smaller
// picture leaves free; and a busy machine adds some. In ms.
const DOWN = 40_000;
// A proof that fails is tried again 16 s later, and there are two rungs.
const UP = 80_000;
// How long a rung must hold, ms.
const CALM = 6_000;

// Lets the page's line carry so many kbit/s; none: all there are.
async function line(session, kbits) {
  await session.send('Network.emulateNetworkConditions', {
    offline: false, latency: 0, uploadThroughput: -1, downloadThroughput: kbits ? kbits * 125 : -1,
  });
}

// Waits until the mix is so wide; how long that took, ms.
async function becomes(person, width, within) {
  const began = Date.now();
  await until(`the mix is ${width} wide`, async () => assert.equal((await person.stats()).video[0]?.width, width), within);
  return Date.now() - began;
}

// Fails unless the mix comes to stay so wide, and pictures come.
async function stays(person, width) {
  await until(`it stays ${width} wide`, () => holds(person, width), DOWN);
}

async function holds(person, width) {
  const [before] = (await person.stats()).video;
  for (const end = Date.now() + CALM; Date.now() < end; await sleep(500)) {
    assert.equal((await person.stats()).video[0].width, width);
  }
  const [after] = (await person.stats()).video;
  const rate = ((after.framesDecoded - before.framesDecoded) * 1_000) / CALM;
  assert.ok(rate > 4, `${rate} pictures a second`);
}

meeting('the line decides on the rung, from the first packet on and later', async (room) => {
  // What is easily encoded would pass the narrow line as it is. Nobody else gets pictures, so that a
  // small machine makes all of red's.
  await room.enter('green', { quality: 'audio' }, { size: { width: 640, height: 360, grain: 24 } });
  const red = await room.visit('red', '/healthz');
  const session = await red.context.newCDPSession(red.page);
  await session.send('Network.enable');
  await line(session, 900);
  await red.page.goto(new URL(`/r/${room.name}?name=Red&join=1&processing=0&video=0`, room.server.url).href);
  await red.plays();

  const medium = await becomes(red, 640, DOWN);
  await stays(red, 640);
  await line(session, 300);
  const low = await becomes(red, 320, DOWN);
  await stays(red, 320);
  await hears(red, ['green']);
  await line(session);
  const high = await becomes(red, 1280, UP);
  await sees(red, ['green']);
  console.log(`medium after ${medium} ms at 900 kbit/s, low ${low} ms after 300, high ${high} ms after the end`);
}, 400_000);
