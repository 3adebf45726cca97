/** The signalling socket as promises: a command in, its acknowledgement or refusal out. */

/**
 * @typedef {import('./protocol.js').Command} Command
 * @typedef {import('./protocol.js').Notice} Notice
 * @typedef {import('./protocol.js').ErrorCode} ErrorCode
 */

import { t } from './i18n.js';

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

/** The socket could not be opened, was lost, or stayed silent. */
export class Lost extends Error {}

/** One socket, from open to close. */
export class Signalling {
  /** @type {WebSocket} */
  #socket;
  /** @type {Map<number, { resolve: (ack: any) => void, reject: (error: Error) => void, timer: number }>} */
  #waiting = new Map();
  #last = 0;
  /** @type {Error | null} */
  #refusal = null;

  /** Called for every message that answers nothing. @type {(notice: Notice) => void} */
  onnotice = () => {};
  /** Called once, however the socket ends; a `Refused` if the server said why. @type {(why: Error) => void} */
  onclose = () => {};

  /**
   * @param {string} url
   * @param {AbortSignal} signal Gives up opening.
   * @param {number} patience How long it may take, ms.
   * @returns {Promise<Signalling>}
   */
  static open(url, signal, patience = PATIENCE_MS) {
    return new Promise((resolve, reject) => {
      const socket = new WebSocket(url);
      const fail = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', fail);
        socket.close();
        reject(new Lost(t('no_server')));
      };
      const timer = setTimeout(fail, patience);
      socket.onerror = fail;
      signal.addEventListener('abort', fail, { once: true });
      socket.onopen = () => {
        clearTimeout(timer);
        signal.removeEventListener('abort', fail);
        resolve(new Signalling(socket));
      };
    });
  }

  /** @param {WebSocket} socket Open. */
  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = (event) => this.#receive(event.data);
    socket.onerror = null;
    socket.onclose = () => this.#end(this.#refusal ?? new Lost(t('state_lost')));
  }

  /**
   * Sends a command; resolves with what its acknowledgement carries.
   * @param {Command} command
   * @returns {Promise<any>}
   */
  request(command) {
    return new Promise((resolve, reject) => {
      if (this.#socket.readyState !== WebSocket.OPEN) {
        reject(new Lost(t('no_server')));
        return;
      }
      this.#last += 1;
      const id = this.#last;
      const timer = setTimeout(() => {
        this.#waiting.delete(id);
        reject(new Lost(`The server did not answer (${command.type}).`));
      }, PATIENCE_MS);
      this.#waiting.set(id, { resolve, reject, timer });
      this.#socket.send(JSON.stringify({ id, ...command }));
    });
  }

  /** Closes at once; what still waits for an answer is rejected. */
  close() {
    this.#socket.close();
    this.#end(new Lost('The connection was closed.'));
  }

  /** @param {unknown} data */
  #receive(data) {
    /** @type {import('./protocol.js').Message} */
    let message;
    try {
      message = JSON.parse(String(data));
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
