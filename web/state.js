/** What the page says about its connection, in words. */

import { say } from './dom.js';
import { t } from './i18n.js';

/** @typedef {'ready' | 'connecting' | 'waiting' | 'connected' | 'interrupted' | 'lost' | 'left'} State */

/**
 * @param {State} state
 * @returns {string}
 */
export function words(state) {
  return t(`state_${state}`);
}

/**
 * Shows a state where style sheets, people and screen readers find it.
 * @param {HTMLElement} line An element with `role="status"`.
 * @param {State} state
 */
export function showState(line, state) {
  document.body.dataset.state = state;
  line.dataset.state = state;
  say(line, words(state));
}
