// What a large room costs a browser beside a small one: bytes, processor time, and whether one
// that is six times slower keeps up. It measures and is no test: the tests' pattern does not find
// it. `node --test tests/browser/large.measure.mjs`, on a machine that does nothing else.
//
// Everybody but the browser is a client of `quilt load` that sends; the browser gets the medium
// tier, whose bitrate is what the rows are about, and sends nothing, so that its own camera is no
// part of the price.

import { spawn } from 'node:child_process';

import { meetings } from './lib/meeting.mjs';
import { program } from './lib/server.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('large', ['--mix', 'common']);

const ROOMS = [4, 50];
// Of the medium tier, bit/s and pictures a second.
const BITRATE = 500_000;
const RATE = 20;
// How often is measured, and for how long, s.
const ROUNDS = 5;
const SECONDS = Number(process.env.MEASURE_SECONDS ?? 10);

// Has so many clients come who send; returns how to end them. They get no pictures, which would be
// made for them alone.
async function fill(room, many) {
  const args = ['load', '--url', room.server.url, '--room', room.name, '--publishers', many, '--fps', 15, '--codec', 'h264', '--quality', 'audio', '--decode', 0, '--seconds', 600];
  const load = spawn(program, args.map(String), { stdio: 'ignore' });
  const ended = new Promise((resolve) => load.once('exit', resolve));
  await until(`${many} are there`, async () => (await room.server.metric('quilt_participants')) >= many, 180_000);
  return async () => {
    load.kill('SIGTERM');
    await ended;
  };
}

// What was received, and what the renderers have used, so far.
async function figures(person, browser) {
  const { processInfo } = await browser.send('SystemInfo.getProcessInfo');
  const renderers = processInfo.filter(({ type }) => type === 'renderer');
  const streams = await person.page.evaluate(async () => {
    const peer = window.probe.peers.findLast(({ connectionState }) => connectionState === 'connected');
    return [...(await peer.getStats()).values()].filter(({ type }) => type === 'inbound-rtp' || type === 'transport');
  });
  const video = streams.find(({ kind }) => kind === 'video');
  const audio = streams.find(({ kind }) => kind === 'audio');
  const transport = streams.find(({ type }) => type === 'transport');
  return {
    at: video.timestamp / 1_000,
    cpu: renderers.reduce((sum, { cpuTime }) => sum + cpuTime, 0),
    video: video.bytesReceived + video.headerBytesReceived,
    again: video.retransmittedBytesReceived ?? 0,
    audio: audio.bytesReceived + audio.headerBytesReceived,
    all: transport.bytesReceived,
    pictures: video.framesDecoded,
    frozen: video.totalFreezesDuration,
  };
}

// Per second, between two times.
async function round(person, browser) {
  const before = await figures(person, browser);
  await sleep(SECONDS * 1_000);
  const after = await figures(person, browser);
  const seconds = after.at - before.at;
  return Object.fromEntries(Object.keys(after).map((key) => [key, (after[key] - before[key]) / seconds]));
}

const median = (values) => values.toSorted((a, b) => a - b)[Math.floor(values.length / 2)];

async function rounds(person, browser) {
  const all = [];
  for (let n = 0; n < ROUNDS; n += 1) all.push(await round(person, browser));
  return Object.fromEntries(Object.keys(all[0]).map((key) => [key, median(all.map((one) => one[key]))]));
}

function say(what, value, limit, good) {
  console.log(`${good === undefined ? '    ' : good ? 'pass' : 'FAIL'}  ${what.padEnd(56)} ${value}  ${limit ?? ''}`);
}

const kbits = (bytes) => `${((bytes * 8) / 1_000).toFixed(1)} kbit/s`;
const percent = (part) => `${(part * 100).toFixed(1)} %`;

const medians = new Map();

for (const many of ROOMS) {
  meeting(`a room of ${many}`, async (room) => {
    const empty = await fill(room, many - 1);
    try {
      const red = await room.enter('red', { video: 0, audio: 0, quality: 'medium' });
      await red.plays();
      await sleep(10_000);
      const browser = await red.browser.connection.newBrowserCDPSession();
      const seen = await rounds(red, browser);
      medians.set(many, seen);
      say(`room of ${many}: video`, kbits(seen.video), `(at most ${kbits((BITRATE / 8) * 1.1)})`, seen.video * 8 <= BITRATE * 1.1);
      say('of it sent again (fillers are)', kbits(seen.again), '(none)', seen.again === 0);
      say('sound', kbits(seen.audio));
      say('all that came', kbits(seen.all));
      say('pictures a second', seen.pictures.toFixed(1));
      say('renderer', percent(seen.cpu));
      const small = medians.get(ROOMS[0]);
      if (many === ROOMS[0] || !small) return;
      const ratio = seen.cpu / small.cpu;
      say(`renderer, room of ${many} beside ${ROOMS[0]}`, ratio.toFixed(2), '(within 25 %)', Math.abs(ratio - 1) <= 0.25);
      say(`bytes, room of ${many} beside ${ROOMS[0]}`, (seen.all / small.all).toFixed(2));

      const page = await red.context.newCDPSession(red.page);
      await page.send('Emulation.setCPUThrottlingRate', { rate: 6 });
      await sleep(5_000);
      const slow = await rounds(red, browser);
      say('six times slower: pixels wide', (await red.stats()).video[0].width);
      say('six times slower: pictures a second', slow.pictures.toFixed(1), '(at least 18)', slow.pictures >= RATE * 0.9);
      say('six times slower: frozen', percent(slow.frozen), '(at most 1 %)', slow.frozen <= 0.01);
    } finally {
      await empty();
    }
  }, 600_000);
}
