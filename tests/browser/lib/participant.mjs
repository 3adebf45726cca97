// A person with a browser of their own: what they send is known, what they get is looked at and
// listened to as they would.

import { chromium } from 'playwright-core';
import { existsSync } from 'node:fs';

import { camera, LANDSCAPE, microphone, PEOPLE } from './media.mjs';
import { probe } from './probe.mjs';
import { sleep, until } from './wait.mjs';

const executablePath =
  process.env.CHROMIUM ?? ['/usr/bin/chromium', '/usr/bin/chromium-browser'].find(existsSync);

// One Chromium, whose camera shows `colour` in this size and whose microphone has its tone.
export class Browser {
  // `world`: how programs are started where this one is to run, and what it is told besides.
  static async start(folder, colour, size = LANDSCAPE, { program = (path) => path, args = [] } = {}) {
    const server = await chromium.launchServer({
      executablePath: program(executablePath),
      host: '127.0.0.1',
      args: [
        ...args,
        '--no-sandbox',
        '--disable-gpu',
        '--autoplay-policy=no-user-gesture-required',
        '--allow-loopback-in-peer-connection',
        '--use-fake-device-for-media-stream',
        `--use-file-for-fake-video-capture=${camera(folder, colour, size)}`,
        `--use-file-for-fake-audio-capture=${microphone(folder, colour)}`,
      ],
    });
    try {
      return new Browser(server, await chromium.connect(server.wsEndpoint()), colour);
    } catch (error) {
      await server.kill(); // else it would keep the test process alive
      throw error;
    }
  }

  constructor(server, connection, colour) {
    this.server = server;
    this.connection = connection;
    this.colour = colour;
  }

  // Opens a page. `permissions` are what the user has granted; without, the browser refuses.
  // `upright`: as on a phone held so. `more` is what else Playwright's contexts can be, such as
  // their `locale`, `colorScheme` and `viewport`.
  async open(url, { permissions = ['camera', 'microphone'], upright = false, ...more } = {}) {
    const context = await this.connection.newContext({
      permissions,
      viewport: upright ? { width: 390, height: 780 } : { width: 800, height: 600 },
      ...more,
    });
    const page = await context.newPage();
    const said = [];
    page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => said.push(`uncaught: ${error.stack}`));
    await page.addInitScript(probe);
    if (upright) await page.addInitScript(turnCamera);
    await page.goto(url);
    return new Participant(this, context, page, said);
  }

  // As when the battery dies: no farewell from anything in it.
  async kill() {
    await this.server.kill();
  }

  async close() {
    await this.connection.close().catch(() => {});
    await this.server.close();
  }
}

// A phone resolves the constraints on its sensor and then turns the picture: who asks for 640x360
// gets 360x640. A file instead of a camera is not turned, so here the constraints are.
function turnCamera() {
  const devices = navigator.mediaDevices;
  const original = devices.getUserMedia.bind(devices);
  devices.getUserMedia = ({ video, ...rest }) => {
    if (typeof video !== 'object') return original({ video, ...rest });
    const { width, height, ...other } = video;
    return original({ video: { width: height, height: width, ...other }, ...rest });
  };
}

export class Participant {
  constructor(browser, context, page, said) {
    this.browser = browser;
    this.context = context;
    this.page = page;
    this.said = said;
    this.colour = browser.colour;
  }

  control(name) {
    return this.page.locator(`[data-testid="${name}"]`);
  }

  // The people whose tiles the page has, in its order.
  async names() {
    return this.page.evaluate(() => {
      const tiles = [...document.querySelectorAll('[data-testid="tile"]')];
      return tiles.map((tile) => tile.dataset.name);
    });
  }

  // What the mix shows now: its size; the share of each person's colour in the whole picture;
  // and for each tile of the map its name, place (fractions) and the colour in it, if any.
  async look(people = PEOPLE) {
    const hues = Object.entries(people).map(([key, { name = key, hue }]) => [name, hue]);
    return this.page.evaluate((hues) => window.probe.look(hues), hues);
  }

  // Where people come one by one: each one's name, and the colour of their picture, if there is one.
  async gallery() {
    const hues = Object.entries(PEOPLE).map(([name, { hue }]) => [name, hue]);
    return this.page.evaluate((hues) => window.probe.gallery(hues), hues);
  }

  // What comes in of somebody's picture where they come one by one, by the browser's own statistics.
  async received(name) {
    const track = await this.page.evaluate((name) => window.probe.track(name), name);
    return (await this.stats()).video.find((entry) => entry.track === track);
  }

  // How loud each person's tone is now, in dB, over about a second.
  async listen(people = PEOPLE) {
    const tones = Object.entries(people).map(([name, { hz }]) => [name, hz]);
    return this.page.evaluate((tones) => window.probe.listen(tones), tones);
  }

  // The loudest moment of the mix within two seconds, dBFS.
  async loudness() {
    return this.page.evaluate(() => window.probe.loudness());
  }

  // What the browser's own statistics say of the connection.
  async stats() {
    return this.page.evaluate(() => window.probe.stats());
  }

  // How much of each tile's pixels changed within half a second, by the tile's name.
  async motion() {
    return this.page.evaluate(() => window.probe.motion());
  }

  // What went wrong in the page that a user might not see: exceptions, and what its own security
  // policy refused.
  faults() {
    return this.said.filter((line) => line.startsWith('uncaught:') || /Content Security Policy/.test(line));
  }

  // Resolves when the mix plays: pictures are decoded and the clock runs.
  async plays(within = 40_000) {
    await until(
      `${this.colour} sees a picture`,
      async () => {
        const before = await this.stats();
        await sleep(300);
        const after = await this.stats();
        const frames = (stats) => stats.video[0]?.framesDecoded ?? 0;
        return frames(after) > frames(before) && (await this.look()).width > 0;
      },
      within,
    );
  }

  async close() {
    await this.context.close();
  }
}
