/** The few things that every module does with the document. */

import { t } from './i18n.js';

/**
 * The element the page is known to have.
 * @template {Element} T
 * @param {string} selector
 * @param {new () => T} type
 * @returns {T}
 */
export function find(selector, type) {
  const found = document.querySelector(selector);
  if (!(found instanceof type)) throw new Error(`the page has no ${type.name} ${selector}`);
  return found;
}

/**
 * A new element. Strings become text nodes, never markup.
 * @template {keyof HTMLElementTagNameMap} K
 * @param {K} tag
 * @param {Record<string, string>} [attributes]
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[K]}
 */
export function make(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  made.append(...children);
  return made;
}

/**
 * A picture out of the page's sprite.
 * @param {string} name
 */
export function icon(name) {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const use = document.createElementNS('http://www.w3.org/2000/svg', 'use');
  use.setAttribute('href', `#icon-${name}`);
  svg.setAttribute('aria-hidden', 'true');
  svg.append(use);
  return svg;
}

/**
 * A sign, with words for those who do not see it.
 * @param {string} name Of the picture, and the sign's class.
 * @param {string} words
 */
export function sign(name, words) {
  return make('span', { class: `sign ${name}`, title: words }, icon(name), make('span', { class: 'unseen' }, words));
}

/** How somebody's connection is, where that is worth a mark; `data-link` of a parent says which. */
export function linkSigns() {
  return [sign('link-fair', t('link_fair')), sign('link-poor', t('link_poor'))];
}

/** A raised hand and its place in the order; {@link showHand} fills it. */
export function hand() {
  return make('span', { class: 'hand', hidden: '' }, icon('hand'), make('span', { 'aria-hidden': 'true' }), make('span', { class: 'unseen' }));
}

/**
 * @param {Element} parent Of the mark.
 * @param {number | undefined} place
 * @param {string} words
 */
export function showHand(parent, place, words) {
  const mark = parent.querySelector('.hand');
  if (!(mark instanceof HTMLElement)) return;
  const [number, unseen] = mark.querySelectorAll('span');
  mark.hidden = place === undefined;
  say(number ?? null, place === undefined ? '' : String(place));
  say(unseen ?? null, place === undefined ? '' : words);
}

/**
 * Changes a text only where it differs: screen readers tell every change.
 * @param {Element | null} element
 * @param {string} text
 */
export function say(element, text) {
  if (element && element.textContent !== text) element.textContent = text;
}

/**
 * Makes the children of `parent` stand for `items`, in their order. Elements of items that stay
 * are kept, and with them focus and hover.
 * @template T
 * @param {Element} parent
 * @param {readonly T[]} items
 * @param {(item: T) => string} key
 * @param {(item: T) => HTMLElement} create
 * @param {(element: HTMLElement, item: T) => void} update
 */
export function reconcile(parent, items, key, create, update) {
  /** @type {Map<string, HTMLElement>} */
  const old = new Map();
  for (const child of parent.children) if (child instanceof HTMLElement) old.set(child.dataset.key ?? '', child);
  let place = parent.firstElementChild;
  for (const item of items) {
    const id = key(item);
    let child = old.get(id);
    old.delete(id);
    if (!child) {
      child = create(item);
      child.dataset.key = id;
    }
    update(child, item);
    if (child === place) place = place.nextElementSibling;
    else parent.insertBefore(child, place);
  }
  for (const gone of old.values()) gone.remove();
}
