// How much of the own picture is sent.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { encodingFor } from '../../web/uplink.js';

const CAMERA = { width: 640, height: 360 };
const MOST = 1_200_000;

test('as many lines as the largest tile has, and never more than there are', () => {
  const half = encodingFor({ height: 180, fps: 25, bitrate: 250_000 }, CAMERA, MOST);
  assert.deepEqual(half, { active: true, maxBitrate: 250_000, maxFramerate: 30, scaleResolutionDownBy: 2 });
  const large = encodingFor({ height: 720, fps: 25, bitrate: 1_700_000 }, CAMERA, MOST);
  assert.equal(large.scaleResolutionDownBy, 1);
  assert.equal(large.maxBitrate, MOST, 'a small picture needs no more for being shown large');
  const screen = encodingFor({ height: 1080, fps: 10, bitrate: 1_700_000 }, { width: 1920, height: 1080 }, MOST);
  assert.deepEqual([screen.scaleResolutionDownBy, screen.maxBitrate], [1, 1_700_000]);
});

test('a picture taller than wide fills its tile with its shorter side', () => {
  const { scaleResolutionDownBy } = encodingFor({ height: 180, fps: 25, bitrate: 250_000 }, { width: 360, height: 640 }, MOST);
  assert.equal(scaleResolutionDownBy, 2);
});

test('what nobody sees is not sent, and what is not known is not scaled', () => {
  assert.deepEqual(encodingFor({ height: 0, fps: 0, bitrate: 0 }, CAMERA, MOST), { active: false });
  assert.equal(encodingFor({ height: 180, fps: 25, bitrate: 250_000 }, {}, MOST).scaleResolutionDownBy, 1);
});
