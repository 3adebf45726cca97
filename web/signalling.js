/** Signalling as promises: a command in, its acknowledgement or refusal out. */

/**
 * @typedef {import('./protocol.js').Command} Command
 * @typedef {import('./protocol.js').Notice} Notice
 * @typedef {import('./protocol.js').ErrorCode} ErrorCode
 */

import { t } from './i18n.js';
import { openLine } from './line.js';

/** How long the server may take to answer, ms. Far above any healthy answer. */
const PATIENCE_MS = 15_000;

/** The server said no, in its own words. */
export class Refused extends Error {
  /**
   * @param {ErrorCode} code
   * @param {string} text
   */
  constructor(code, text) {
    super(text);
    this.code = code;
  }
}

/** The line could not be opened, was lost, or stayed silent. */
export class Lost extends Error {}

/** Of the last command; answers that come by the data channel may outlive a line. */
let last = 0;

/** One line, from open to close. */
export class Signalling {
  #line;
  /** @type {Map<number, { resolve: (ack: any) => void, reject: (error: Error) => void, timer: number }>} */
  #waiting = new Map();
  /** @type {Error | null} */
  #refusal = null;

  /** Called for every message that answers nothing. @type {(notice: Notice) => void} */
  onnotice = () => {};
  /** Called once, however the line ends; a `Refused` if the server said why. @type {(why: Error) => void} */
  onclose = () => {};

  /**
   * @param {string} url Of the socket.
   * @param {AbortSignal} signal Gives up opening.
   * @param {number} patience How long it may take, ms.
   * @returns {Promise<Signalling>}
   */
  static async open(url, signal, patience = PATIENCE_MS) {
    const line = await openLine(url, signal, patience).catch(() => null);
    if (!line) throw new Lost(t('no_server'));
    return new Signalling(line);
  }

  /** @param {import('./line.js').Line} line Open. */
  constructor(line) {
    this.#line = line;
    line.onmessage = (text) => this.hear(text);
    line.onclose = () => this.#end(this.#refusal ?? new Lost(t('state_lost')));
  }

  /** By what the server is reached. */
  get path() {
    return this.#line.path;
  }

  /**
   * Sends a command; resolves with what its acknowledgement carries.
   * @param {Command} command
   * @param {Pick<import('./line.js').Line, 'open' | 'send'>} [by] Another way than the line.
   * @returns {Promise<any>}
   */
  request(command, by = this.#line) {
    return new Promise((resolve, reject) => {
      if (!by.open) {
        reject(new Lost(t('no_server')));
        return;
      }
      last += 1;
      const id = last;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Lost(`The server did not answer (${command.type}).`));
      }, PATIENCE_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      by.send(JSON.stringify({ id, ...command }));
    });
  }

  /** Closes at once; what still waits for an answer is rejected. */
  close() {
    this.#line.close();
    this.#end(new Lost('The connection was closed.'));
  }

  /** @param {string} text A message, whichever way it came. */
  hear(text) {
    /** @type {import('./protocol.js').Message} */
    let message;
    try {
      message = JSON.parse(text);
    } catch {
      return; // A server of another make; its answer will be missed soon enough.
    }
    if (message.type !== 'ack' && message.type !== 'error') {
      this.onnotice(message);
      return;
    }
    const waiting = message.id === undefined ? undefined : this.#waiting.get(message.id);
    if (waiting && message.id !== undefined) {
      this.#waiting.delete(message.id);
      clearTimeout(waiting.timer);
    }
    if (message.type === 'ack') {
      waiting?.resolve(message);
      return;
    }
    const refusal = new Refused(message.code, message.text);
    if (message.closes) this.#refusal = refusal;
    waiting?.reject(refusal);
  }

  /** @param {Error} why */
  #end(why) {
    for (const { reject, timer } of this.#waiting.values()) {
      clearTimeout(timer);
      reject(why);
    }
    this.#waiting.clear();
    const tell = this.onclose;
    this.onclose = () => {};
    tell(why);
  }
}
