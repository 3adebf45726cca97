// Where the picture is in its element, and from which picture on a tile map holds.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { contained, filled, percent } from '../../web/geometry.js';
import { reached, Schedule } from '../../web/schedule.js';

test('a wide element leaves bars at the sides, a tall one above and below', () => {
  assert.deepEqual(contained({ width: 1000, height: 360 }, { width: 1280, height: 720 }), { left: 180, top: 0, width: 640, height: 360 });
  assert.deepEqual(contained({ width: 320, height: 640 }, { width: 1280, height: 720 }), { left: 0, top: 230, width: 320, height: 180 });
  assert.deepEqual(contained({ width: 640, height: 360 }, { width: 1280, height: 720 }), { left: 0, top: 0, width: 640, height: 360 });
});

test('without a size there is no place', () => {
  assert.equal(contained({ width: 0, height: 360 }, { width: 1280, height: 720 }), null);
  assert.equal(contained({ width: 640, height: 360 }, { width: 0, height: 0 }), null);
});

test('fractions become lengths that CSS reads', () => {
  assert.equal(percent(0), '0%');
  assert.equal(percent(1 / 3), '33.3333%');
  assert.equal(percent(1e-9), '0%');
});

test('RTP time is compared across its wrap', () => {
  assert.ok(reached(100, 100));
  assert.ok(reached(101, 100));
  assert.ok(!reached(99, 100));
  assert.ok(reached(5, 0xffff_fff0), 'just after the wrap');
  assert.ok(!reached(0xffff_fff0, 5), 'just before the wrap');
});

/** @returns {any} */
const map = (layout, rtpTime) => ({ layout, rtpTime });

test('a map waits for its picture, and the newest due map wins', () => {
  const schedule = new Schedule();
  schedule.push(map(1, 1000));
  schedule.push(map(2, 4600));
  schedule.push(map(3, 8200));
  assert.equal(schedule.due(999), null);
  assert.equal(schedule.due(4600)?.layout, 2);
  assert.equal(schedule.due(4600), null, 'each is handed out once');
  assert.ok(!schedule.empty);
  assert.equal(schedule.due(9000)?.layout, 3);
  assert.ok(schedule.empty);
});

test('without timestamps the newest map is taken at once', () => {
  const schedule = new Schedule();
  assert.equal(schedule.newest(), null);
  schedule.push(map(1, 1000));
  schedule.push(map(2, 4600));
  assert.equal(schedule.newest()?.layout, 2);
  assert.ok(schedule.empty);
});

test('a camera is cropped by at most a fifth, and has bars beyond', () => {
  const tile = { width: 640, height: 360 };
  assert.deepEqual(filled({ width: 1280, height: 720 }, tile), { left: 0, top: 0, ...tile });
  // 4:3 loses a quarter of its height in 16:9: a fifth is cut, and bars do the rest.
  const four = filled({ width: 640, height: 480 }, tile);
  assert.equal(Math.round(four.width), 600);
  assert.equal(four.height, 360);
  assert.equal(Math.round(four.left), 20);
  // Upright: as wide as 9:12.8.
  const upright = filled({ width: 360, height: 640 }, tile);
  assert.equal(upright.width, (360 * 9) / 12.8);
  assert.deepEqual(filled({ width: 640, height: 360 }, { width: 300, height: 200 }), { left: 0, top: 0, width: 300, height: 200 });
  assert.equal(filled({ width: 0, height: 0 }, tile), null);
});
