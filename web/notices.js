/** Short texts that come and go: one line for each key, in the region they belong to. */

import { make } from './dom.js';
import { t } from './i18n.js';

/** @typedef {{ label: string, testid: string, act: () => void }} Action */

export class Notices {
  #region;
  /** @type {Map<string, HTMLElement>} */
  #lines = new Map();

  /** @param {HTMLElement} region A live region. */
  constructor(region) {
    this.#region = region;
  }

  /**
   * Shows a text, or takes it away with `null`.
   * @param {string} key
   * @param {string | null} text
   * @param {Action[]} [actions]
   */
  set(key, text, actions = []) {
    const shown = this.#lines.get(key);
    if (shown?.firstElementChild?.textContent === text) return;
    shown?.remove();
    this.#lines.delete(key);
    if (text !== null) {
      const line = make('div', { class: 'notice', 'data-notice': key }, make('p', {}, text));
      const close = this.#button('×', `dismiss-${key}`, () => this.set(key, null));
      close.classList.add('dismiss');
      close.setAttribute('aria-label', t('dismiss'));
      line.append(close);
      for (const { label, testid, act } of actions) line.append(this.#button(label, testid, act));
      this.#lines.set(key, line);
      this.#region.append(line);
    }
    this.#region.hidden = this.#lines.size === 0;
  }

  clear() {
    for (const key of [...this.#lines.keys()]) this.set(key, null);
  }

  /**
   * @param {string} label
   * @param {string} testid
   * @param {() => void} act
   */
  #button(label, testid, act) {
    const button = make('button', { type: 'button', class: 'plain', 'data-testid': testid }, label);
    button.addEventListener('click', act);
    return button;
  }
}
