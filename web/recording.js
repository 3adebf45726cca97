/** The sign that the meeting is recorded, and the host's button for it. */

import { find, say } from './dom.js';
import { t } from './i18n.js';
import { Refused } from './signalling.js';

export class Recording {
  #sign = find('#recording', HTMLElement);
  #button = find('#record', HTMLButtonElement);
  #on = false;
  /** The server has said that it knows no recording. */
  #unknown = false;

  /**
   * @param {(command: import('./protocol.js').Command) => Promise<void>} ask Rejects with a refusal.
   * @param {(text: string) => void} announce
   * @param {(why: unknown) => void} fail The server would not.
   */
  constructor(ask, announce, fail) {
    this.announce = announce;
    this.#button.addEventListener('click', () => void this.#toggle(ask, fail));
  }

  get on() {
    return this.#on;
  }

  /** @param {boolean} on */
  show(on) {
    const changed = on !== this.#on;
    this.#on = on;
    document.body.dataset.recording = on ? 'on' : 'off';
    this.#sign.hidden = !on;
    say(this.#sign.querySelector('.label'), t('recording'));
    this.#button.setAttribute('aria-pressed', String(on));
    if (changed) this.announce(t(on ? 'recording_on' : 'recording_off'));
  }

  /** @param {boolean} host Only hosts have the button. */
  offer(host) {
    this.#button.hidden = !host || this.#unknown;
  }

  /** The meeting is over for this page. */
  left() {
    this.#on = false;
    this.#sign.hidden = true;
    delete document.body.dataset.recording;
  }

  /**
   * @param {(command: import('./protocol.js').Command) => Promise<void>} ask
   * @param {(why: unknown) => void} fail
   */
  async #toggle(ask, fail) {
    this.#button.disabled = true;
    try {
      await ask({ type: 'record', on: !this.#on });
    } catch (why) {
      this.#unknown ||= why instanceof Refused && why.code === 'bad_message';
      if (this.#unknown) this.#button.hidden = true;
      fail(this.#unknown ? new Error(t('record_not')) : why);
    } finally {
      this.#button.disabled = false;
    }
  }
}
