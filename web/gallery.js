/** A picture of each person, where they do not come in one: an element of its own for each. */

import { find, make, reconcile, say } from './dom.js';

/**
 * @typedef {object} Shown
 * @property {string} id
 * @property {string} name
 * @property {boolean} video Their camera, or their screen, is on.
 * @property {MediaStream | null} stream None yet.
 * @property {MediaStream | null} coming It is to take that one's place, as soon as it has a picture.
 */

/** From so loud on somebody speaks. */
const SPEAKS = 0.02;

export class Gallery {
  #root = find('#gallery', HTMLElement);
  #hooks;
  #muted = false;
  #watching = new ResizeObserver(() => this.#hooks.resized());

  /**
   * @param {object} hooks
   * @param {(id: string, button: HTMLElement) => void} hooks.menu
   * @param {() => void} hooks.resized Pictures are shown larger or smaller.
   * @param {(resume: () => void) => void} hooks.blocked The browser wants a click before there is sound.
   */
  constructor(hooks) {
    this.#hooks = hooks;
  }

  /**
   * @param {readonly Shown[]} people
   * @param {boolean} visible Not yet, otherwise: it is made ready beneath another picture.
   */
  show(people, visible) {
    const columns = Math.ceil(Math.sqrt(people.length)) || 1;
    this.#root.style.setProperty('--columns', String(columns));
    this.#root.style.setProperty('--rows', String(Math.ceil(people.length / columns) || 1));
    reconcile(this.#root, people, ({ id }) => id, ({ id }) => this.#create(id), (tile, person) => this.#update(tile, person));
    this.#root.hidden = false;
    this.#root.classList.toggle('coming', !visible);
    document.body.classList.toggle('in-gallery', visible);
  }

  /**
   * Whether there is a picture in this stream to be shown.
   * @param {MediaStream} stream
   */
  pictured(stream) {
    const video = showing(this.#root, stream);
    return video !== undefined && video.readyState >= HTMLMediaElement.HAVE_CURRENT_DATA && video.videoWidth > 0;
  }

  hide() {
    this.#root.hidden = true;
    this.#watching.disconnect();
    for (const video of this.#videos()) video.srcObject = null;
    this.#root.replaceChildren();
    document.body.classList.remove('in-gallery');
  }

  /** @param {boolean} on */
  sound(on) {
    this.#muted = !on;
    for (const video of this.#videos()) video.muted = !on || video.classList.contains('coming');
  }

  /** Lines that each picture has on the screen, by whose it is. @returns {Record<string, number>} */
  lines() {
    const shown = [...this.#root.children].filter((tile) => tile instanceof HTMLElement);
    return Object.fromEntries(shown.map((tile) => {
      const { width, height } = tile.getBoundingClientRect();
      return [tile.dataset.key ?? '', Math.round(Math.min(height, (width * 9) / 16) * devicePixelRatio)];
    }));
  }

  /** @param {(id: string) => number} level 0 to 1. */
  speaking(level) {
    for (const tile of this.#root.children) {
      if (tile instanceof HTMLElement) tile.classList.toggle('speaking', level(tile.dataset.key ?? '') >= SPEAKS);
    }
  }

  #videos() {
    return this.#root.querySelectorAll('video');
  }

  /** @param {string} id */
  #create(id) {
    const button = make('button', { type: 'button', class: 'tile-button', 'aria-haspopup': 'menu' }, make('span', { class: 'tile-name' }));
    button.addEventListener('click', () => this.#hooks.menu(id, button));
    const tile = make('li', { class: 'tile', 'data-testid': 'gallery-tile' }, button);
    this.#watching.observe(tile);
    return tile;
  }

  /**
   * @param {HTMLElement} tile
   * @param {Shown} person
   */
  #update(tile, { name, video, stream, coming }) {
    say(tile.querySelector('.tile-name'), name);
    tile.querySelector('button')?.setAttribute('aria-label', name);
    tile.dataset.name = name;
    tile.classList.toggle('off', !video);
    // Each stream has an element of its own: it takes one some time to show its first picture.
    for (const old of tile.querySelectorAll('video')) {
      if (old.srcObject === stream || old.srcObject === coming) continue;
      old.srcObject = null;
      old.remove();
    }
    if (stream) this.#put(tile, stream, true);
    if (coming) this.#put(tile, coming, false);
  }

  /**
   * @param {HTMLElement} tile
   * @param {MediaStream} stream
   * @param {boolean} shown
   */
  #put(tile, stream, shown) {
    const there = showing(tile, stream);
    if (there && there.classList.contains('coming') !== shown) return;
    const video = there ?? make('video', { autoplay: '', playsinline: '' });
    video.classList.toggle('coming', !shown);
    video.muted = this.#muted || !shown;
    if (!there) {
      video.srcObject = stream;
      tile.querySelector('button')?.before(video);
    }
    void this.#play(video);
  }

  /** @param {HTMLVideoElement} element */
  async #play(element) {
    try {
      await element.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      element.muted = true;
      await element.play().catch(() => {});
      this.#hooks.blocked(() => {
        this.sound(true);
      });
    }
  }
}

/**
 * The element in there that has this stream.
 * @param {HTMLElement} root
 * @param {MediaStream} stream
 */
function showing(root, stream) {
  return [...root.querySelectorAll('video')].find(({ srcObject }) => srcObject === stream);
}
