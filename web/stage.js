/** The picture and the sound of the mix. */

import { find } from './dom.js';
import { t } from './i18n.js';

export class Stage {
  #video = find('#mix', HTMLVideoElement);
  #hint = find('#stage-hint', HTMLElement);
  #start = find('#start-sound', HTMLButtonElement);
  /** Said in place of the picture while nothing is waited for. @type {string | null} */
  #only = null;

  constructor() {
    this.#start.addEventListener('click', () => {
      this.#start.hidden = true;
      this.#video.muted = false;
      void this.#play();
    });
    this.#video.addEventListener('loadeddata', () => this.wait(null));
  }

  /** @param {MediaStream} mix One video and one audio track. */
  play(mix) {
    this.wait(t('waiting_picture'));
    this.#video.srcObject = mix;
    void this.#play();
  }

  /**
   * Says over the picture what is being waited for.
   * @param {string | null} text
   */
  wait(text) {
    const shown = text ?? this.#only;
    this.#hint.textContent = shown ?? '';
    this.#hint.hidden = shown === null;
  }

  /**
   * Says that there is only sound, in place of the last picture; `null` ends it.
   * @param {string | null} text
   */
  only(text) {
    this.#video.classList.toggle('blank', text !== null);
    this.#only = text;
    this.wait(null);
  }

  /**
   * The browser wants a click before there is sound.
   * @param {() => void} resume
   */
  blocked(resume) {
    this.#start.hidden = false;
    this.#start.addEventListener('click', resume, { once: true });
  }

  /** @param {boolean} on */
  sound(on) {
    this.#video.muted = !on;
    if (on) this.#start.hidden = true;
  }

  stop() {
    this.#video.srcObject = null;
    this.#video.classList.remove('blank');
    this.#start.hidden = true;
    this.#only = null;
    this.wait(null);
  }

  async #play() {
    try {
      await this.#video.play();
    } catch (error) {
      if (!(error instanceof DOMException) || error.name !== 'NotAllowedError') return;
      // The browser wants a click before it lets a page make sound: the picture goes first.
      this.#start.hidden = false;
      this.#video.muted = true;
      await this.#video.play().catch(() => {});
    }
  }
}
