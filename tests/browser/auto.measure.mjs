// What people notice of a room that changes its way by itself, while two become six and two again:
// the topology at each step, and how long one who stays is not seen and not heard by another who
// does. It measures and is no test: the tests' pattern does not find it.
// `node --test tests/browser/auto.measure.mjs`, on a machine that does nothing else.

import assert from 'node:assert/strict';

import { PEOPLE } from './lib/media.mjs';
import { meetings } from './lib/meeting.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('auto', ['--topology', 'auto']);

// A choice that asks less of the server comes only after five seconds, and takes one to be shown.
const SETTLES = 9_000;

// Runs in the page: notes from now on the longest time without a new picture of a person, and
// without their tone, wherever the page shows and plays them at that moment.
function watch({ name, hz }) {
  const context = new AudioContext({ sampleRate: 48_000 });
  const ears = new Map();
  const tile = () => [...document.querySelectorAll('#gallery:not([hidden]) > li')].find((one) => one.dataset.name === name)?.querySelector('video');
  const shown = () => (document.body.classList.contains('in-gallery') ? tile() : document.querySelector('#mix'));
  const analyser = (stream) => {
    if (!ears.has(stream)) {
      const node = new AnalyserNode(context, { fftSize: 2048, smoothingTimeConstant: 0 });
      context.createMediaStreamSource(stream).connect(node);
      ears.set(stream, node);
    }
    return ears.get(stream);
  };
  const bins = new Float32Array(1024);
  const frames = new WeakMap();
  const now = performance.now();
  const gaps = (window.gaps = { seen: now, heard: now, sight: 0, sound: 0, stall: 0, last: now });
  void context.resume();
  // What is not on show yet is listened to already, as the page itself holds it ready.
  setInterval(() => {
    const now = performance.now();
    gaps.stall = Math.max(gaps.stall, now - gaps.last);
    gaps.last = now;
    for (const video of document.querySelectorAll('#mix, #gallery video')) if (video.srcObject?.getAudioTracks().length) analyser(video.srcObject);
    const video = shown();
    if (video) {
      const count = video.getVideoPlaybackQuality().totalVideoFrames;
      if (count > (frames.get(video) ?? 0)) gaps.seen = now;
      frames.set(video, count);
      if (!video.muted && video.srcObject?.getAudioTracks().length) {
        analyser(video.srcObject).getFloatFrequencyData(bins);
        const at = Math.round(hz / (48_000 / 2048));
        if (Math.max(...bins.subarray(at - 1, at + 2)) > -60) gaps.heard = now;
      }
    }
    gaps.sight = Math.max(gaps.sight, now - gaps.seen);
    gaps.sound = Math.max(gaps.sound, now - gaps.heard);
  }, 10);
}

meeting('two become six and two again', async (room) => {
  const red = await room.enter('red', { direct: 1 });
  await room.enter('green', { direct: 1 });
  const topology = () => red.page.evaluate(() => document.body.dataset.topology);
  await until('a mesh', async () => (await topology()) === 'mesh');
  await sleep(SETTLES);
  await red.page.evaluate(watch, { name: 'Green', hz: PEOPLE.green.hz });
  await until('green is seen and heard', async () => {
    const { seen, heard, last } = await red.page.evaluate(() => window.gaps);
    assert.ok(last - seen < 500 && last - heard < 500);
  });
  const step = async (what) => {
    await red.page.evaluate(() => Object.assign(window.gaps, { sight: 0, sound: 0, stall: 0 }));
    await what();
    await sleep(SETTLES);
    const { sight, sound, stall } = await red.page.evaluate(() => window.gaps);
    console.log(`${room.people.length} people: ${await topology()}, not seen for ${sight.toFixed(0)} ms, not heard for ${sound.toFixed(0)} ms (page busy for ${stall.toFixed(0)} ms)`);
  };
  await step(async () => {});
  const guests = [];
  for (const colour of ['blue', 'yellow', 'blue', 'yellow']) await step(async () => guests.push(await room.enter(colour, { direct: 1 })));
  while (guests.length) await step(() => guests.pop().close());
}, 400_000);
