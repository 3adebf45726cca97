// A test file's server and browsers, and a test's room.

import fs from 'node:fs';
import os from 'node:os';
import path from 'node:path';
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';

import { LANDSCAPE, PEOPLE } from './media.mjs';
import { Firefox } from './firefox.mjs';
import { Browser } from './participant.mjs';
import { startServer } from './server.mjs';
import { until } from './wait.mjs';

// Own tone against the quietest of the others, and what counts as heard at all.
const OWN_BELOW = 30;
const HEARD = -60;

// Describes the meetings of one test file: call once, at its top. One server for the file and
// one browser for each colour and size, started when first needed; rooms and pages are each
// test's own. `args` go to `quilt serve`. `world` is where they are: `wrap` makes a command one
// that runs where the server is, `browser` says how and with what a colour's browser is started,
// and `url` where it finds the server; a world that is `missing`, with the reason, skips the tests.
export function meetings(name, args = [], world = {}) {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), `quilt-${name}-`));
  const browsers = new Map();
  let server;
  let failed = false;

  before(async () => {
    if (!world.missing) server = await startServer(folder, args, world.wrap);
  });
  after(async () => {
    for (const browser of browsers.values()) await browser.close();
    browsers.clear();
    if (server) await server.stop();
    // Screenshots and the server's log stay for whoever looks into a failure.
    if (!failed) fs.rmSync(folder, { recursive: true });
  });

  async function browser(colour, size = LANDSCAPE) {
    const key = `${colour} ${size.width}x${size.height} ${size.grain ?? 0}`;
    if (!browsers.has(key)) {
      const how = world.browser?.(colour, server, folder);
      const started = colour === 'firefox' ? Firefox.start(folder) : Browser.start(folder, colour, size, how);
      browsers.set(key, await started);
    }
    return browsers.get(key);
  }

  let rooms = 0;
  return function meeting(title, run, timeout = 240_000) {
    test(title, { timeout, skip: world.missing ?? false }, async () => {
      const room = new Room(server, `${name}-${++rooms}`, browser, () => browsers);
      if (world.url) room.url = (colour) => world.url(colour, server);
      try {
        await run(room);
        for (const person of room.people) assert.deepEqual(person.faults(), [], `faults in ${person.colour}'s page`);
      } catch (error) {
        failed = true;
        await room.keep(path.join(folder, `${rooms}`));
        error.message += `\n(screenshots, consoles and the server's log are in ${folder})`;
        throw error;
      } finally {
        await room.close();
      }
    });
  };
}

class Room {
  constructor(server, name, browser, browsers) {
    this.server = server;
    this.name = name;
    this.browser = browser;
    this.browsers = browsers;
    this.people = [];
  }

  url() {
    return this.server.url;
  }

  // Someone opens the meeting page. `colour` is who (`firefox` has that browser instead); `query` and `open` refine how.
  async enter(colour, query = {}, open = {}) {
    const all = { name: named(colour), join: 1, processing: 0, ...query };
    return this.visit(colour, `/r/${this.name}?${new URLSearchParams(all)}`, open);
  }

  // Someone opens any page of the server.
  async visit(colour, path, { size, ...open } = {}) {
    const browser = await this.browser(colour, size);
    const person = await browser.open(new URL(path, this.url(colour)).href, open);
    this.people.push(person);
    return person;
  }

  // Their browser dies; nobody says goodbye.
  async kill(person) {
    this.people.splice(this.people.indexOf(person), 1);
    for (const [key, browser] of this.browsers()) {
      if (browser === person.browser) this.browsers().delete(key);
    }
    await person.browser.kill();
  }

  // Screenshots and consoles of everybody, for a failed test.
  async keep(prefix) {
    for (const { page, colour, said } of this.people) {
      fs.writeFileSync(`${prefix}-${colour}.txt`, said.join('\n'));
      await page.screenshot({ path: `${prefix}-${colour}.png`, timeout: 5_000 }).catch(() => {});
    }
  }

  async close() {
    await Promise.all(this.people.map((person) => person.close().catch(() => {})));
  }
}

// Types the name of somebody before they join. What is typed while one page makes way for another may
// be lost.
export async function type(person, name) {
  await until(`${name} is typed`, async () => {
    await person.control('name').fill(name);
    return (await person.control('name').inputValue()) === name;
  });
}

// The display name of a colour's person.
export function named(colour) {
  return colour[0].toUpperCase() + colour.slice(1);
}

// Fails unless `person` sees a live tile of each of `others`, with their name on their colour,
// and nobody else's colour anywhere, their own least of all.
export async function sees(person, others, within = 60_000) {
  await until(
    `${person.colour} sees exactly ${others.join(', ') || 'nobody'}`,
    async () => {
      const { tiles, share } = await person.look();
      const shown = Object.fromEntries(tiles.map((tile) => [tile.name, tile.shown]));
      assert.deepEqual(shown, Object.fromEntries(others.map((one) => [named(one), one])));
      for (const tile of tiles) assert.ok(tile.text.includes(tile.name), 'the name is written on the tile');
      for (const stranger of Object.keys(PEOPLE).filter((one) => !others.includes(one))) {
        // Chroma bleeds at edges between colours; a tile, however small, would be far more.
        assert.ok((share[stranger] ?? 0) < 0.002, `${stranger} fills ${share[stranger]} of the picture`);
      }
    },
    within,
  );
}

// Fails unless `person` hears each of `others`, and everybody else's tone is 30 dB below them.
export async function hears(person, others, within = 60_000) {
  await until(
    `${person.colour} hears exactly ${others.join(', ') || 'nobody'}`,
    async () => {
      const level = await person.listen();
      const quietest = Math.min(...others.map((one) => level[one]));
      if (others.length) assert.ok(quietest > HEARD, `a tone is missing: ${JSON.stringify(level)}`);
      const limit = others.length ? quietest - OWN_BELOW : HEARD;
      for (const stranger of Object.keys(PEOPLE).filter((one) => !others.includes(one))) {
        assert.ok(level[stranger] <= limit, `${stranger} is heard: ${JSON.stringify(level)}`);
      }
    },
    within,
  );
}

// Fails unless exactly one video and one audio stream come in, on one connection.
export async function hasOneDownlink(person, codec) {
  const { video, audio, states } = await person.stats();
  assert.deepEqual(states.filter((state) => state !== 'closed'), ['connected']);
  assert.equal(video.length, 1, 'one video stream');
  assert.equal(audio.length, 1, 'one audio stream');
  assert.ok(video[0].packetsReceived > 0 && audio[0].packetsReceived > 0);
  if (codec) assert.equal(video[0].codec.toLowerCase(), `video/${codec}`);
}
