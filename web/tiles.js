/** Names, mute marks and speaking rings over the picture, from the tile map. */

import { find, make, reconcile, sign } from './dom.js';
import { contained, percent } from './geometry.js';
import { Schedule } from './schedule.js';

/**
 * @typedef {import('./protocol.js').TileMap} TileMap
 * @typedef {import('./protocol.js').MapTile} MapTile
 */

/**
 * A map whose picture does not show up for so long, ms, is applied without it: the tab may be
 * hidden, or the browser may not tell timestamps.
 */
const OVERDUE_MS = 1_000;

export class Tiles {
  #video = find('#mix', HTMLVideoElement);
  #overlay = find('#tiles', HTMLElement);
  #schedule = new Schedule();
  /** @type {TileMap | null} */
  #map = null;
  #watching = false;
  /** @type {number | undefined} */
  #overdue;
  /** @type {ReadonlyMap<string, string>} */
  #labels = new Map();
  /** @type {ReadonlySet<string>} */
  #muted = new Set();
  /** @type {ReadonlySet<string>} */
  #speaking = new Set();

  constructor() {
    new ResizeObserver(() => this.#place()).observe(this.#video);
    this.#video.addEventListener('resize', () => this.#place());
  }

  /**
   * A map to be shown from its picture on.
   * @param {TileMap} map
   */
  take(map) {
    this.#schedule.push(map);
    clearTimeout(this.#overdue);
    this.#overdue = setTimeout(() => this.#apply(this.#schedule.newest()), OVERDUE_MS);
    this.#watch();
  }

  /** Forgets everything, as before the first picture of a new connection. */
  clear() {
    this.#schedule.newest();
    clearTimeout(this.#overdue);
    this.#map = null;
    this.#draw();
  }

  /**
   * @param {ReadonlyMap<string, string>} labels From id to what to call them.
   * @param {ReadonlySet<string>} muted
   */
  people(labels, muted) {
    this.#labels = labels;
    this.#muted = muted;
    this.#draw();
  }

  /** @param {ReadonlySet<string>} ids */
  speaking(ids) {
    this.#speaking = ids;
    for (const tile of this.#overlay.children) {
      if (tile instanceof HTMLElement) tile.classList.toggle('speaking', ids.has(tile.dataset.id ?? ''));
    }
  }

  /** Looks at every picture as long as a map waits for one. */
  #watch() {
    if (this.#watching) return;
    if (!('requestVideoFrameCallback' in this.#video)) {
      this.#apply(this.#schedule.newest());
      return;
    }
    this.#watching = true;
    this.#video.requestVideoFrameCallback((_, { rtpTimestamp }) => {
      this.#watching = false;
      this.#apply(rtpTimestamp === undefined ? this.#schedule.newest() : this.#schedule.due(rtpTimestamp));
      if (!this.#schedule.empty) this.#watch();
    });
  }

  /** @param {TileMap | null} map */
  #apply(map) {
    if (!map) return;
    if (this.#schedule.empty) clearTimeout(this.#overdue);
    this.#map = map;
    this.#draw();
    this.#place();
  }

  /** Lays the overlay exactly over the picture; the tiles in it are fractions of it. */
  #place() {
    const { clientWidth: width, clientHeight: height, videoWidth, videoHeight } = this.#video;
    const picture = videoWidth > 0 ? { width: videoWidth, height: videoHeight } : this.#map;
    const box = picture && contained({ width, height }, picture);
    this.#overlay.hidden = !box;
    if (box) for (const side of /** @type {const} */ (['left', 'top', 'width', 'height'])) this.#overlay.style[side] = `${box[side]}px`;
  }

  #draw() {
    this.#overlay.dataset.names = this.#map?.names ?? 'page';
    reconcile(this.#overlay, this.#map?.tiles ?? [], ({ id }) => id, create, (element, tile) => this.#update(element, tile));
  }

  /**
   * @param {HTMLElement} element
   * @param {MapTile} tile
   */
  #update(element, tile) {
    const label = this.#labels.get(tile.id) ?? tile.name;
    element.dataset.name = tile.name;
    element.dataset.live = String(tile.live);
    element.classList.toggle('speaking', this.#speaking.has(tile.id));
    element.classList.toggle('muted', this.#muted.has(tile.id));
    element.style.left = percent(tile.x);
    element.style.top = percent(tile.y);
    element.style.width = percent(tile.width);
    element.style.height = percent(tile.height);
    const text = element.querySelector('bdi');
    if (text && text.textContent !== label) text.textContent = label;
  }
}

/**
 * @param {MapTile} tile
 * @returns {HTMLElement}
 */
function create({ id }) {
  const name = make('span', { class: 'tile-name' }, sign('mic-off', 'Microphone off'), make('bdi'));
  return make('li', { class: 'tile', 'data-testid': 'tile', 'data-id': id }, name);
}
