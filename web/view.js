/** What this page wishes to see: how the mix is arranged, which way it stands, and whether it may show oneself. */

import { t } from './i18n.js';

/**
 * @typedef {import('./protocol.js').Layout} Layout
 * @typedef {import('./protocol.js').View} Wish
 * @typedef {import('./menu.js').Item} Item
 *
 * @typedef {object} Room What a host decides about the picture.
 * @property {Layout} layout
 * @property {number} stageSize
 * @property {import('./protocol.js').Topology} topology At present.
 */

/** A screen that somebody shares is large in all of them, so there is none for that. @type {readonly Layout[]} */
const LAYOUTS = ['grid', 'speaker', 'solo'];
/** How many tiles a host can choose. */
const SIZES = [4, 9, 16, 25];
/** Ways that a host can choose. */
const WAYS = /** @type {const} */ (['mcu', 'sfu', 'mesh', 'auto']);
/** Ways that one can choose for oneself; `null`: the room's. */
const MINE = /** @type {const} */ ([null, 'mixed', 'forwarded']);
/** A window that is being resized is left alone for so long, ms: another shape is another encoder. */
const SETTLED_MS = 400;

/** Tells the server what it does not know yet. */
export class View {
  /** One's own choice; `null`: as the room's. @type {Layout | null} */
  #layout = null;
  #overlay = false;
  #portrait = isUpright();
  /** @type {import('./protocol.js').Downlink} */
  #downlink = 'mixed';
  #direct = false;
  /** @type {Wish} */
  #told = {};
  #width = window.innerWidth;
  #ask;
  #changed;
  /** By which way others are to come, whatever the room's is. @type {typeof MINE[number]} */
  way = null;

  /**
   * @param {(command: import('./protocol.js').Command) => Promise<void>} ask Rejects with a refusal.
   * @param {() => void} changed {@link way} is another.
   */
  constructor(ask, changed) {
    this.#ask = ask;
    this.#changed = changed;
    /** @type {number | undefined} */
    let settled;
    window.addEventListener('resize', () => {
      clearTimeout(settled);
      settled = setTimeout(() => this.#resized(), SETTLED_MS);
    });
  }

  /** All of it, as a join or another start says it. @returns {Required<Wish>} */
  get wish() {
    return { layout: this.#layout, overlay: this.#overlay, portrait: this.#portrait, downlink: this.#downlink, direct: this.#direct };
  }

  /**
   * There is a server to tell.
   * @param {Wish} told What it knows for sure.
   */
  joined(told) {
    this.#told = told;
    this.tell();
  }

  /** A meeting is over, and with it what was chosen in it. */
  left() {
    this.#layout = null;
  }

  /** @param {boolean} overlay The own camera is laid over the own tile whenever there is one. */
  set overlay(overlay) {
    this.#overlay = overlay;
    this.tell();
  }

  /** @param {import('./protocol.js').Downlink} downlink By which way others come. */
  set downlink(downlink) {
    this.#downlink = downlink;
    this.tell();
  }

  get downlink() {
    return this.#downlink;
  }

  /** @param {boolean} direct Media may go from person to person. */
  set direct(direct) {
    this.#direct = direct;
    this.tell();
  }

  /** Tells what has changed. */
  tell() {
    const { wish } = this;
    const news = Object.fromEntries(Object.entries(wish).filter(([name, value]) => this.#told[/** @type {keyof Wish} */ (name)] !== value));
    if (Object.keys(news).length === 0) return;
    this.#told = wish;
    this.#ask({ type: 'view', ...news }).catch(() => {}); // A lost socket's successor is told all of it.
  }

  /**
   * The menu of layouts.
   * @param {Room} room
   * @param {boolean | null} alone The picture on show is this page's own; `null`: there is none of all.
   * @param {((room: Partial<Omit<Room, 'topology'>> & { topology?: typeof WAYS[number] }) => void) | null} decide For hosts: changes the room.
   * @returns {(Item | string)[]}
   */
  menu(room, alone, decide) {
    /** @type {(Item | string)[]} */
    const items = alone === null ? [] : [t('layout_mine')];
    const mine = [null, ...LAYOUTS].map((layout) => ({
      label: layout ? t(`layout_${layout}`) : t('layout_room', { layout: t(`layout_${room.layout}`) }),
      testid: `layout-${layout ?? 'room'}`,
      checked: this.#layout === layout,
      act: () => {
        this.#layout = layout;
        this.tell();
      },
    }));
    if (alone) items.push(...mine);
    else if (alone === false) items.push({ label: t('layout_common'), testid: 'layout-common' });
    items.push(t('come'), ...MINE.map((way) => ({
      label: t(`come_${way ?? 'room'}`),
      testid: `come-${way ?? 'room'}`,
      checked: this.way === way,
      act: () => {
        this.way = way;
        this.#changed();
      },
    })));
    if (!decide) return items;
    items.push(t('layout_all'), ...LAYOUTS.map((layout) => ({
      label: t(`layout_${layout}`),
      testid: `layout-all-${layout}`,
      checked: room.layout === layout,
      act: () => decide({ layout }),
    })));
    items.push(t('layout_tiles'), ...SIZES.map((stageSize) => ({
      label: t('layout_size', { n: stageSize }),
      short: String(stageSize),
      testid: `layout-size-${stageSize}`,
      checked: room.stageSize === stageSize,
      act: () => decide({ stageSize }),
    })));
    items.push(t('way'), ...WAYS.map((topology) => ({
      label: t(`way_${topology}`),
      testid: `way-${topology}`,
      checked: room.topology === topology,
      act: () => decide({ topology }),
    })));
    return items;
  }

  #resized() {
    const { innerWidth: width } = window;
    // Where the height alone changes on a telephone, a keyboard has come up: nobody turned it.
    const turned = width !== this.#width || !matchMedia('(pointer: coarse)').matches;
    this.#width = width;
    if (turned) this.#portrait = isUpright();
    this.tell();
  }
}

/** Whether the window is taller than wide. */
function isUpright() {
  return window.innerHeight > window.innerWidth;
}
