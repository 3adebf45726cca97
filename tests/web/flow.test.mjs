// When a path counts as broken.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { Flow, LOOK_MS, SILENT_MS } from '../../web/flow.js';

test('silence is counted from the last packet, and only after a first one', () => {
  const flow = new Flow();
  flow.note(0, 0);
  assert.equal(flow.quiet(5_000), 0, 'nothing has come yet: that is for the connection to tell');
  flow.note(10, 5_000);
  flow.note(10, 5_000 + LOOK_MS);
  assert.equal(flow.quiet(5_000 + LOOK_MS), LOOK_MS);
  flow.note(11, 5_600);
  assert.equal(flow.quiet(5_600), 0);
});

test('two looks without a packet are not yet silence, and three are', () => {
  assert.ok(SILENT_MS > 2 * LOOK_MS && SILENT_MS <= 3 * LOOK_MS);
});
