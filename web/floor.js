/** The floor: who has it, who wants it, and who may take it away. */

import { find, icon, make, say } from './dom.js';
import { t } from './i18n.js';
import { openMenu } from './menu.js';
import { idOf } from './tiles.js';

/**
 * @typedef {import('./protocol.js').Reaction} Reaction
 * @typedef {import('./protocol.js').Act} Act
 * @typedef {import('./people.js').People} People
 * @typedef {import('./menu.js').Item} Item
 *
 * @typedef {object} Hooks
 * @property {(command: import('./protocol.js').Command) => void} ask
 * @property {(id: string) => void} writeTo
 * @property {(key: string | null) => void} enlarge
 * @property {() => string | null} enlarged The key of a tile.
 * @property {(key: string) => boolean} hasTile
 * @property {(id: string, name: string, button: HTMLElement) => void} volume
 */

/** Drawn here: not every system has a font for them. @type {readonly Reaction[]} */
export const REACTIONS = ['thumbs', 'clap', 'heart', 'laugh', 'wow', 'party'];
/** How long a reaction is seen, ms; the style sheet moves it for as long. */
const REACTION_MS = 3_500;

export class Floor {
  #people;
  #hooks;
  #tools = find('#host-tools', HTMLElement);
  #sky = find('#reactions', HTMLElement);
  #react = find('#react', HTMLButtonElement);
  #locked = false;
  #held = false;

  /**
   * @param {People} people
   * @param {Hooks} hooks
   */
  constructor(people, hooks) {
    this.#people = people;
    this.#hooks = hooks;
    this.#react.addEventListener('click', () => this.#reactMenu());
  }

  /** Own hand up or down. */
  toggleHand() {
    this.#hooks.ask({ type: 'hand', raised: this.#people.own?.hand === undefined });
  }

  /**
   * @param {boolean} locked
   * @param {boolean} held Newcomers wait.
   */
  update(locked, held) {
    const { own } = this.#people;
    this.#locked = locked;
    this.#held = held;
    this.#react.setAttribute('aria-pressed', String(own?.hand !== undefined));
    this.#tools.hidden = !own?.host;
    const tools = this.#hostItems();
    const texts = tools.map(({ label }) => label).join('\n');
    if (this.#tools.dataset.shown === texts) return;
    this.#tools.dataset.shown = texts;
    this.#tools.replaceChildren(...tools.map(({ label, testid = '', danger, act }) => {
      const button = make('button', { type: 'button', 'data-testid': testid, ...(danger ? { class: 'danger' } : {}) }, label);
      if (act) button.addEventListener('click', act);
      return button;
    }));
  }

  /**
   * The menu of somebody, or of their tile.
   * @param {string} key Of the tile that is meant; anybody's id will do.
   * @param {HTMLElement} button
   */
  menu(key, button) {
    const id = idOf(key);
    const { me, own, all } = this.#people;
    const person = all.find((one) => one.id === id);
    if (!person) return;
    const name = this.#people.label(id);
    /** @type {(Item | string)[]} */
    const items = [];
    if (this.#hooks.enlarged() === key) items.push({ label: t('enlarge_end'), testid: 'enlarge', act: () => this.#hooks.enlarge(null) });
    else if (this.#hooks.hasTile(key)) items.push({ label: t('enlarge'), testid: 'enlarge', act: () => this.#hooks.enlarge(key) });
    if (id !== me && own) items.push({ label: t('write_to', { name }), testid: 'write-to', act: () => this.#hooks.writeTo(id) });
    if (id !== me) items.push({ label: t('volume_of', { name }), testid: 'volume-one', act: () => this.#hooks.volume(id, name, button) });
    if (id === me) items.push({ label: t(person.hand === undefined ? 'raise_hand' : 'lower_hand'), act: () => this.toggleHand() });
    /** @type {(label: import('./i18n.js').Key, act: Act, more?: Partial<Item>) => Item} */
    const item = (label, act, more = {}) => ({ label: t(label), testid: `${act}-one`, act: () => this.#moderate(act, id), ...more });
    if (own?.host) {
      items.push(t('host_heading'));
      items.push(person.pinned ? item('unpin', 'unpin') : item('pin', 'pin'));
    }
    if (own?.host && id !== me) {
      items.push(person.silenced ? item('unmute_one', 'unmute') : item('mute_one', 'mute'));
      if (person.hand !== undefined) items.push(item('lower_one', 'lower'));
      if (!person.host) {
        items.push(item('make_host', 'host'));
        const act = () => {
          if (confirm(t('remove_sure', { name }))) this.#moderate('remove', id);
        };
        items.push(item('remove', 'remove', { danger: true, act }));
      }
    }
    if (items.length > 0) openMenu(button, t('menu_of', { name }), items);
  }

  /**
   * Shows a reaction where its sender is.
   * @param {Reaction} reaction
   * @param {DOMRect | null} box
   */
  show(reaction, box) {
    if (!REACTIONS.includes(reaction)) return; // A newer server knows more of them.
    const sky = this.#sky.getBoundingClientRect();
    const element = make('span', { class: 'reaction', 'data-testid': 'reaction' }, icon(`face-${reaction}`));
    const x = box ? box.left + box.width / 2 - sky.left : sky.width / 2;
    const y = box ? box.top + box.height * 0.7 - sky.top : sky.height * 0.85;
    element.style.left = `${x}px`;
    element.style.top = `${y}px`;
    this.#sky.append(element);
    setTimeout(() => element.remove(), REACTION_MS);
  }

  #reactMenu() {
    const raised = this.#people.own?.hand !== undefined;
    const faces = REACTIONS.map((reaction) => ({
      label: t(reaction), icon: `face-${reaction}`, face: true, testid: `react-${reaction}`, act: () => this.#hooks.ask({ type: 'react', reaction }),
    }));
    openMenu(this.#react, t('react'), [
      { label: t(raised ? 'lower_hand' : 'raise_hand'), icon: 'hand', testid: 'hand', act: () => this.toggleHand() }, ...faces,
    ]);
  }

  /** @returns {Item[]} */
  #hostItems() {
    const quiet = this.#people.all.some(({ silenced }) => silenced);
    return [
      { label: t('mute_all'), testid: 'mute-all', act: () => this.#moderate('mute') },
      ...(quiet ? [{ label: t('unmute_all'), testid: 'unmute-all', act: () => this.#moderate('unmute') }] : []),
      { label: t(this.#locked ? 'unlock' : 'lock'), testid: 'lock', act: () => this.#moderate(this.#locked ? 'unlock' : 'lock') },
      { label: t(this.#held ? 'unhold' : 'hold'), testid: 'hold', act: () => this.#moderate(this.#held ? 'unhold' : 'hold') },
      {
        label: t('end_all'), testid: 'end-all', danger: true, act: () => {
          if (confirm(t('end_sure'))) this.#moderate('end');
        },
      },
    ];
  }

  /**
   * @param {Act} act
   * @param {string} [who] Everybody without.
   */
  #moderate(act, who) {
    this.#hooks.ask({ type: 'moderate', act, ...(who === undefined ? {} : { who }) });
  }
}

/**
 * Shows whether nobody else can come in.
 * @param {boolean} locked
 */
export function showLock(locked) {
  const flag = find('#locked', HTMLElement);
  flag.hidden = !locked;
  say(flag.querySelector('.label'), t('locked'));
}
