// A line that gets narrow costs its owner size and rate, not the meeting; nobody else notices.

import assert from 'node:assert/strict';

import { meetings, hears, sees } from './lib/meeting.mjs';
import { Network } from './lib/network.mjs';
import { sleep, until } from './lib/wait.mjs';

const network = new Network();
const meeting = meetings('line', ['--listen', '0.0.0.0:0', '--rtc-listen', '0.0.0.0:0'], network.world());

// What a busy machine may add, ms.
const BUSY = 1_000;

// When pictures of the mix were shown from now on, and how wide they were.
async function watch(person) {
  await person.page.evaluate(() => {
    const video = document.querySelector('video#mix');
    window.shown = [];
    const note = () => {
      window.shown.push([Date.now(), video.videoWidth]);
      video.requestVideoFrameCallback(note);
    };
    video.requestVideoFrameCallback(note);
  });
}

const shown = async (person) => person.page.evaluate(() => window.shown);

// Milliseconds from `since` until pictures of this width came.
async function becomes(person, width, since, within) {
  return until(`${person.colour} gets ${width} pixels`, async () => {
    const pictures = await shown(person);
    const [at, is] = pictures.at(-1) ?? [];
    assert.equal(is, width);
    return pictures.findLast(([, other]) => other !== width)?.[0] - since || at - since;
  }, within);
}

meeting('300 kbit/s are enough for a small picture and for sound, and their end brings all back', async (room) => {
  const red = await room.enter('red');
  // What is easily encoded would pass the narrow line as it is.
  const green = await room.enter('green', {}, { size: { width: 640, height: 360, grain: 24 } });
  await sees(red, ['green']);
  await sees(green, ['red']);
  await watch(red);
  const [before] = (await green.stats()).video;

  network.narrow(0, '300kbit');
  const narrowed = Date.now();
  try {
    const lowered = await becomes(red, 320, narrowed, 5_000 + BUSY);
    await hears(red, ['green']);
    await sleep(6_000);
    const calm = (await shown(red)).filter(([at]) => at > narrowed + lowered + BUSY);
    const gaps = calm.slice(1).map(([at], n) => at - calm[n][0]);
    const rate = (1_000 * gaps.length) / (calm.at(-1)[0] - calm[0][0]);
    console.log(`low after ${lowered} ms; then ${rate.toFixed(1)} pictures a second, ${Math.max(...gaps)} ms apart at most`);
    assert.ok(Math.max(...gaps) < 1_000, 'no freeze');
    assert.ok(rate > 7, `${rate} pictures a second`);
    assert.ok(calm.every(([, width]) => width === 320), 'and no swinging');
  } finally {
    network.widen(0);
  }
  const widened = Date.now();
  const raised = await becomes(red, 1280, widened, 30_000 + BUSY);
  console.log(`high again after ${raised} ms`);
  await sees(red, ['green']);

  const [after] = (await green.stats()).video;
  assert.equal(after.width, before.width);
  assert.equal(after.keyframes, before.keyframes, 'nobody else gets a keyframe because of it');
});
