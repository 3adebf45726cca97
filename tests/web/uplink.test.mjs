import assert from 'node:assert/strict';
import { test } from 'node:test';

import { encodings } from '../../web/uplink.js';

const WANTED = { height: 360, fps: 25, bitrate: 800_000 };

test('the small copy is sent where it is wanted, at 180 lines', () => {
  const [whole, half] = encodings('camera', { ...WANTED, half: true }, 360);
  assert.equal(whole.active, true);
  assert.deepEqual([half.active, half.scaleResolutionDownBy], [true, 2]);
  assert.equal(encodings('camera', WANTED, 360)[1].active, false);
  assert.equal(encodings('camera', null, 0)[1].active, false);
  assert.equal(encodings('camera', { ...WANTED, half: true }, 270)[1].scaleResolutionDownBy, 1.5);
  assert.equal(encodings('camera', { ...WANTED, half: true }, 90)[1].scaleResolutionDownBy, 1);
});

test('it may be all that is wanted', () => {
  const [whole, half] = encodings('camera', { height: 0, fps: 0, bitrate: 0, half: true }, 360);
  assert.deepEqual([whole.active, half.active], [false, true]);
});

test('a screen comes whole', () => {
  assert.deepEqual(encodings('screen', { ...WANTED, half: true }, 1080).map(({ active }) => active), [true, false]);
});
