// Firefox, which has no H.264 as Debian ships it, and Chromium in one room.

import assert from 'node:assert/strict';

import { FIREFOX_HZ } from './lib/firefox.mjs';
import { PEOPLE } from './lib/media.mjs';
import { hasOneDownlink, hears, meetings, named, sees } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('firefox');

meeting('Firefox and Chromium see and hear each other', async (room) => {
  const red = await room.enter('red');
  const fox = await room.enter('firefox');
  await fox.plays();
  await sees(fox, ['red']);
  await hears(fox, ['red']);
  await hasOneDownlink(fox, 'vp8');

  await red.plays();
  assert.deepEqual(await red.names(), ['Firefox']);
  const seen = [];
  await until("the colour of Firefox's camera goes round", async () => {
    const colour = await middle(red);
    const apart = (other) => Math.max(...colour.map((value, n) => Math.abs(value - other[n])));
    if (seen.every((other) => apart(other) > 40)) seen.push(colour);
    return seen.length >= 3;
  }, 60_000);
  await until("red hears Firefox's tone", async () => {
    const { firefox, ...others } = await red.listen({ ...PEOPLE, firefox: { hz: FIREFOX_HZ } });
    assert.ok(firefox > -60, `${firefox} dB`);
    const loudest = Math.max(...Object.values(others));
    assert.ok(loudest < firefox - 30, `${JSON.stringify(others)} beside ${firefox}`);
  });
  await hasOneDownlink(red, 'h264');

  await fox.control('leave').click();
  await until('Firefox is gone', async () => (await red.names()).length === 0);
});

meeting('Firefox, which has only VP8, comes into a meeting that is forwarded in H.264', async (room) => {
  const forwarded = { downlink: 'forwarded' };
  const red = await room.enter('red', forwarded);
  const green = await room.enter('green', forwarded);
  const each = async (person, others) => until(`${person.colour} sees ${others.join(', ')}, each apart`, async () => {
    const seen = (await person.gallery()).map(({ name, shown }) => [name, shown]);
    for (const one of others) assert.deepEqual(seen.find(([name]) => name === named(one)), [named(one), one]);
  }, 60_000);
  const sends = (person, codec) => until(`${person.colour} sends ${codec}`, async () => {
    assert.equal((await person.stats()).sent.video?.codec, `video/${codec}`);
  });
  await each(red, ['green']);
  await each(green, ['red']);
  await sends(red, 'H264');
  await sends(green, 'H264');

  const fox = await room.enter('firefox', forwarded);
  await each(fox, ['red', 'green']);
  await sends(red, 'VP8');
  await sends(green, 'VP8');
  // Who was here before goes on seeing them.
  await each(red, ['green']);
  await each(green, ['red']);
  for (const one of [red, green]) {
    const seen = [];
    await until(`the colour of Firefox's camera goes round for ${one.colour}`, async () => {
      const colour = await middle(one, '#gallery > li[data-name="Firefox"] video:not(.coming)');
      const apart = (other) => Math.max(...colour.map((value, n) => Math.abs(value - other[n])));
      if (seen.every((other) => apart(other) > 40)) seen.push(colour);
      return seen.length >= 3;
    }, 60_000);
  }
  // A codec that was given up for another leaves its statistics behind, which stand still.
  const decoded = async () => (await red.stats()).video.map(({ framesDecoded }) => framesDecoded);
  const before = await decoded();
  await until('pictures of both go on', async () => {
    const after = await decoded();
    assert.equal(after.filter((frames, n) => frames > (before[n] ?? 0) + 10).length, 2, `${before} ${after}`);
  });
});

// The colour in the middle of what somebody sees.
function middle(person, which = 'video#mix') {
  return person.page.evaluate((which) => {
    const video = document.querySelector(which);
    const context = new OffscreenCanvas(1, 1).getContext('2d');
    context.drawImage(video, video.videoWidth / 2, video.videoHeight / 2, 16, 16, 0, 0, 1, 1);
    return [...context.getImageData(0, 0, 1, 1).data.subarray(0, 3)];
  }, which);
}
