// By which way the others come: mixed, forwarded one by one, or from page to page; each with real
// pictures and voices, and from one to another while the meeting goes on.

import assert from 'node:assert/strict';

import { accessible } from './lib/axe.mjs';
import { hears, meetings, named, sees } from './lib/meeting.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('topology');

async function configure(room, change) {
  await until('the room is there', async () => (await fetch(new URL(`/api/rooms/${room.name}`, room.server.url))).ok);
  const answer = await fetch(new URL(`/api/rooms/${room.name}`, room.server.url), {
    method: 'PATCH', headers: { 'content-type': 'application/json' }, body: JSON.stringify(change),
  });
  assert.equal(answer.status, 200, await answer.text());
}

async function metric(room, line) {
  const text = await (await fetch(new URL('/metrics', room.server.url))).text();
  return Number(text.split('\n').find((one) => one.startsWith(`${line} `))?.split(' ')[1]);
}

// Fails unless `person` has a picture of each of `others`, in their colour, and of nobody else.
async function seesEach(person, others) {
  await until(`${person.colour} sees ${others.join(', ')}, each apart`, async () => {
    const seen = Object.fromEntries((await person.gallery()).map(({ name, shown }) => [name, shown]));
    assert.deepEqual(seen, Object.fromEntries(others.map((one) => [named(one), one])));
  });
}

// Fails unless so many streams of each kind come in and bring pictures.
async function gets(person, streams) {
  await until(`${streams} streams of each kind come to ${person.colour}`, async () => {
    const before = await person.stats();
    await sleep(500);
    const after = await person.stats();
    for (const kind of ['audio', 'video']) {
      const flowing = after[kind].filter(({ packetsReceived }, n) => packetsReceived > (before[kind][n]?.packetsReceived ?? 0));
      assert.equal(flowing.length, streams, `${kind}: ${JSON.stringify(after[kind])}`);
    }
  });
}

meeting('forwarded: everybody comes as they are, nothing is decoded, and who is muted is not heard', async (room) => {
  const red = await room.enter('red');
  await configure(room, { topology: 'sfu' });
  const green = await room.enter('green');
  const blue = await room.enter('blue');
  const all = [red, green, blue];
  const others = (one) => all.filter((other) => other !== one).map(({ colour }) => colour);
  for (const one of all) await seesEach(one, others(one));
  for (const one of all) await hears(one, others(one));
  for (const one of all) await gets(one, 2);
  await until('nothing is decoded or encoded', async () => {
    for (const what of ['decoders', 'encoders']) {
      for (const kind of ['audio', 'video']) assert.equal(await metric(room, `quilt_${what}{kind="${kind}"}`), 0, `${what} of ${kind}`);
    }
  });
  assert.ok(await metric(room, 'quilt_forward_latency_seconds_count') > 100);
  await accessible(red, 'a meeting of pictures one by one');
  await green.control('mic').click();
  await hears(red, ['blue']);
  await green.control('camera').click();
  await until('green has no picture', async () => (await red.gallery()).find(({ name }) => name === 'Green')?.off === true);
  await green.control('mic').click();
  await green.control('camera').click();
  await seesEach(red, ['green', 'blue']);
  await hears(red, ['green', 'blue']);
  await blue.close();
  await seesEach(red, ['green']);
});

meeting('hybrid: two take the mix and two take the others as they are', async (room) => {
  const red = await room.enter('red', { downlink: 'forwarded' });
  const green = await room.enter('green', { downlink: 'forwarded' });
  const blue = await room.enter('blue');
  const yellow = await room.enter('yellow');
  await seesEach(red, ['green', 'blue', 'yellow']);
  await seesEach(green, ['red', 'blue', 'yellow']);
  await sees(blue, ['red', 'green', 'yellow']);
  await sees(yellow, ['red', 'green', 'blue']);
  for (const one of [red, green, blue, yellow]) {
    await hears(one, ['red', 'green', 'blue', 'yellow'].filter((other) => other !== one.colour));
  }
  await gets(red, 3);
  await gets(green, 3);
  await gets(blue, 1);
  await gets(yellow, 1);
  // Changed by the person, in the menu.
  await yellow.control('layout').click();
  await yellow.control('come-forwarded').click();
  await seesEach(yellow, ['red', 'green', 'blue']);
  await gets(yellow, 3);
  await yellow.control('layout').click();
  await yellow.control('come-mixed').click();
  await sees(yellow, ['red', 'green', 'blue']);
  await hears(yellow, ['red', 'green', 'blue']);
});

meeting('mesh: media goes from page to page, and comes back to the server when it has to', async (room) => {
  const red = await room.enter('red', { direct: 1 });
  await configure(room, { topology: 'mesh' });
  const green = await room.enter('green', { direct: 1 });
  await seesEach(red, ['green']);
  await seesEach(green, ['red']);
  await hears(red, ['green']);
  await hears(green, ['red']);
  await until('the server has nothing to do', async () => {
    assert.equal(await metric(room, 'quilt_encoders{kind="video"}'), 0);
    assert.equal(await metric(room, 'quilt_decoders{kind="video"}'), 0);
  });
  // Somebody who does not agree comes in.
  const blue = await room.enter('blue');
  await until('the server forwards', async () => (await red.page.evaluate(() => document.body.dataset.topology)) === 'sfu');
  await seesEach(red, ['green', 'blue']);
  await seesEach(blue, ['red', 'green']);
  await hears(red, ['green', 'blue']);
  await configure(room, { topology: 'mcu' });
  await sees(red, ['green', 'blue']);
  await sees(blue, ['red', 'green']);
  await hears(red, ['green', 'blue']);
  await blue.close();
  await configure(room, { topology: 'mesh' });
  await seesEach(red, ['green']);
  await hears(green, ['red']);
});

// Somebody who only watches needs the server's media, so a mesh waits until they are gone.
async function looksIn({ page }, room, ms) {
  await page.evaluate(async ([room, stay]) => {
    const url = new URL(`/api/rooms/${room}/ws`, location.href);
    url.protocol = 'ws';
    const socket = new WebSocket(url);
    await new Promise((resolve) => { socket.onopen = resolve; });
    socket.send(JSON.stringify({ id: 1, type: 'join', view: true }));
    await new Promise((resolve) => { socket.onmessage = ({ data }) => JSON.parse(data).type === 'ack' && resolve(null); });
    await new Promise((resolve) => setTimeout(resolve, stay));
    socket.send(JSON.stringify({ id: 2, type: 'leave' }));
  }, [room.name, ms]);
}

meeting('mesh: whoever looks in, however briefly, does not leave two pages apart', async (room) => {
  const red = await room.enter('red', { direct: 1 });
  await configure(room, { topology: 'mesh' });
  const green = await room.enter('green', { direct: 1 });
  for (const ms of [0, 60, 250, 800, 30, 500]) {
    // Also while they are being introduced, so nothing is waited for but the last.
    await looksIn(red, room, ms);
    if (ms !== 60) continue;
    await seesEach(red, ['green']);
    await seesEach(green, ['red']);
  }
  await seesEach(red, ['green']);
  await seesEach(green, ['red']);
  for (const one of [red, green]) {
    await until(`${one.colour} has it directly`, () => one.page.evaluate(() => document.body.dataset.topology === 'mesh' && document.body.dataset.downlink === 'direct'));
  }
  await hears(red, ['green']);
  await hears(green, ['red']);
  await gets(red, 1);
  await gets(green, 1);
});

meeting('mesh: who comes while others are being introduced interrupts nobody', async (room) => {
  const red = await room.enter('red', { direct: 1 });
  await configure(room, { topology: 'mesh' });
  // Every way and topology that red's page is in from now on.
  await red.page.evaluate(() => {
    window.ways = [];
    const note = () => {
      const { topology, downlink } = document.body.dataset;
      window.ways.push(`${topology} ${downlink}`);
    };
    new MutationObserver(note).observe(document.body, { attributeFilter: ['data-topology', 'data-downlink'] });
  });
  let others = [];
  for (const ms of [0, 100, 0]) {
    for (const one of others) await one.close();
    others = await Promise.all([
      room.enter('green', { direct: 1 }),
      sleep(ms).then(() => room.enter('blue', { direct: 1 })),
    ]);
    await until('everybody has everybody directly', async () => {
      for (const one of [red, ...others]) {
        assert.equal(await one.page.evaluate(() => document.body.dataset.downlink), 'direct');
        assert.equal((await one.gallery()).filter(({ shown }) => shown).length, 2, `${one.colour}'s pictures`);
      }
    });
  }
  const [green, blue] = others;
  assert.ok((await red.page.evaluate(() => window.ways)).every((way) => way === 'mesh direct'), 'it stays one');
  await seesEach(red, ['green', 'blue']);
  await seesEach(green, ['red', 'blue']);
  await seesEach(blue, ['red', 'green']);
});
