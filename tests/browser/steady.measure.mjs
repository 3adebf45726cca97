// Five minutes behind a line of 900 kbit/s that never changes: which rung of the ladder the viewer is
// on, and how often that changes. It measures and is no test: the tests' pattern does not find it.
// `node --test tests/browser/steady.measure.mjs`; needs what `line.test.mjs` needs.

import { meetings, hears, sees } from './lib/meeting.mjs';
import { Network } from './lib/network.mjs';
import { sleep } from './lib/wait.mjs';

const network = new Network();
const meeting = meetings('steady', ['--listen', '0.0.0.0:0', '--rtc-listen', '0.0.0.0:0'], network.world());

const RATE = '900kbit';
// Until the rung must be found, and for how long it is looked at then, s.
const SETTLE = 30;
const SECONDS = Number(process.env.MEASURE_SECONDS ?? 300);

meeting(`five minutes at ${RATE}`, async (room) => {
  const red = await room.enter('red', { video: 0 });
  // What is easily encoded would pass the line as it is. Nobody else gets pictures.
  await room.enter('green', { quality: 'audio' }, { size: { width: 640, height: 360, grain: 24 } });
  await red.plays();
  network.narrow(0, RATE);
  const began = performance.now();
  const at = () => ((performance.now() - began) / 1_000).toFixed(1);
  const changes = [];
  let width;
  let before;
  while (performance.now() - began < (SETTLE + SECONDS) * 1_000) {
    const [video] = (await red.stats()).video;
    if (video.width !== width) {
      width = video.width;
      changes.push(`${at()} s: ${width}`);
      console.log(`at ${changes.at(-1)} pixels wide`);
    }
    if (!before && performance.now() - began >= SETTLE * 1_000) {
      before = { ...video, changes: changes.length };
    }
    await sleep(250);
  }
  const [after] = (await red.stats()).video;
  await hears(red, ['green']);
  await sees(red, ['green']);
  console.log(`in ${SECONDS} s after the first ${SETTLE}: ${changes.length - before.changes} changes, ${((after.framesDecoded - before.framesDecoded) / SECONDS).toFixed(1)} pictures a second, ${after.freezeCount - before.freezeCount} freezes, ${after.keyframes - before.keyframes} keyframes`);
}, (SETTLE + SECONDS + 120) * 1_000);
