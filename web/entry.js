/** The pre-join form: under which name, and who is already there. */

import { find } from './dom.js';
import { displayNameProblem } from './names.js';
import { fetchRooms, whoIsIn } from './rooms.js';

/** Where the name is remembered from meeting to meeting. */
const NAME_KEY = 'quilt-name';

export class Entry {
  #input = find('#name', HTMLInputElement);
  #problem = find('#name-problem', HTMLElement);
  #who = find('#who', HTMLElement);
  #room;

  /**
   * @param {string} room
   * @param {import('./options.js').Options} options
   * @param {(view: boolean) => void} join Called when the person wants in, or only to watch.
   */
  constructor(room, options, join) {
    this.#room = room;
    this.#input.value = options.name || remembered();
    find('#join .label', HTMLElement).textContent = options.view ? 'Watch' : 'Join';
    this.#input.addEventListener('input', () => this.#complain(null));
    find('#watch', HTMLButtonElement).addEventListener('click', () => join(true));
    find('#entry', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      join(options.view);
    });
  }

  /**
   * The name to join with, remembered for the next time.
   * @returns {string | null} `null` if it cannot be one; the form then says why.
   */
  name() {
    const name = this.#input.value.trim();
    const wrong = displayNameProblem(name);
    this.#complain(wrong);
    if (wrong !== null) return null;
    remember(name);
    return name;
  }

  /** Puts the cursor where something has to be typed. */
  focus() {
    if (displayNameProblem(this.#input.value) !== null) this.#input.focus();
  }

  /** Says who is in the room. */
  async tellWhoIsIn() {
    const rooms = await fetchRooms().catch(() => null);
    const here = rooms?.find(({ name }) => name === this.#room);
    if (here && here.participants > 0) this.#who.textContent = `In the room: ${whoIsIn(here)}.`;
    else this.#who.textContent = rooms ? 'Nobody is in the room yet.' : '';
  }

  /** @param {string | null} text */
  #complain(text) {
    this.#problem.textContent = text ?? '';
    this.#problem.hidden = text === null;
    this.#input.setAttribute('aria-invalid', String(text !== null));
  }
}

/** @param {string} name */
function remember(name) {
  try {
    localStorage.setItem(NAME_KEY, name);
  } catch {
    // Private windows may forbid it; the name is asked for again next time.
  }
}

function remembered() {
  try {
    return localStorage.getItem(NAME_KEY) ?? '';
  } catch {
    return '';
  }
}
