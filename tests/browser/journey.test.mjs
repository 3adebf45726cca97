// The way of somebody who knows nothing: lobby, a room, a name, the meeting, goodbye, back again.

import assert from 'node:assert/strict';

import { meetings, sees, type } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('journey');

meeting('from the lobby into a meeting and out again', async (room) => {
  const red = await room.visit('red', '/');
  await red.control('room-name').fill(room.name);
  await red.control('create').click();
  await type(red, 'Red');
  await until('the pre-join screen has the camera', async () =>
    (await red.control('camera').getAttribute('aria-pressed')) === 'true');
  await red.control('join').click();
  await until('the page says so', async () => (await red.control('state').innerText()) === 'Connected');

  // The next one finds the room in the list.
  const green = await room.visit('green', '/');
  const entry = green.page.locator(`[data-testid="room"][data-name="${room.name}"]`);
  await entry.getByRole('link', { name: /^Join/ }).click();
  await type(green, 'Green');
  await green.control('join').click();
  await sees(green, ['red']);
  await sees(red, ['green']);

  // A panel beside the picture must not part names and tiles.
  await red.page.locator('[data-testid="people-toggle"]').click();
  assert.deepEqual(await red.control('person').evaluateAll((all) => all.map((one) => one.dataset.name)), ['Red', 'Green']);
  await sees(red, ['green']);

  await green.control('leave').click();
  await green.control('goodbye').waitFor();
  await sees(red, []);
  await green.control('rejoin').click();
  await sees(red, ['green']);
  await sees(green, ['red']);
});

meeting('a name that may not be is explained, not sent', async (room) => {
  const red = await room.visit('red', `/r/${room.name}`);
  await type(red, '   ');
  await red.control('join').click();
  await until('the page explains', async () =>
    (await red.page.locator('#name-problem').innerText()).length > 5);
  await until('nobody is in', async () => assert.equal(await room.server.metric('quilt_participants'), 0));
});
