/** Menus: a list of things to do, beside the button that opened it. */

import { find, icon, make } from './dom.js';

/**
 * @typedef {object} Item
 * @property {string} label
 * @property {string} [testid]
 * @property {string} [icon]
 * @property {boolean} [face] The icon says it all; such items stand in a row.
 * @property {boolean} [danger]
 * @property {boolean} [checked] One of several, and whether it is the one.
 * @property {string} [short] What is seen of the label; such items stand in a row.
 * @property {() => void} [act] Without, it only says something.
 */

/** Distance to the button and to the window's edges, px. */
const GAP = 8;
/** @type {HTMLElement | null} */
let shown = null;

/**
 * Opens a menu; a second call for the same button closes it.
 * @param {HTMLElement} button
 * @param {string} label
 * @param {(Item | string)[]} items Strings are headings.
 */
export function openMenu(button, label, items) {
  const again = shown?.dataset.of === button.dataset.menu && button.dataset.menu !== undefined;
  shown?.remove();
  shown = null;
  if (again) return;
  const menu = make('div', { class: 'menu', role: 'menu', popover: 'auto', 'aria-label': label, 'data-testid': 'menu' });
  button.dataset.menu ??= String(Math.random());
  menu.dataset.of = button.dataset.menu;
  for (const item of items) menu.append(typeof item === 'string' ? make('p', { class: 'menu-heading', role: 'presentation' }, item) : entry(item, menu));
  menu.addEventListener('keydown', (event) => walk(event, menu));
  menu.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== 'closed') return;
    if (shown === menu) shown = null;
    const inside = menu.contains(document.activeElement);
    menu.remove();
    if (inside || document.activeElement === document.body) button.focus();
  });
  find('main', HTMLElement).append(menu); // Within a landmark, where readers look for it.
  shown = menu;
  menu.showPopover();
  place(menu, button);
  const all = entries(menu);
  (all.find((one) => one.ariaChecked === 'true') ?? all[0])?.focus();
}

/**
 * @param {Item} item
 * @param {HTMLElement} menu
 */
function entry(item, menu) {
  const { label, checked, short, act } = item;
  const role = checked === undefined ? 'menuitem' : 'menuitemradio';
  const button = make('button', { type: 'button', role, tabindex: '-1', ...(item.testid ? { 'data-testid': item.testid } : {}) });
  if (checked !== undefined) button.setAttribute('aria-checked', String(checked));
  if (!act) button.setAttribute('aria-disabled', 'true');
  if (item.face || short) {
    button.classList.add(short ? 'short' : 'face');
    button.setAttribute('aria-label', label);
    button.title = label;
  }
  if (item.icon) button.append(icon(item.icon));
  if (!item.face) button.append(short ?? label);
  if (item.danger) button.classList.add('danger');
  button.addEventListener('click', () => {
    if (!act) return;
    menu.hidePopover();
    if (shown === menu) shown = null; // What is done may open another.
    act();
  });
  return button;
}

/** @param {HTMLElement} menu */
function entries(menu) {
  return [...menu.querySelectorAll('button')];
}

/**
 * @param {KeyboardEvent} event
 * @param {HTMLElement} menu
 */
function walk(event, menu) {
  const all = entries(menu);
  const at = all.findIndex((button) => button === document.activeElement);
  const next = { ArrowDown: at + 1, ArrowRight: at + 1, ArrowUp: at - 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
  if (event.key === 'Tab') menu.hidePopover();
  if (next === undefined) return;
  event.preventDefault();
  all.at(next % all.length)?.focus();
}

/**
 * @param {HTMLElement} menu
 * @param {HTMLElement} button
 */
function place(menu, button) {
  const at = button.getBoundingClientRect();
  const { offsetWidth: width, offsetHeight: height } = menu;
  const above = at.top - GAP - height;
  const below = at.bottom + GAP;
  // A tile is larger than its menu: inside it, then, under the pointer's reach.
  const top = below + height <= innerHeight - GAP ? below : above >= GAP ? above : Math.max(GAP, innerHeight - GAP - height);
  const left = at.left + at.width / 2 - width / 2;
  menu.style.left = `${Math.max(GAP, Math.min(left, innerWidth - GAP - width))}px`;
  menu.style.top = `${top}px`;
}
