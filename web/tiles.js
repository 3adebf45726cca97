/** Buttons over the picture, from the tile map: names, mute marks, hands, speaking rings, menus. */

import { find, hand, linkSigns, make, reconcile, say, showHand, sign } from './dom.js';
import { contained, magnified, percent } from './geometry.js';
import { t } from './i18n.js';
import { Schedule } from './schedule.js';

/**
 * @typedef {import('./protocol.js').TileMap} TileMap
 * @typedef {import('./protocol.js').MapTile} MapTile
 * @typedef {import('./protocol.js').Person} Person
 * @typedef {import('./geometry.js').Box} Box
 *
 * @typedef {object} Hooks
 * @property {(key: string, button: HTMLElement) => void} menu Opens the menu of a tile.
 * @property {(box: Box | null) => boolean} own Where one's own tile is, px in the stage; `null` without. Whether the own camera lies over it.
 * @property {(key: string | null) => void} enlarged What is shown alone.
 */

/** After the id of whoever shares it, the key of a screen. */
const SCREEN = ' screen';

/**
 * What tells a tile from all others: somebody's camera and their screen are two.
 * @param {{ id: string, share?: boolean }} tile
 */
export function keyOf({ id, share = false }) {
  return share ? id + SCREEN : id;
}

/**
 * Whose the tile with this key is.
 * @param {string} key
 */
export function idOf(key) {
  return key.endsWith(SCREEN) ? key.slice(0, -SCREEN.length) : key;
}

/**
 * A map whose picture does not show up for so long, ms, is applied without it: the tab may be
 * hidden, or the browser may not tell timestamps.
 */
const OVERDUE_MS = 1_000;

export class Tiles {
  #video = find('#mix', HTMLVideoElement);
  #overlay = find('#tiles', HTMLElement);
  #picture = find('#picture', HTMLElement);
  #hooks;
  #schedule = new Schedule();
  /** @type {TileMap | null} */
  #map = null;
  #watching = false;
  /** @type {number | undefined} */
  #overdue;
  /** @type {ReadonlyMap<string, string>} */
  #labels = new Map();
  /** @type {ReadonlyMap<string, Person>} */
  #people = new Map();
  #me = '';
  /** @type {Record<string, import('./protocol.js').LinkQuality>} */
  #links = {};
  /** @type {string | null} */
  #enlarged = null;
  /** @type {ReadonlySet<string>} */
  #speaking = new Set();

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    new ResizeObserver(() => this.place()).observe(this.#video);
    this.#video.addEventListener('resize', () => this.place());
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
    this.enlarge(null);
    this.#draw();
    this.#hooks.own(null);
  }

  /**
   * @param {ReadonlyMap<string, string>} labels From id to what to call them.
   * @param {readonly Person[]} people
   * @param {string} me
   */
  people(labels, people, me) {
    this.#labels = labels;
    this.#people = new Map(people.map((person) => [person.id, person]));
    this.#me = me;
    this.#draw();
  }

  /**
   * Shows one tile over the whole stage, or all of them again.
   * @param {string | null} key
   */
  enlarge(key) {
    this.#enlarged = this.#map?.tiles.some((tile) => keyOf(tile) === key) ? key : null;
    this.#hooks.enlarged(this.#enlarged);
    this.place();
  }

  get enlarged() {
    return this.#enlarged;
  }

  /** Whether there is a picture, in which everybody moves who sends one. */
  get live() {
    return this.#map?.tiles.every(({ id, live }) => live || id === this.#me || this.#people.get(id)?.video !== true) ?? false;
  }

  /** Whether the picture on show is made for this page alone. */
  get alone() {
    return this.#map?.names === 'page';
  }

  /**
   * Where a tile is on the screen.
   * @param {string} key
   */
  boxOf(key) {
    for (const tile of this.#overlay.children) {
      if (tile instanceof HTMLElement && tile.dataset.key === key) return tile.getBoundingClientRect();
    }
    return null;
  }

  /** @param {ReadonlySet<string>} ids */
  speaking(ids) {
    this.#speaking = ids;
    for (const tile of this.#overlay.children) {
      if (tile instanceof HTMLElement) tile.classList.toggle('speaking', ids.has(tile.dataset.key ?? ''));
    }
  }

  /** @param {Record<string, import('./protocol.js').LinkQuality>} links Good where none is named. */
  links(links) {
    this.#links = links;
    this.#draw();
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
    this.place();
  }

  /** Lays the overlay exactly over the picture; the tiles in it are fractions of it. */
  place() {
    const { clientWidth: width, clientHeight: height, videoWidth, videoHeight } = this.#video;
    const picture = videoWidth > 0 ? { width: videoWidth, height: videoHeight } : this.#map;
    const box = picture && contained({ width, height }, picture);
    this.#overlay.hidden = !box;
    if (!box) return;
    for (const side of /** @type {const} */ (['left', 'top', 'width', 'height'])) this.#overlay.style[side] = `${box[side]}px`;
    const tile = this.#map?.tiles.find((one) => keyOf(one) === this.#enlarged);
    const { scale, left, top } = tile ? magnified({ width, height }, inPixels(tile, box)) : { scale: 1, left: 0, top: 0 };
    this.#picture.style.transform = tile ? `translate(${left}px, ${top}px) scale(${scale})` : '';
    this.#picture.style.setProperty('--scale', String(scale));
    const own = this.#map?.tiles.find((one) => keyOf(one) === this.#me);
    const covered = this.#hooks.own(own && !tile ? inPixels(own, box) : null);
    for (const one of this.#overlay.children) one.classList.toggle('covered', covered && one instanceof HTMLElement && one.dataset.key === this.#me);
  }

  #draw() {
    this.#overlay.dataset.names = this.#map?.names ?? 'page';
    const tiles = this.#map?.tiles ?? [];
    reconcile(this.#overlay, tiles, keyOf, (tile) => this.#create(tile), (element, tile) => this.#update(element, tile));
    if (this.#enlarged !== null && !tiles.some((tile) => keyOf(tile) === this.#enlarged)) this.enlarge(null);
  }

  /** @param {MapTile} tile */
  #create(tile) {
    const key = keyOf(tile);
    const name = make('span', { class: 'tile-name' }, hand(), ...linkSigns(), sign('pin', t('pinned')), sign('mic-off', t('microphone_off')), make('bdi'));
    const button = make('button', { class: 'tile-button', type: 'button', 'aria-haspopup': 'menu' }, name);
    button.addEventListener('click', () => this.#hooks.menu(key, button));
    return make('li', { class: 'tile', 'data-testid': 'tile', 'data-id': tile.id }, button);
  }

  /**
   * @param {HTMLElement} element
   * @param {MapTile} tile
   */
  #update(element, tile) {
    const name = this.#labels.get(tile.id) ?? tile.name;
    const label = tile.share ? t('screen_of', { name }) : name;
    element.dataset.name = tile.name;
    element.dataset.live = String(tile.live);
    element.dataset.share = String(tile.share ?? false);
    element.classList.toggle('speaking', this.#speaking.has(keyOf(tile)));
    // The marks are a person's, and stand on their camera.
    const person = tile.share ? undefined : this.#people.get(tile.id);
    element.classList.toggle('muted', person?.audio === false);
    element.classList.toggle('pinned', person?.pinned === true);
    element.dataset.link = (person && this.#links[person.id]) ?? 'good';
    element.classList.toggle('raised', person?.hand !== undefined);
    showHand(element, person?.hand, t('hand_up', { n: person?.hand ?? 0 }));
    element.style.left = percent(tile.x);
    element.style.top = percent(tile.y);
    element.style.width = percent(tile.width);
    element.style.height = percent(tile.height);
    say(element.querySelector('bdi'), label);
  }
}

/**
 * @param {MapTile} tile
 * @param {Box} box Of the whole picture.
 * @returns {Box}
 */
function inPixels(tile, box) {
  return {
    left: box.left + tile.x * box.width,
    top: box.top + tile.y * box.height,
    width: tile.width * box.width,
    height: tile.height * box.height,
  };
}
