/** What screen readers are told beside what has the focus: one thing after the other. */

import { find } from './dom.js';

/** How long a text stands before the next one, ms: readers take up what changed last. */
const APART_MS = 400;
/** Most texts that wait; older ones are no news any more. */
const WAITING = 5;
/** Least time between two words on who speaks, ms. */
const SPEAKER_MS = 8_000;

export class Announcer {
  #line = find('#announcer', HTMLElement);
  /** @type {string[]} */
  #waiting = [];
  #busy = false;
  #spoke = { name: '', at: -Infinity };

  /** @param {string} text */
  say(text) {
    this.#waiting = [...this.#waiting, text].slice(-WAITING);
    if (!this.#busy) void this.#work();
  }

  /**
   * Tells who speaks, if that is news and the last such news is some while ago.
   * @param {string} name
   * @param {string} text
   * @param {number} now ms
   */
  speaker(name, text, now) {
    if (name === this.#spoke.name || now - this.#spoke.at < SPEAKER_MS) return;
    this.#spoke = { name, at: now };
    this.say(text);
  }

  async #work() {
    this.#busy = true;
    for (let text = this.#waiting.shift(); text !== undefined; text = this.#waiting.shift()) {
      this.#line.textContent = '';
      await new Promise((resolve) => setTimeout(resolve, 50)); // The same text twice is news, too.
      this.#line.textContent = text;
      await new Promise((resolve) => setTimeout(resolve, APART_MS));
    }
    this.#busy = false;
  }
}
