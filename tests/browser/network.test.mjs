// Networks block UDP, go away for a while, or become another one; the meeting goes on.

import assert from 'node:assert/strict';

import { meetings, hasOneDownlink, hears, named, sees } from './lib/meeting.mjs';
import { Network } from './lib/network.mjs';
import { sleep, until } from './lib/wait.mjs';

const network = new Network();
const meeting = meetings('network', ['--listen', '0.0.0.0:0', '--rtc-listen', '0.0.0.0:0'], network.world());

// A pause between two pictures so long, ms, is an outage and not a busy machine.
const OUTAGE = 600;
// Nothing is out any more when pictures come for so long, ms.
const STEADY = 2_000;

// What is promised, and what a busy machine may add, ms. Of the time for another address Chromium
// takes two seconds until it tells anybody that the machine has one.
const BUSY = 2_000;

// Does something to the network between red and green, and answers how long after it `from`, a time
// that `act` answers, each of them had the other's moving picture again.
async function outage(red, green, act) {
  await red.page.evaluate((name) => window.probe.watch(name), named('green'));
  await green.page.evaluate((name) => window.probe.watch(name), named('red'));
  await sleep(1_000);
  const from = await act();
  const back = async (person, what) =>
    until(`${person.colour} sees the other move again`, async () => {
      const times = await person.page.evaluate((what) => window.probe.seen[what], what);
      const pauses = times.slice(1).map((time, n) => ({ time, pause: time - times[n] }));
      const ends = pauses.filter(({ time, pause }) => time > from && pause > OUTAGE).map(({ time }) => time);
      const last = ends.at(-1) ?? from;
      const steady = times.at(-1) - Math.max(last, from + OUTAGE) > STEADY;
      assert.ok(steady, `outages ended at ${ends.map((time) => time - from)} ms, last picture at ${times.at(-1) - from}`);
      return last - from;
    }, 40_000);
  const [down, up] = await Promise.all([back(red, 'changed'), back(green, 'changed')]);
  console.log(`back after ${down} ms down, ${up} ms up`); // How near the limits are.
  return Math.max(down, up);
}

async function together(room) {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  await sees(green, ['red']);
  return [red, green];
}

// Everything is as before, and nobody is there twice.
async function allIsWell(room, red, green) {
  await hears(red, ['green']);
  await hears(green, ['red']);
  await sees(red, ['green']);
  await sees(green, ['red']);
  await hasOneDownlink(red);
  await until('red is connected', async () => (await red.control('state').innerText()) === 'Connected');
  assert.deepEqual(await green.control('person').evaluateAll((all) => all.map((one) => one.dataset.name)), ['Red', 'Green']);
}

meeting('where UDP is blocked, media goes over TCP', async (room) => {
  network.block('meta l4proto udp');
  try {
    const [red, green] = await together(room);
    await hears(red, ['green']);
    await hears(green, ['red']);
    assert.equal((await red.stats()).path, 'tcp');
  } finally {
    network.unblock();
  }
});

for (const [seconds, within] of [[2, 1_000], [8, 3_000]]) {
  meeting(`after ${seconds} seconds without a network, all is back at once`, async (room) => {
    const [red, green] = await together(room);
    const after = await outage(red, green, async () => {
      network.block();
      await sleep(seconds * 1_000);
      network.unblock();
      return Date.now();
    });
    assert.ok(after < within + BUSY, `it took ${after} ms`);
    await allIsWell(room, red, green);
  });
}

meeting('with another address, all is back soon, in the same place', async (room) => {
  const [red, green] = await together(room);
  const ids = async () => green.control('tile').evaluateAll((tiles) => tiles.map((tile) => tile.dataset.id));
  const before = await ids();
  const after = await outage(red, green, async () => {
    const now = Date.now();
    network.unplug(0);
    network.plug(1);
    return now;
  });
  assert.ok(after < 3_000 + BUSY, `it took ${after} ms`);
  assert.deepEqual(await ids(), before);
  await allIsWell(room, red, green);
});
