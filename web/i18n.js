/** The page's texts in the reader's language: one file for each under `words/`. */

import { words as english } from './words/en.js';

/**
 * @typedef {keyof typeof english | keyof typeof import('./words/operator/en.js').words | keyof typeof import('./words/costs/en.js').words} Key
 * @typedef {string | Partial<Record<Intl.LDMLPluralRule, string>> & { other: string }} Entry One text, or one for each plural form.
 * @typedef {Record<keyof typeof english, Entry>} Words
 */

/** Languages there are words for, and the way they are written. */
export const LANGUAGES = /** @type {const} */ ({ en: 'ltr', de: 'ltr', ko: 'ltr', ar: 'rtl' });

/** @typedef {keyof typeof LANGUAGES} Language */

/** English numbers and lists as this project writes them ("A, B and C"). */
const LOCALES = { en: 'en-GB', de: 'de', ko: 'ko', ar: 'ar' };

/**
 * The first of the wanted languages that there are words for; English if there is none. Pure.
 * @param {readonly string[]} wanted BCP 47 tags, best first.
 * @returns {Language}
 */
export function choose(wanted) {
  for (const tag of wanted) {
    const language = /** @type {Language} */ (tag.toLowerCase().split('-')[0]);
    if (Object.hasOwn(LANGUAGES, language)) return language;
  }
  return 'en';
}

export const language = choose(globalThis.document ? navigator.languages : []);
const locale = LOCALES[language];
/** @type {Partial<Record<Key, Entry>>} */
const words = language === 'en' ? { ...english } : (await import(`./words/${language}.js`)).words;

/**
 * Words that not every meeting needs: of the pages for whoever runs the server, or of what a meeting costs.
 * @param {'operator' | 'costs'} what
 */
export async function learn(what = 'operator') {
  Object.assign(words, (await import(`./words/${what}/${language}.js`)).words);
}

/** Letters and marks that could turn the text around them. */
const TURNS = /[\u0590-\u08ff\u200e\u200f\u202a-\u202e\u2066-\u2069\ufb1d-\ufdff\ufe70-\ufefc]/;
const rtl = LANGUAGES[language] === 'rtl';

/**
 * Text put into a sentence of the other direction keeps to itself (Unicode's isolates).
 * @param {string} text
 */
export function isolate(text) {
  return rtl || TURNS.test(text) ? `\u2068${text}\u2069` : text;
}

/**
 * One text, with what belongs into its `{gaps}`. A number in `n` chooses the plural form.
 * @param {Key} key
 * @param {Record<string, string | number>} [gaps]
 * @returns {string}
 */
export function t(key, gaps = {}) {
  return fill(words[key] ?? key, gaps, locale);
}

/**
 * @param {Entry} entry
 * @param {Record<string, string | number>} gaps
 * @param {string} locale
 */
export function fill(entry, gaps, locale) {
  const form = typeof entry === 'string' ? entry : (entry[plural(Number(gaps.n ?? 0), locale)] ?? entry.other);
  return form.replace(/\{(\w+)\}/g, (gap, name) => {
    const value = gaps[name];
    if (value === undefined) return gap;
    return typeof value === 'number' ? new Intl.NumberFormat(locale).format(value) : isolate(value);
  });
}

/**
 * @param {number} n
 * @param {string} locale
 */
function plural(n, locale) {
  return new Intl.PluralRules(locale).select(n);
}

/**
 * Names one after the other, as the language does it.
 * @param {readonly string[]} items
 */
export function list(items) {
  return new Intl.ListFormat(locale, { type: 'conjunction' }).format(items);
}

/**
 * A number with so many digits after the point at most.
 * @param {number} value
 * @param {number} digits
 */
export function number(value, digits) {
  return new Intl.NumberFormat(locale, { maximumFractionDigits: digits }).format(value);
}

/**
 * The time of day.
 * @param {number} ms Since 1970.
 */
export function clock(ms) {
  return new Intl.DateTimeFormat(locale, { hour: '2-digit', minute: '2-digit' }).format(ms);
}

const ATTRIBUTES = /** @type {const} */ ({ tLabel: 'aria-label', tTitle: 'title', tPlaceholder: 'placeholder' });

/** Puts the words where the document's `data-t…` attributes want them. */
export function translate() {
  document.documentElement.lang = language;
  document.documentElement.dir = LANGUAGES[language];
  for (const element of document.querySelectorAll('[data-t]')) {
    if (element instanceof HTMLElement) element.textContent = t(/** @type {Key} */ (element.dataset.t));
  }
  for (const [data, attribute] of Object.entries(ATTRIBUTES)) {
    const selector = `[data-${data.replace('L', '-l').replace('T', '-t').replace('P', '-p')}]`;
    for (const element of document.querySelectorAll(selector)) {
      if (element instanceof HTMLElement) element.setAttribute(attribute, t(/** @type {Key} */ (element.dataset[data])));
    }
  }
}
