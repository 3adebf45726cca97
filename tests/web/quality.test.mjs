// How much picture: what is suggested to whom, and how what is sent follows what is shown.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { below, capture, QUALITIES, Struggle, suggestFor } from '../../web/quality.js';
import { encoding } from '../../web/uplink.js';

test('small devices and those that save are suggested less', () => {
  const strong = { saveData: false, cores: 8, memory: 8 };
  assert.equal(suggestFor(strong), null);
  assert.equal(suggestFor({ saveData: false, cores: 0, memory: 0 }), null, 'what is not told is no reason');
  assert.equal(suggestFor({ ...strong, saveData: true }), 'low');
  assert.equal(suggestFor({ ...strong, cores: 2 }), 'medium');
  assert.equal(suggestFor({ ...strong, memory: 1 }), 'low');
  assert.equal(suggestFor({ ...strong, memory: 2 }), 'medium');
});

test('a lower quality captures less', () => {
  const pixels = (quality) => {
    const { width, height, frameRate } = capture(quality);
    return width.ideal * height.ideal * frameRate.ideal;
  };
  assert.ok(pixels('high') > pixels('medium') && pixels('medium') > pixels('low'));
  assert.equal(pixels('auto'), pixels('high'));
  for (const quality of QUALITIES) assert.notEqual(below(quality), 'auto');
});

test('only a device that goes on dropping pictures is told so', () => {
  const struggle = new Struggle();
  let seen = { decoded: 0, dropped: 0 };
  const look = (dropped) => {
    seen = { decoded: seen.decoded + 50, dropped: seen.dropped + dropped };
    return struggle.note(seen);
  };
  assert.deepEqual([0, 30, 30, 30].map(look), [false, false, false, false]);
  assert.deepEqual([0, 30, 30, 30, 30].map(look), [false, false, false, false, true]);
  assert.equal(look(0), false);
});

test('what is sent follows the tile, and stops where nobody sees it', () => {
  assert.deepEqual(encoding('camera', null, 360), { active: true, maxBitrate: 1_200_000, maxFramerate: 30, scaleResolutionDownBy: 1 });
  assert.deepEqual(encoding('camera', { height: 180, fps: 20, bitrate: 300_000 }, 360), { active: true, maxBitrate: 300_000, maxFramerate: 24, scaleResolutionDownBy: 2 });
  assert.equal(encoding('camera', { height: 720, fps: 25, bitrate: 9_000_000 }, 360).scaleResolutionDownBy, 1, 'never enlarged');
  assert.equal(encoding('camera', { height: 720, fps: 25, bitrate: 9_000_000 }, 360).maxBitrate, 1_200_000);
  assert.equal(encoding('camera', { height: 0, fps: 0, bitrate: 0 }, 360).active, false);
  assert.deepEqual(encoding('screen', null, 1080), { active: true, maxBitrate: 2_500_000, maxFramerate: 10, scaleResolutionDownBy: 1 });
  assert.equal(encoding('screen', { height: 1080, fps: 10, bitrate: 2_000_000 }, 1080).maxBitrate, 2_000_000);
  assert.equal(encoding('camera', { height: 180, fps: 20, bitrate: 300_000 }, 0).scaleResolutionDownBy, 1, 'of what has no size yet');
});
