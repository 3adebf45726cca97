// Nobody sends what nobody sees, and whoever is seen again is seen at once.

import assert from 'node:assert/strict';

import { meetings, sees } from './lib/meeting.mjs';
import { sleep, until } from './lib/wait.mjs';

const meeting = meetings('uplink', ['--stage-size', '1']);

// Bits a second of video that may still be sent by somebody off stage.
const HIDDEN = 10_000;

const sent = async (person) => (await person.stats()).sent.video?.bytes ?? 0;
const packets = async (person) => (await person.stats()).sent.video?.packets ?? 0;

meeting('who is off stage sends no video until they speak', async (room) => {
  const red = await room.enter('red');
  await red.plays();
  const green = await room.enter('green', { audio: 0 });
  await sees(green, ['red']);
  const before = await packets(red);
  await until('green has ceased to send', async () => {
    const one = await sent(green);
    await sleep(500);
    assert.equal(await sent(green), one);
  });
  // Over a while, and not by chance of one moment.
  const [from, began] = [await sent(green), performance.now()];
  await sleep(2_000);
  const rate = ((await sent(green)) - from) * 8_000 / (performance.now() - began);
  assert.ok(rate <= HIDDEN, `green sends ${rate} bit/s`);
  // A picture that stands still takes few bits, but there is one.
  const seen = (await packets(red)) - before;
  assert.ok(seen > 30, `red is seen and sends ${seen} packets`);

  await red.control('mic').click();
  await green.control('mic').click();
  await sees(red, ['green']);
});
