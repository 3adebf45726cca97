// `quilt serve --demo`: a newcomer alone, with one camera or none, sees a real mix at once.

import assert from 'node:assert/strict';

import { meetings, hasOneDownlink } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('demo', ['--demo']);

meeting('the demo room shows four people who move and speak', async (room) => {
  const red = await room.visit('red', '/r/demo?name=Red&join=1&processing=0');
  await until('four tiles move', async () => {
    const motion = Object.entries(await red.motion());
    assert.equal(motion.length, 4, `tiles: ${JSON.stringify(motion)}`);
    for (const [name, part] of motion) assert.ok(part > 0.005, `${name} moves ${part}`);
  });
  await until('somebody speaks', async () => (await red.loudness()) > -50);
  await hasOneDownlink(red);
});
