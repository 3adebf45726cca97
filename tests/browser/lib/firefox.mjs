// Someone with Firefox: its fake camera shows one colour that goes round the circle of hues, its fake
// microphone has a tone.

import fs from 'node:fs';
import path from 'node:path';
import puppeteer from 'puppeteer-core';

import { Participant } from './participant.mjs';
import { probe } from './probe.mjs';

const executablePath =
  process.env.FIREFOX ?? ['/usr/bin/firefox-esr', '/usr/bin/firefox'].find(fs.existsSync);

// Far from everybody else's and their harmonics.
export const FIREFOX_HZ = 1550;

const preferences = {
  'media.navigator.streams.fake': true,
  'media.navigator.audio.fake_frequency': FIREFOX_HZ,
  // As if the user had said yes for good. Only then, and told so, Firefox uses the loopback for media.
  'permissions.default.camera': 1,
  'permissions.default.microphone': 1,
  'media.peerconnection.ice.loopback': true,
  'media.autoplay.default': 0,
};

// One Firefox, driven by WebDriver BiDi. It has the face of `Browser` in participant.mjs.
export class Firefox {
  static async start(folder) {
    const userDataDir = fs.mkdtempSync(path.join(folder, 'firefox-'));
    const browser = await puppeteer.launch({
      browser: 'firefox',
      executablePath,
      userDataDir,
      headless: true,
      extraPrefsFirefox: preferences,
    });
    return new Firefox(browser);
  }

  constructor(browser) {
    this.browser = browser;
    this.colour = 'firefox';
  }

  async open(url) {
    const context = await this.browser.createBrowserContext();
    const page = await context.newPage();
    await page.setViewport({ width: 800, height: 600 });
    const said = [];
    page.on('console', (message) => said.push(`${message.type()}: ${message.text()}`));
    page.on('pageerror', (error) => said.push(`uncaught: ${error.stack}`));
    await page.evaluateOnNewDocument(probe);
    await page.evaluateOnNewDocument(ears);
    await page.goto(url);
    return new Participant(this, context, page, said);
  }

  async kill() {
    this.browser.process().kill('SIGKILL');
  }

  async close() {
    await this.browser.close();
  }
}

// Ears that need no loudspeaker: on a machine without one, no AudioContext of Firefox runs. What
// the mix plays is recorded, and the record is measured.
function ears() {
  async function record(stream, ms) {
    const recorder = new MediaRecorder(stream);
    const chunks = [];
    recorder.ondataavailable = ({ data }) => chunks.push(data);
    const ended = new Promise((resolve, reject) => {
      recorder.onstop = resolve;
      recorder.onerror = ({ error }) => reject(error);
    });
    recorder.start();
    await new Promise((resolve) => setTimeout(resolve, ms));
    recorder.stop();
    await ended;
    const context = new OfflineAudioContext(1, 1, 48000);
    return context.decodeAudioData(await new Blob(chunks).arrayBuffer());
  }

  // The level of one tone, dBFS, through a Hann window (Goertzel's algorithm).
  function level(samples, hz, rate) {
    const turn = 2 * Math.cos((2 * Math.PI * hz) / rate);
    let [one, two] = [0, 0];
    for (let n = 0; n < samples.length; n++) {
      const window = 1 - Math.cos((2 * Math.PI * n) / samples.length);
      [one, two] = [samples[n] * window + turn * one - two, one];
    }
    const power = one * one + two * two - turn * one * two;
    return Math.max(-120, 10 * Math.log10((4 * power) / samples.length ** 2 || 1e-20));
  }

  window.probe.listen = async (tones) => {
    const [track] = document.querySelector('video#mix')?.srcObject?.getAudioTracks() ?? [];
    if (!track) throw new Error('the mix has no audio track');
    const heard = await record(new MediaStream([track]), 1500);
    // The last second: the first moments may be from before the record's start.
    const samples = heard.getChannelData(0).slice(-heard.sampleRate);
    return Object.fromEntries(tones.map(([name, hz]) => [name, level(samples, hz, heard.sampleRate)]));
  };
}
