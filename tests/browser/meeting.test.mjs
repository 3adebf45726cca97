// Three people in a room: each sees and hears exactly the others, in one video and one audio
// stream, whichever codec they use.

import assert from 'node:assert/strict';

import { meetings, hasOneDownlink, hears, sees } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('meeting');
const PEOPLE = ['red', 'green', 'blue'];

for (const codec of ['h264', 'vp8']) {
  meeting(`three people meet in ${codec}`, async (room) => {
    const people = [];
    for (const colour of PEOPLE) people.push(await room.enter(colour, { codec }));
    for (const person of people) {
      const others = PEOPLE.filter((one) => one !== person.colour);
      await person.plays();
      await sees(person, others);
      await hears(person, others);
      await hasOneDownlink(person, codec);
    }
  });
}

meeting('codecs mix: one with VP8 and one with H.264 see each other', async (room) => {
  const red = await room.enter('red', { codec: 'vp8' });
  const green = await room.enter('green', { codec: 'h264' });
  await sees(red, ['green']);
  await sees(green, ['red']);
  await hasOneDownlink(red, 'vp8');
  await hasOneDownlink(green, 'h264');
});

meeting('muting camera and microphone works at once, and back', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  await hears(red, ['green']);

  await green.control('camera').click();
  await green.control('mic').click();
  await until('green is an avatar for red', async () => {
    const { tiles, share } = await red.look();
    assert.deepEqual(tiles.map(({ name }) => name), ['Green']);
    // No last picture left standing: the white square of the camera's picture is gone.
    assert.notEqual(tiles[0].shown, 'green');
    return (share.green ?? 0) < 0.5;
  });
  await hears(red, []);

  await green.control('camera').click();
  await green.control('mic').click();
  await sees(red, ['green']);
  await hears(red, ['green']);
});

meeting('an ICE restart goes unnoticed', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(green, ['red']);
  const ufrag = () => red.page.evaluate(() => {
    const peer = window.probe.peers.at(-1);
    return peer.currentRemoteDescription.sdp.match(/a=ice-ufrag:(\S+)/)[1];
  });
  const before = await ufrag();
  // What the page does when the machine gets another network.
  await red.page.evaluate(() => window.dispatchEvent(new Event('online')));
  await until('the server has answered the restart', async () => (await ufrag()) !== before);
  await red.plays();
  await sees(red, ['green']);
  await hears(red, ['green']);
  await sees(green, ['red']);
  await hasOneDownlink(red);
});
