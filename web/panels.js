/** The panels beside the picture: people or chat, one at a time, and the statistics. */

import { find } from './dom.js';

/** @typedef {'people' | 'chat'} Side */

/** The picture keeps its full size beside a panel in windows at least so wide. */
const WIDE = matchMedia('(min-width: 1100px)');

export class Panels {
  /** @type {Side | null} */
  #side = null;
  #changed;

  /** @param {(side: Side | null) => void} changed */
  constructor(changed) {
    this.#changed = changed;
    for (const side of /** @type {Side[]} */ (['people', 'chat'])) {
      toggle(side).addEventListener('click', () => this.toggle(side));
    }
    toggle('stats').addEventListener('click', () => this.stats(panel('stats').hidden));
    for (const button of document.querySelectorAll('[data-closes]')) {
      if (button instanceof HTMLElement) button.addEventListener('click', () => this.#close(button.dataset.closes ?? ''));
    }
  }

  /** As a meeting begins: there is room for the people in wide windows. */
  start() {
    this.open(WIDE.matches ? 'people' : null);
  }

  get side() {
    return this.#side;
  }

  /** @param {Side | null} side */
  open(side) {
    this.#side = side;
    for (const name of /** @type {Side[]} */ (['people', 'chat'])) {
      panel(name).hidden = name !== side;
      toggle(name).setAttribute('aria-pressed', String(name === side));
    }
    document.body.classList.toggle('side-open', side !== null);
    this.#changed(side);
  }

  /** @param {Side} side */
  toggle(side) {
    this.open(this.#side === side ? null : side);
  }

  /** @param {boolean} open */
  stats(open) {
    panel('stats').hidden = !open;
    toggle('stats').setAttribute('aria-pressed', String(open));
  }

  /** Escape: what lies over the picture goes first. */
  escape() {
    if (!panel('stats').hidden) this.stats(false);
    else if (this.#side !== null && (!WIDE.matches || panel(this.#side).contains(document.activeElement))) this.#close(this.#side);
  }

  /** @param {string} name */
  #close(name) {
    if (name === 'people' || name === 'chat') {
      this.open(null);
      toggle(name).focus();
    } else {
      find(`#${name}`, HTMLDialogElement).close();
    }
  }
}

/** @param {Side | 'stats'} name */
function panel(name) {
  return find(`#${name}-panel`, HTMLElement);
}

/** @param {Side | 'stats'} name */
function toggle(name) {
  return find(`#${name}-toggle`, HTMLButtonElement);
}
