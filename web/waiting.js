/** The waiting room: what those see who wait, and the list of them for those who let them in. */

import { find, make, reconcile, say } from './dom.js';
import { t } from './i18n.js';

/**
 * @typedef {import('./protocol.js').Knocking} Knocking
 * @typedef {(act: import('./protocol.js').Act, who?: string) => void} Moderate
 */

/**
 * Says over the stage what one waits for, or no longer.
 * @param {boolean} on
 */
export function wait(on) {
  document.querySelector('.waiting')?.remove();
  if (!on) return;
  const card = make('section', { class: 'waiting card', 'data-testid': 'waiting', 'aria-labelledby': 'waiting-heading' },
    make('h2', { id: 'waiting-heading', tabindex: '-1' }, t('state_waiting')), make('p', { class: 'soft' }, t('waiting_text')));
  find('.stage', HTMLElement).append(card);
  card.querySelector('h2')?.focus();
}

/**
 * Shows a host who waits, above the list of people.
 * @param {Knocking[]} list
 * @param {Moderate} moderate
 */
export function showWaiting(list, moderate) {
  let section = document.querySelector('#waiting-list');
  if (list.length === 0) {
    // The focus may be on the button that was just pressed.
    if (section?.contains(document.activeElement)) find('#people-toggle', HTMLElement).focus();
    section?.remove();
    return;
  }
  if (!section) {
    const all = button('let_in_all', 'admit-all', () => moderate('admit'));
    section = make('section', { id: 'waiting-list', 'data-testid': 'waiting-list', 'aria-labelledby': 'waiting-list-heading' },
      make('h3', { id: 'waiting-list-heading' }, t('waiting_list')), make('ul'), all);
    find('#people-list', HTMLElement).before(section);
  }
  const [lines, all] = [section.querySelector('ul'), section.querySelector(':scope > button')];
  if (all instanceof HTMLElement) all.hidden = list.length < 2;
  if (!lines) return;
  reconcile(lines, list, ({ id }) => id, ({ id, name }) => {
    /** @type {(label: 'let_in' | 'turn_away', act: import('./protocol.js').Act) => HTMLElement} */
    const answer = (label, act) => {
      const made = button(label, act, () => moderate(act, id));
      made.setAttribute('aria-label', `${t(label)}: ${name}`);
      return made;
    };
    return make('li', { class: 'waiter', 'data-testid': 'waiter', 'data-name': name }, make('bdi'), answer('let_in', 'admit'), answer('turn_away', 'refuse'));
  }, (line, { name }) => say(line.querySelector('bdi'), name));
}

/**
 * @param {'let_in' | 'let_in_all' | 'turn_away'} label
 * @param {string} testid
 * @param {() => void} act
 */
function button(label, testid, act) {
  const made = make('button', { type: 'button', class: 'plain', 'data-testid': testid }, t(label));
  made.addEventListener('click', act);
  return made;
}
