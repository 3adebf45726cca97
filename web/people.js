/** The list of who is here. */

import { find, hand as handMark, linkSigns, make, reconcile, say, showHand, sign } from './dom.js';
import { t } from './i18n.js';
import { tellApart } from './names.js';

/** @typedef {import('./protocol.js').Person} Person */

export class People {
  #list = find('#people-list', HTMLElement);
  #heading = find('#people-heading', HTMLElement);
  #viewers = find('#viewers', HTMLElement);
  #count = find('#people-count', HTMLElement);
  #menu;
  /** @type {Record<string, import('./protocol.js').LinkQuality>} */
  #links = {};
  /** Who this page is. */
  me = '';
  /** In the order they came. @type {Person[]} */
  all = [];

  /** From id to a label that nobody else has. @type {Map<string, string>} */
  labels = new Map();

  /** @param {(id: string, button: HTMLElement) => void} menu Opens the menu of somebody. */
  constructor(menu) {
    this.#menu = menu;
  }

  /** @returns {Person | undefined} */
  get own() {
    return this.all.find(({ id }) => id === this.me);
  }

  /** @param {string} id */
  label(id) {
    return this.labels.get(id) ?? '';
  }

  /**
   * @param {Person[]} people In the order they came.
   * @param {number} viewers How many only watch.
   * @returns {{ came: Person[], went: Person[], raised: Person[], shares: Person[] }} What is new.
   */
  show(people, viewers) {
    const before = this.all;
    const labels = this.labels;
    this.all = people;
    this.labels = tellApart(people, labels);
    say(this.#heading, t('people_here', { n: people.length }));
    say(this.#count, String(people.length));
    say(this.#viewers, viewers === 0 ? '' : watching(viewers, !this.own));
    this.#viewers.hidden = viewers === 0;
    reconcile(this.#list, inOrder(people), ({ id }) => id, (person) => this.#create(person), (line, person) => this.#update(line, person));
    const was = new Map(before.map((person) => [person.id, person]));
    const went = before.filter(({ id }) => !this.labels.has(id));
    for (const person of went) person.name = labels.get(person.id) ?? person.name;
    return {
      came: people.filter(({ id }) => !was.has(id)),
      went,
      shares: people.filter(({ id, sharing }) => sharing && !was.get(id)?.sharing),
      raised: people.filter(({ id, hand }) => hand && was.has(id) && !was.get(id)?.hand),
    };
  }

  /** @param {ReadonlySet<string>} ids */
  speaking(ids) {
    for (const line of this.#list.children) {
      if (line instanceof HTMLElement) line.classList.toggle('speaking', ids.has(line.dataset.id ?? ''));
    }
  }

  /** @param {Record<string, import('./protocol.js').LinkQuality>} links Good where none is named. */
  links(links) {
    this.#links = links;
    for (const line of this.#list.children) if (line instanceof HTMLElement) line.dataset.link = links[line.dataset.id ?? ''] ?? 'good';
  }

  /** @param {Person} person */
  #create({ id }) {
    const button = make(
      'button',
      { class: 'plain person-button', type: 'button', 'aria-haspopup': 'menu' },
      make('span', { class: 'name' }, make('bdi'), make('span', { class: 'you' }, ` ${t('you')}`)),
      handMark(),
      sign('star', t('is_host')),
      ...linkSigns(),
      sign('pin', t('pinned')),
      sign('screen', t('shares')),
      sign('mic-off', t('microphone_off')),
      sign('camera-off', t('camera_off')),
    );
    button.addEventListener('click', () => this.#menu(id, button));
    return make('li', { class: 'person', 'data-testid': 'person', 'data-id': id }, button);
  }

  /**
   * @param {HTMLElement} line
   * @param {Person} person
   */
  #update(line, { id, name, audio, video, host = false, hand, pinned = false, sharing = false }) {
    line.dataset.name = name;
    line.dataset.link = this.#links[id] ?? 'good';
    line.classList.toggle('muted', !audio);
    line.classList.toggle('unseen-camera', !video);
    line.classList.toggle('host', host);
    line.classList.toggle('raised', hand !== undefined);
    line.classList.toggle('pinned', pinned);
    line.classList.toggle('shares', sharing);
    line.classList.toggle('me', id === this.me);
    showHand(line, hand, t('hand_up', { n: hand ?? 0 }));
    say(line.querySelector('bdi'), this.labels.get(id) ?? name);
  }
}

/**
 * Raised hands first, in their order; the others as they came. Pure.
 * @param {readonly Person[]} people
 */
export function inOrder(people) {
  const last = Number.MAX_SAFE_INTEGER;
  return [...people].sort((a, b) => (a.hand ?? last) - (b.hand ?? last));
}

/**
 * @param {number} viewers
 * @param {boolean} me Whether this page is one of them.
 */
function watching(viewers, me) {
  if (!me) return t('more_watch', { n: viewers });
  return viewers > 1 ? t('you_and_watch', { n: viewers - 1 }) : t('you_only_watch');
}
