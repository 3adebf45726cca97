/** The list of who is here. */

import { find, make, reconcile, sign } from './dom.js';
import { tellApart } from './names.js';

/** @typedef {import('./protocol.js').Person} Person */

export class People {
  #list = find('#people-list', HTMLElement);
  #heading = find('#people-heading', HTMLElement);
  #viewers = find('#viewers', HTMLElement);
  #count = find('#people-count', HTMLElement);
  /** Who this page is. */
  me = '';

  /** From id to a label that nobody else has. @type {Map<string, string>} */
  labels = new Map();

  /**
   * @param {Person[]} people In the order they came.
   * @param {number} viewers How many only watch.
   */
  show(people, viewers) {
    this.labels = tellApart(people, this.labels);
    const here = people.length === 1 ? '1 person here' : `${people.length} people here`;
    this.#heading.textContent = here;
    this.#count.textContent = String(people.length);
    this.#viewers.textContent = watching(viewers, !people.some(({ id }) => id === this.me));
    this.#viewers.hidden = viewers === 0;
    reconcile(this.#list, people, ({ id }) => id, create, (line, person) => {
      const label = this.labels.get(person.id) ?? person.name;
      line.dataset.name = person.name;
      line.classList.toggle('muted', !person.audio);
      line.classList.toggle('unseen-camera', !person.video);
      line.classList.toggle('me', person.id === this.me);
      const text = line.querySelector('bdi');
      if (text && text.textContent !== label) text.textContent = label;
    });
  }

  /** @param {ReadonlySet<string>} ids */
  speaking(ids) {
    for (const line of this.#list.children) {
      if (line instanceof HTMLElement) line.classList.toggle('speaking', ids.has(line.dataset.id ?? ''));
    }
  }
}

/**
 * @param {number} viewers
 * @param {boolean} me Whether this page is one of them.
 */
function watching(viewers, me) {
  if (me) return viewers > 1 ? `You and ${viewers - 1} more only watch.` : 'You only watch.';
  return viewers === 1 ? '1 more only watches.' : `${viewers} more only watch.`;
}

/**
 * @param {Person} person
 * @returns {HTMLElement}
 */
function create({ id }) {
  return make(
    'li',
    { class: 'person', 'data-testid': 'person', 'data-id': id },
    make('span', { class: 'name' }, make('bdi'), make('span', { class: 'you' }, ' (you)')),
    sign('mic-off', 'Microphone off'),
    sign('camera-off', 'Camera off'),
  );
}
