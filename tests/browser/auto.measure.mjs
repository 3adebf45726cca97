// What people notice of a room that changes its way by itself, while two become six and two again:
// the topology at each step, and how long one who stays is not seen and not heard by another who
// does. It measures and is no test: the tests' pattern does not find it.
// `node --test tests/browser/auto.measure.mjs`, on a machine that does nothing else.

import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';

import { PEOPLE } from './lib/media.mjs';
import { meetings } from './lib/meeting.mjs';
import { program } from './lib/server.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('auto', ['--topology', 'auto']);

// A choice that asks less of the server comes only after five seconds, and takes one to be shown.
const SETTLES = 9_000;

// Runs in the page: notes from now on the longest time without a new picture of a person, and
// without their tone, wherever the page shows and plays them at that moment. Sound is read with its
// own times, so that a page that stands for a moment is not taken for one that is silent.
function watch({ name, hz }) {
  const gallery = () => document.body.classList.contains('in-gallery');
  const tile = () => [...document.querySelectorAll('#gallery > li')].find((one) => one.dataset.name === name);
  const shown = () => (gallery() ? tile()?.querySelector('video:not(.coming)') : document.querySelector('#mix'));
  const now = performance.now();
  const gaps = (window.gaps = { seen: now, heard: now, sight: 0, sound: 0, stall: 0, last: now, late: Infinity });

  const played = []; // Which track is heard, from when on.
  const select = () => {
    const video = shown();
    const track = video && !video.muted ? (video.srcObject?.getAudioTracks()[0] ?? null) : null;
    if (played.at(-1)?.track !== track) played.push({ track, from: performance.now() });
  };
  const tracks = new Set();
  const listen = async (track) => {
    if (!track || tracks.has(track)) return;
    tracks.add(track);
    const reader = new MediaStreamTrackProcessor({ track, maxBufferSize: 500 }).readable.getReader();
    for (;;) {
      const { value, done } = await reader.read();
      if (done) return;
      const samples = new Float32Array(value.numberOfFrames);
      value.copyTo(samples, { planeIndex: 0, format: 'f32-planar' });
      gaps.late = Math.min(gaps.late, performance.now() - value.timestamp / 1000); // Of two clocks.
      const at = value.timestamp / 1000 + gaps.late;
      const turn = (2 * Math.PI * hz) / value.sampleRate;
      value.close();
      let [re, im] = [0, 0];
      samples.forEach((sample, n) => { re += sample * Math.cos(turn * n); im += sample * Math.sin(turn * n); });
      const loud = (2 * Math.hypot(re, im)) / samples.length > 0.005;
      if (loud && played.findLast(({ from }) => from <= at)?.track === track) {
        gaps.sound = Math.max(gaps.sound, at - gaps.heard);
        gaps.heard = Math.max(gaps.heard, at);
      }
    }
  };
  new MutationObserver(select).observe(document.body, { attributeFilter: ['data-downlink'] });

  const frames = new WeakMap();
  setInterval(() => {
    const now = performance.now();
    gaps.stall = Math.max(gaps.stall, now - gaps.last);
    gaps.last = now;
    select();
    // What is not on show yet is listened to already, as the page itself holds it ready.
    for (const video of document.querySelectorAll('#mix, #gallery video')) void listen(video.srcObject?.getAudioTracks()[0]);
    const video = shown();
    if (video) {
      const count = video.getVideoPlaybackQuality().totalVideoFrames;
      if (count > (frames.get(video) ?? 0)) gaps.seen = now;
      frames.set(video, count);
    }
    gaps.sight = Math.max(gaps.sight, now - gaps.seen);
  }, 10);
}

// Somebody more, who is no browser: six of those would be all that two cores do.
function guest({ url }, room) {
  const all = ['load', '--url', url, '--room', room, '--publishers', '1', '--seconds', '600'];
  return spawn(program, all, { stdio: 'ignore' });
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
    console.log(`${await red.control('person').count()} people: ${await topology()}, not seen for ${sight.toFixed(0)} ms, not heard for ${sound.toFixed(0)} ms (page busy for ${stall.toFixed(0)} ms)`);
  };
  await step(async () => {});
  const guests = [];
  const there = async () => assert.equal(await red.control('person').count(), guests.length + 2);
  try {
    for (let n = 0; n < 4; n++) {
      await step(async () => {
        guests.push(guest(room.server, room.name));
        await until('they are in', there);
      });
    }
    while (guests.length) {
      await step(async () => {
        guests.pop().kill();
        await until('they are gone', there, 40_000);
      });
    }
  } finally {
    for (const child of guests) child.kill();
  }
}, 400_000);
