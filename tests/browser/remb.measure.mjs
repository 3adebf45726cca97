// A browser's own estimate of what it can receive (REMB), beside what the server finds out by
// transport-wide feedback, behind the same bottleneck. Not a test: it prints figures.
//
//     node --test tests/browser/remb.measure.mjs

import { meetings, sees } from './lib/meeting.mjs';
import { Network } from './lib/network.mjs';
import { sleep, until } from './lib/wait.mjs';

const network = new Network();
const meeting = meetings('remb', ['--listen', '0.0.0.0:0', '--rtc-listen', '0.0.0.0:0'], network.world());

const NARROW = 300_000;

// What is easily encoded would pass the narrow line as it is.
const grained = { size: { width: 640, height: 360, grain: 24 } };

// A page that does not offer transport-wide feedback: the browser then estimates by itself.
function withoutFeedback() {
  const { setLocalDescription } = RTCPeerConnection.prototype;
  RTCPeerConnection.prototype.setLocalDescription = async function set() {
    const offer = await this.createOffer();
    const lines = offer.sdp.split('\r\n').filter((line) => !/transport-cc|transport-wide-cc/.test(line));
    return setLocalDescription.call(this, { type: offer.type, sdp: lines.join('\r\n') });
  };
}

async function enter(room, query = {}) {
  const red = await room.visit('red', '/');
  await red.page.addInitScript(withoutFeedback);
  const all = { name: 'Red', join: 1, processing: 0, ...query };
  await red.page.goto(new URL(`/r/${room.name}?${new URLSearchParams(all)}`, red.page.url()).href);
  return red;
}

// What the browser estimates, and what it gets, bit/s, ten times a second for so long.
async function watch(person, ms) {
  return person.page.evaluate(async (length) => {
    const look = async () => {
      const report = [...(await window.probe.peers.at(-1).getStats()).values()];
      const pair = report.find(({ type, availableIncomingBitrate }) => type === 'candidate-pair' && availableIncomingBitrate);
      const video = report.find(({ type, kind }) => type === 'inbound-rtp' && kind === 'video');
      return { at: performance.now(), remb: pair?.availableIncomingBitrate ?? 0, bytes: video?.bytesReceived ?? 0 };
    };
    const begin = await look();
    const seen = [];
    for (let last = begin; last.at - begin.at < length;) {
      await new Promise((resolve) => setTimeout(resolve, 100));
      const now = await look();
      seen.push({ ms: now.at - begin.at, remb: now.remb, got: (8_000 * (now.bytes - last.bytes)) / (now.at - last.at) });
      last = now;
    }
    return seen;
  }, ms);
}

const kbit = (bits) => `${Math.round(bits / 1_000)} kbit/s`;
const median = (values) => values.toSorted((a, b) => a - b)[values.length >> 1];
const between = (seen, from, to) => median(seen.filter(({ ms }) => ms >= from && ms < to).map(({ remb }) => remb));

function tell(seen, ...spans) {
  for (const [from, to] of spans) console.log(`  REMB after ${from / 1_000} to ${to / 1_000} s: ${kbit(between(seen, from, to))}`);
}

async function widths(person, width, since) {
  await until(`${width} pixels`, async () => (await person.page.evaluate(() => document.querySelector('video#mix').videoWidth)) === width, 60_000);
  return Date.now() - since;
}

meeting('REMB', async (room) => {
  const red = await enter(room);
  const green = await room.enter('green', {}, grained);
  await sees(red, ['green']);
  await sees(green, ['red']);
  console.log(`a free line: ${kbit(between(await watch(red, 5_000), 2_000, 5_000))}`);
  network.narrow(0, '300kbit');
  try {
    const seen = await watch(red, 15_000);
    const first = seen.find(({ remb }) => remb > 0 && remb < 2 * NARROW);
    console.log(`300 kbit/s, and all is sent: below 600 kbit/s after ${Math.round(first?.ms ?? Infinity)} ms`);
    tell(seen, [1_000, 3_000], [3_000, 6_000], [6_000, 15_000]);
  } finally {
    network.widen(0);
  }
  const freed = await watch(red, 20_000);
  console.log('the bottleneck is gone, and all is sent:');
  tell(freed, [0, 2_000], [2_000, 5_000], [5_000, 10_000], [10_000, 20_000]);
});

meeting('REMB of a free line that is sent little', async (room) => {
  const red = await enter(room, { quality: 'low' });
  const green = await room.enter('green', {}, grained);
  await sees(green, ['red']);
  const seen = await watch(red, 40_000);
  const got = median(seen.filter(({ ms }) => ms > 20_000).map(({ got: rate }) => rate));
  console.log(`the low tier on a free line, ${kbit(got)} of pictures:`);
  tell(seen, [2_000, 5_000], [5_000, 10_000], [10_000, 20_000], [20_000, 40_000]);
});

meeting('transport-wide feedback', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green', {}, grained);
  await sees(red, ['green']);
  await sees(green, ['red']);
  // The line is calm, as most are.
  await sleep(8_000);
  network.narrow(0, '300kbit');
  try {
    console.log(`300 kbit/s: low after ${await widths(red, 320, Date.now())} ms`);
    await sleep(8_000);
  } finally {
    network.widen(0);
  }
  console.log(`the bottleneck is gone: high after ${await widths(red, 1280, Date.now())} ms`);
});
