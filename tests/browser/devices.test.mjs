// Not everybody has a camera and a microphone, holds the screen sideways or wants to be seen.

import assert from 'node:assert/strict';

import { PORTRAIT } from './lib/media.mjs';
import { meetings, hasOneDownlink, hears, sees } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('devices');

// Fails unless `person` has one tile, with this name, that shows an avatar in place of a camera.
async function seesAvatar(person, colour, name) {
  await until(`${person.colour} sees an avatar of ${name}`, async () => {
    const { tiles } = await person.look();
    assert.deepEqual(tiles.map((tile) => tile.name), [name]);
    assert.ok(tiles[0].text.includes(name));
    assert.notEqual(tiles[0].shown, colour);
  });
}

meeting('audio only: heard, and shown as an avatar', async (room) => {
  const red = await room.enter('red');
  // Not green: the second avatar's own colour is close to that.
  const blue = await room.enter('blue', { video: 0 });
  await seesAvatar(red, 'blue', 'Blue');
  await hears(red, ['blue']);
  await sees(blue, ['red']);
  await hears(blue, ['red']);
  await hasOneDownlink(blue);
});

meeting('video only: seen, and silent', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green', { audio: 0 });
  await sees(red, ['green']);
  await hears(red, []);
  await sees(green, ['red']);
  await hears(green, ['red']);
  await hasOneDownlink(green);
});

meeting('a phone held upright is shown whole, not stretched', async (room) => {
  const red = await room.enter('red');
  await room.enter('blue', {}, { size: PORTRAIT, upright: true });
  await until('the phone is seen', async () => {
    const { tiles } = await red.look();
    assert.deepEqual(tiles.map((tile) => tile.name), ['Blue']);
    const { box, extents, share } = tiles[0];
    assert.ok(share.blue > 0.15, `blue fills ${share.blue}`);
    // The camera shows a square in its middle.
    const square = extents.white;
    assert.ok(Math.abs(square.width / square.height - 1) < 0.1, `${square.width} x ${square.height}`);
    // Bars at the sides: at most a fifth of a camera is cropped, so 9:16 fills at most
    // 9:12.8 of the tile's height.
    const height = box.height;
    assert.ok(extents.blue.width / height < 0.75, `${extents.blue.width / height} wide`);
    assert.ok(extents.blue.width / height > 0.5, `${extents.blue.width / height} wide`);
  });
});

meeting('a phone held upright gets an upright picture', async (room) => {
  const red = await room.enter('red', {}, { size: PORTRAIT, upright: true });
  await room.enter('green');
  await sees(red, ['green']);
  await until('the mix is upright', async () => {
    const { width, height } = await red.look();
    assert.ok(height > width, `${width}x${height}`);
  });
});

meeting('who only watches sees and hears all, and is not there for them', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  const viewer = await room.enter('blue', { view: 1 }, { permissions: [] });
  await sees(viewer, ['red', 'green']);
  await hears(viewer, ['red', 'green']);
  await hasOneDownlink(viewer);
  assert.deepEqual((await viewer.stats()).sent, {}, 'a viewer sends nothing');
  await sees(red, ['green']);
  await hears(green, ['red']);
  assert.equal(await room.server.metric('quilt_participants'), 2);
});

meeting('without leave to use the camera one can still join, and is told why', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green', {}, { permissions: ['microphone'] });
  await seesAvatar(red, 'green', 'Green');
  await hears(red, ['green']);
  await sees(green, ['red']);
  await until('the page says why', async () => {
    const told = await green.control('error').innerText();
    assert.match(told, /camera/i);
    assert.match(told, /permi|allow|block|denied/i);
  });
});

meeting('without leave to use anything one can still watch and listen', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green', {}, { permissions: [] });
  await seesAvatar(red, 'green', 'Green');
  await hears(red, []);
  await sees(green, ['red']);
  await hears(green, ['red']);
});
