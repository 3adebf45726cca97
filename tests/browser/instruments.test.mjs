// The instruments themselves: a page that plays its own camera and microphone as the mix must
// show the colour, the shape and the tone that went in, and no others. What these cannot tell
// apart, the tests of meetings cannot either.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import http from 'node:http';
import os from 'node:os';
import path from 'node:path';
import { after, before, test } from 'node:test';

import { LANDSCAPE, PEOPLE, PORTRAIT } from './lib/media.mjs';
import { Browser } from './lib/participant.mjs';
import { until } from './lib/wait.mjs';

const PAGE = `<!doctype html><body style="margin:0">
<video id="mix" autoplay muted style="width:640px;height:360px"></video>
<div data-testid="tile" data-name="Left" data-id="a" style="position:absolute;left:0;top:0;width:320px;height:360px">Left</div>
<script>
  const ask = { video: true, audio: { echoCancellation: false, noiseSuppression: false, autoGainControl: false } };
  navigator.mediaDevices.getUserMedia(ask).then((stream) => { mix.srcObject = stream; });
</script>`;

let folder;
let site;
let url;

before(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), 'quilt-instruments-'));
  site = http.createServer((_, answer) => answer.setHeader('content-type', 'text/html').end(PAGE));
  await new Promise((resolve) => site.listen(0, '127.0.0.1', resolve));
  url = `http://127.0.0.1:${site.address().port}/`;
});
after(() => {
  site.close();
  fs.rmSync(folder, { recursive: true });
});

for (const [colour, size] of [['red', LANDSCAPE], ['yellow', LANDSCAPE], ['blue', PORTRAIT]]) {
  test(`eyes and ears know ${colour} at ${size.width}x${size.height}`, async () => {
    const browser = await Browser.start(folder, colour, size);
    try {
      const person = await browser.open(url);
      const seen = await until('the camera plays', async () => {
        const seen = await person.look();
        return seen.width > 0 && seen.tiles[0].share[colour] > 0 && seen;
      });
      assert.deepEqual({ width: seen.width, height: seen.height }, size);
      assert.ok(seen.share[colour] > 0.9, `${colour} fills ${seen.share[colour]}`);
      assert.ok(seen.share.white > 0.02 && seen.share.white < 0.06);
      for (const other of Object.keys(PEOPLE).filter((one) => one !== colour)) {
        assert.ok((seen.share[other] ?? 0) < 0.001, `${other} fills ${seen.share[other]}`);
      }
      // The tile covers the left half of the element; a portrait picture lies in its middle.
      const { box, share } = seen.tiles[0];
      assert.ok(share[colour] > 0.9, `${colour} fills ${share[colour]} of the tile`);
      const inner = size.height > size.width ? (360 * 360) / 640 : 640;
      assert.ok(Math.abs(box.width - 320 / inner) < 0.01, `the tile is ${box.width} wide`);

      // Where the browser's sound runs dry for a moment it clicks, which is every tone.
      await until('the tone sounds, and no other', async () => {
        const level = await person.listen();
        assert.ok(level[colour] > -40, JSON.stringify(level));
        for (const other of Object.keys(PEOPLE).filter((one) => one !== colour)) {
          assert.ok(level[other] < level[colour] - 50, JSON.stringify(level));
        }
      });
    } finally {
      await browser.close();
    }
  });
}

test('a refused permission reaches the page as a refusal', async () => {
  const browser = await Browser.start(folder, 'red');
  try {
    const person = await browser.open(url, { permissions: ['microphone'] });
    const name = await person.page.evaluate(() =>
      navigator.mediaDevices.getUserMedia({ video: true }).then(() => 'granted', (error) => error.name),
    );
    assert.equal(name, 'NotAllowedError');
  } finally {
    await browser.close();
  }
});
