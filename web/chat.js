/** The chat: what was written, by whom and to whom, and a line to write in. */

import { find, icon, make, say } from './dom.js';
import { clock, t } from './i18n.js';
import { bytes, pieces } from './links.js';

/**
 * @typedef {import('./protocol.js').ChatLine} ChatLine
 * @typedef {import('./people.js').People} People
 */

/** Most lines kept on the page. */
const KEPT = 500;
/** A reader this close to the end follows what comes, px. */
const NEAR_END = 60;

export class Chat {
  #log = find('#chat-log', HTMLElement);
  #empty = find('#chat-empty', HTMLElement);
  #input = find('#chat-input', HTMLTextAreaElement);
  #to = find('#chat-to', HTMLSelectElement);
  #problem = find('#chat-problem', HTMLElement);
  #unread = find('#unread', HTMLElement);
  #people;
  #open = false;
  #count = 0;
  /** Lines already shown: after a lost connection the room tells them again. */
  #known = new Set();
  /** Where the last line came from, so that a second one in a row needs no head. */
  #last = '';

  /**
   * @param {People} people
   * @param {(text: string, to: string | undefined) => Promise<void>} send Rejects with why not.
   * @param {import('./files.js').Announce} announce A file.
   * @param {(error: unknown) => string} inWords
   * @param {(unread: number) => void} counted
   */
  constructor(people, send, announce, inWords, counted) {
    this.#people = people;
    this.#announce = announce;
    this.#inWords = inWords;
    this.#counted = counted;
    const form = find('#chat-form', HTMLFormElement);
    form.addEventListener('submit', async (event) => {
      event.preventDefault();
      const text = this.#input.value.trim();
      if (text === '') return;
      // Free at once: who writes on does not wait for what is on its way.
      this.#input.value = '';
      this.#complain(null);
      this.#input.focus();
      try {
        await send(text, this.#to.value || undefined);
      } catch (error) {
        const { value } = this.#input;
        this.#input.value = value === '' ? text : `${text}\n${value}`;
        this.#complain(inWords(error));
      }
    });
    this.#input.addEventListener('keydown', (event) => {
      // While a word is being composed (Korean, Japanese, …) Enter ends the word.
      if (event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
      event.preventDefault();
      form.requestSubmit();
    });
    this.#fileButton();
    this.people();
  }

  #counted;
  #announce;
  #inWords;

  /**
   * Shown or not; what comes while it is not counts as unread.
   * @param {boolean} open
   */
  show(open) {
    this.#open = open;
    if (!open) return;
    this.#count = 0;
    this.#showCount();
    this.#log.scrollTop = this.#log.scrollHeight;
    this.#input.focus();
  }

  /** Addresses the next line to one person. @param {string} id */
  writeTo(id) {
    this.#to.value = id;
    this.#input.focus();
  }

  /**
   * @param {ChatLine} line
   * @returns {boolean} Whether it is news that the reader does not see at this moment.
   */
  take(line) {
    const key = `${line.at} ${line.from} ${line.to ?? ''} ${line.text}`;
    if (this.#known.has(key)) return false;
    this.#known.add(key);
    const mine = line.from === this.#people.me;
    const head = `${line.from} ${line.to ?? ''} ${line.name}`;
    const content = line.file ? [fileLink(line.text, line.file)] : pieces(line.text).map(piece);
    const body = make('p', { class: 'chat-text', dir: 'auto' }, ...content);
    const entry = make('div', { class: 'chat-line', 'data-testid': 'chat-line', 'data-name': line.name });
    entry.classList.toggle('mine', mine);
    entry.classList.toggle('direct', line.to !== undefined);
    if (head !== this.#last) entry.append(make('p', { class: 'chat-head' }, make('bdi', {}, this.#from(line, mine)), ' ', make('time', {}, clock(line.at))));
    entry.append(body);
    this.#last = head;
    this.#add(entry);
    if (mine || line.past || this.#open) return false;
    this.#count += 1;
    this.#showCount();
    return true;
  }

  /** Somebody came or left. @param {string} text */
  note(text) {
    this.#last = '';
    this.#add(make('p', { class: 'chat-note' }, text));
  }

  /** Who can be written to. */
  people() {
    const { me, all, labels } = this.#people;
    const chosen = this.#to.value;
    const options = all.filter(({ id }) => id !== me).map(({ id, name }) => make('option', { value: id }, labels.get(id) ?? name));
    const texts = options.map(({ value, text }) => `${value} ${text}`).join('\n');
    if (this.#to.dataset.shown === texts) return;
    this.#to.dataset.shown = texts;
    this.#to.replaceChildren(make('option', { value: '' }, t('chat_everybody')), ...options);
    if (all.some(({ id }) => id === chosen)) this.#to.value = chosen;
    else if (chosen !== '') this.#complain(t('chat_gone')); // Or a private word would go to everybody unnoticed.
  }

  /**
   * @param {ChatLine} line
   * @param {boolean} mine
   */
  #from({ from, name, to }, mine) {
    if (to === undefined) return mine ? t('chat_me') : (this.#people.labels.get(from) ?? name);
    if (mine) return t('chat_me_to', { name: this.#people.label(to) || '…' });
    return t('chat_to_me', { name: this.#people.labels.get(from) ?? name });
  }

  /** @param {HTMLElement} entry */
  #add(entry) {
    const follows = this.#log.scrollHeight - this.#log.scrollTop - this.#log.clientHeight < NEAR_END;
    this.#empty.hidden = true;
    this.#log.append(entry);
    while (this.#log.children.length > KEPT) this.#log.firstElementChild?.remove();
    if (follows) this.#log.scrollTop = this.#log.scrollHeight;
  }

  #showCount() {
    const [number, words] = this.#unread.children;
    this.#unread.hidden = this.#count === 0;
    say(number ?? null, String(this.#count));
    say(words ?? null, t('chat_unread', { n: this.#count }));
    this.#counted(this.#count);
  }

  /** Beside the line to write in: sends a file to whom the next line is for. */
  #fileButton() {
    const input = make('input', { type: 'file', hidden: '', 'data-testid': 'chat-file-input', tabindex: '-1' });
    const button = make('button', { type: 'button', class: 'quiet', 'data-testid': 'chat-file', 'aria-label': t('file_send'), title: t('file_send') }, icon('clip'));
    button.addEventListener('click', () => input.click());
    input.addEventListener('change', async () => {
      const [file] = input.files ?? [];
      input.value = ''; // The same one may be chosen again.
      if (!file) return;
      const to = this.#to.value || undefined;
      const whom = this.#to.selectedOptions[0]?.text ?? '';
      const { send } = await import('./files.js'); // Few need it.
      const { line, done } = send(file, to, whom, this.#announce);
      this.#add(line);
      this.#last = '';
      try {
        await done;
        this.#complain(null);
      } catch (error) {
        this.#complain(this.#inWords(error));
      } finally {
        line.remove();
      }
    });
    this.#input.after(button, input);
  }

  /** @param {string | null} text */
  #complain(text) {
    this.#problem.hidden = text === null;
    this.#problem.textContent = text ?? '';
  }
}

/**
 * A file is saved, never shown: what is in it is its sender's business.
 * @param {string} name
 * @param {{ size: number, url: string }} file
 */
function fileLink(name, { size, url }) {
  const fine = /^\/api\/rooms\/[\w-]+\/files\/[0-9a-f]{32}$/.test(url);
  const link = make('a', { ...(fine ? { href: url } : {}), download: name, class: 'file', 'data-testid': 'file' }, icon('clip'), make('bdi', {}, name));
  return make('span', {}, link, ' ', make('span', { class: 'soft' }, t('file_note', { size: bytes(size) })));
}

/** @param {import('./links.js').Piece} piece */
function piece({ text, href }) {
  return href === null ? text : make('a', { href, target: '_blank', rel: 'noopener noreferrer nofollow ugc' }, text);
}
