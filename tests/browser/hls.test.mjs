// HLS in hls.js, on a page of another origin: it plays, shows and sounds as the room does, and is not
// far behind it.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import { createRequire } from 'node:module';
import { after } from 'node:test';

import { PEOPLE } from './lib/media.mjs';
import { meetings } from './lib/meeting.mjs';
import { sleep, until } from './lib/wait.mjs';

// Issue 5: latency at most 6 s.
const BEHIND = 6_000;

const library = createRequire(import.meta.url).resolve('hls.js/dist/hls.min.js');

const script = `
  const [address] = location.hash.slice(1).split('|');
  const video = document.querySelector('#mix');
  const faults = [];
  const hls = new Hls();
  hls.on(Hls.Events.ERROR, (_, error) => {
    // That it had to wait for more is no fault of what it got; it is measured how far it goes on.
    if (error.fatal || error.details !== 'bufferStalledError') faults.push(error.details + ': ' + error.error?.message);
  });
  hls.loadSource(address);
  hls.attachMedia(video);
  const ears = new AudioContext({ sampleRate: 48000 });
  const analyser = new AnalyserNode(ears, { fftSize: 16384, smoothingTimeConstant: 0 });
  ears.createMediaElementSource(video).connect(analyser);
  window.seen = () => ({
    faults,
    at: video.currentTime,
    behind: Date.now() - hls.playingDate?.getTime(),
    shown: video.getVideoPlaybackQuality().totalVideoFrames,
  });
  // How loud a tone is against the loudest other one.
  window.tone = async (hz) => {
    await ears.resume();
    const bins = new Float32Array(analyser.frequencyBinCount);
    analyser.getFloatFrequencyData(bins);
    const bin = Math.round((hz * analyser.fftSize) / ears.sampleRate);
    const near = (n) => Math.abs(n - bin) <= 4;
    return Math.max(...bins.filter((_, n) => near(n))) - Math.max(...bins.filter((_, n) => !near(n)));
  };
`;

// The page that plays.
const player = http.createServer((request, response) => {
  const pages = {
    '/': ['text/html', '<video id="mix" width="640" autoplay></video><script src="hls.js"></script><script src="play.js"></script>'],
    '/hls.js': ['text/javascript', fs.readFileSync(library)],
    '/play.js': ['text/javascript', script],
  };
  const [type, body] = pages[request.url] ?? ['text/plain', ''];
  response.writeHead(200, { 'content-type': type }).end(body);
});
await new Promise((resolve) => player.listen(0, '127.0.0.1', resolve));
after(() => player.close());
const origin = `http://127.0.0.1:${player.address().port}`;

const meeting = meetings('hls', ['--hls-origin', origin]);

meeting('hls.js shows and plays a room, a few seconds behind it', async (room) => {
  await room.enter('red');
  // Before, there is nothing to play.
  await until('red is in', async () => assert.equal(await room.server.metric('quilt_participants'), 1));
  const address = new URL(`/hls/${room.name}/index.m3u8`, room.server.url);
  const player = await room.visit('red', `${origin}/#${address}`, { permissions: [] });
  const { page } = player;
  await until('red is seen', async () => {
    const { width, share } = await player.look();
    assert.equal(width, 1280, 'the best there is');
    assert.ok(share.red > 0.5, JSON.stringify(share));
  }, 60_000);
  await until('red is heard', async () => {
    const above = await page.evaluate((hz) => window.tone(hz), PEOPLE.red.hz);
    assert.ok(above > 15, `${above} dB above all else`);
  });
  const now = await until('it goes on, not far behind', async () => {
    const before = await page.evaluate(() => window.seen());
    await sleep(4_000);
    const now = await page.evaluate(() => window.seen());
    const text = JSON.stringify({ before, now });
    assert.ok(now.at - before.at > 3 && now.shown - before.shown > 40, text);
    assert.ok(now.behind > 0 && now.behind <= BEHIND, text);
    return now;
  });
  assert.deepEqual(now.faults, []);
  console.log(`hls.js is ${now.behind} ms behind`);
});
