/** What the page says about its connection, in words. */

/** @typedef {'ready' | 'connecting' | 'connected' | 'interrupted' | 'lost' | 'left'} State */

/** @type {Record<State, string>} */
const WORDS = {
  ready: 'Not joined yet',
  connecting: 'Connecting…',
  connected: 'Connected',
  interrupted: 'Interrupted, reconnecting…',
  lost: 'Connection lost, trying again…',
  left: 'You have left',
};

/**
 * @param {State} state
 * @returns {string}
 */
export function words(state) {
  return WORDS[state];
}

/**
 * Shows a state where style sheets, people and screen readers find it.
 * @param {HTMLElement} line An element with `role="status"`.
 * @param {State} state
 */
export function showState(line, state) {
  document.body.dataset.state = state;
  line.dataset.state = state;
  if (line.textContent !== words(state)) line.textContent = words(state);
}
