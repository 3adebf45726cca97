/** The pre-join form: under which name, with what, and who is already there. */

import { find, say } from './dom.js';
import { t } from './i18n.js';
import { displayNameProblem } from './names.js';
import { fetchRoom, whoIsIn } from './rooms.js';
import { recall, remember } from './store.js';

/** @typedef {import('./media.js').Devices} Devices */

/** @typedef {'all' | 'audio' | 'view'} Way With what is set, with sound only, only watching. */

export class Entry {
  #input = find('#name', HTMLInputElement);
  #problem = find('#name-problem', HTMLElement);
  #who = find('#who', HTMLElement);
  #how = find('#how', HTMLElement);
  #recorded = find('#recorded', HTMLElement);
  #audioOnly = find('#audio-only', HTMLButtonElement);
  #room;
  #view;

  /**
   * @param {string} room
   * @param {import('./options.js').Options} options
   * @param {(way: Way) => void} join Called when the person wants in.
   */
  constructor(room, options, join) {
    this.#room = room;
    this.#view = options.view;
    // What was typed before this script was there stays.
    this.#input.value ||= options.name || (recall('name') ?? '');
    find('#join .label', HTMLElement).textContent = options.view ? t('watch') : t('join');
    this.#input.addEventListener('input', () => this.#complain(null));
    find('#watch', HTMLButtonElement).addEventListener('click', () => join('view'));
    this.#audioOnly.addEventListener('click', () => join('audio'));
    find('#entry', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      join(options.view ? 'view' : 'all');
    });
    // Until now a click would have sent the form and loaded the page anew.
    find('#join', HTMLButtonElement).disabled = false;
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
    remember('name', name);
    return name;
  }

  /** Puts the cursor where something has to be typed. */
  focus() {
    if (displayNameProblem(this.#input.value) !== null) this.#input.focus();
  }

  /**
   * Says what joining now would mean.
   * @param {boolean} audio
   * @param {boolean} video
   */
  tellHow(audio, video) {
    const how = audio ? (video ? 'how_both' : 'how_audio') : video ? 'how_video' : 'how_nothing';
    say(this.#how, t(this.#view ? 'how_watch' : how));
    this.#audioOnly.hidden = !video || !audio;
  }

  /** Says who is in the room. */
  async tellWhoIsIn() {
    try {
      const here = await fetchRoom(this.#room);
      say(this.#who, here && here.participants > 0 ? t('who_is_in', { who: whoIsIn(here) }) : t('who_nobody'));
      say(this.#recorded, here?.recording ? t('recording_on') : '');
      this.#recorded.hidden = !here?.recording;
    } catch {
      say(this.#who, '');
    }
  }

  /** @param {string | null} text */
  #complain(text) {
    this.#problem.textContent = text ?? '';
    this.#problem.hidden = text === null;
    this.#input.setAttribute('aria-invalid', String(text !== null));
  }
}
