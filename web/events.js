/**
 * A line to the server where no WebSocket can be had: commands are posted, messages come as
 * server-sent events. `src/server/events.rs` is the other end.
 */

/** How long the stream may say nothing, ms: the server asks for a sign of life every 5 s. */
const SILENCE_MS = 15_000;
/** How long the browser may take to have a broken stream again, ms; the server waits 5 s. */
const AGAIN_MS = 4_500;
/** Most characters of commands in one request; the server takes 256 KB. */
const BATCH = 60_000;

/** @typedef {import('./line.js').Line} Line */

/** @implements {Line} */
export class Events {
  path = /** @type {const} */ ('http');
  /** @type {(text: string) => void} */
  onmessage = () => {};
  onclose = () => {};

  #session;
  #source;
  /** Commands that wait for the request before them. @type {string[]} */
  #waiting = [];
  #posting = false;
  #closed = false;
  /** @type {number | undefined} */
  #deadline;

  /**
   * @param {string} room Its address in the API.
   * @param {AbortSignal} signal Gives up opening.
   * @returns {Promise<Events>}
   */
  static async open(room, signal) {
    const response = await fetch(`${room}/sessions`, { method: 'POST', cache: 'no-store', signal });
    if (response.status !== 201) throw new Error(`the server answered ${response.status}`);
    /** @type {{ session: string }} */
    const { session } = await response.json();
    const source = new EventSource(`${session}/events`);
    await new Promise((resolve, reject) => {
      const fail = () => {
        source.close();
        reject(new Error('no stream'));
      };
      if (signal.aborted) fail();
      signal.addEventListener('abort', fail, { once: true });
      source.onerror = fail;
      source.onopen = () => {
        signal.removeEventListener('abort', fail);
        resolve(undefined);
      };
    });
    return new Events(session, source);
  }

  /**
   * @param {string} session Its address.
   * @param {EventSource} source Open.
   */
  constructor(session, source) {
    this.#session = session;
    this.#source = source;
    source.onmessage = ({ data }) => {
      this.#expect(SILENCE_MS);
      this.onmessage(String(data));
    };
    source.addEventListener('ping', () => {
      this.#expect(SILENCE_MS);
      this.send('{"id":0,"type":"ping"}');
    });
    source.addEventListener('end', () => this.#end());
    source.onopen = () => this.#expect(SILENCE_MS);
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) this.#end();
      else this.#expect(AGAIN_MS);
    };
    this.#expect(SILENCE_MS);
  }

  get open() {
    return !this.#closed;
  }

  /** @param {string} text */
  send(text) {
    this.#waiting.push(text);
    if (!this.#posting) void this.#post();
  }

  close() {
    if (this.#closed) return;
    this.#end();
    // Said also by a page that is being closed.
    fetch(this.#session, { method: 'DELETE', keepalive: true }).catch(() => {});
  }

  /** One request at a time, or they would overtake each other. */
  async #post() {
    this.#posting = true;
    while (this.#waiting.length > 0 && !this.#closed) {
      const batch = [];
      let length = 0;
      do {
        const text = this.#waiting.shift() ?? '';
        length += text.length;
        batch.push(text);
      } while (this.#waiting.length > 0 && length + (this.#waiting[0]?.length ?? 0) < BATCH);
      // What was not answered may have been carried out, so it is not sent again: whoever asked
      // opens another session and finds out.
      const taken = await fetch(`${this.#session}/messages`, { method: 'POST', body: batch.join('\n') }).then(({ ok }) => ok, () => false);
      if (!taken) setTimeout(() => this.#end(), 200); // The stream may say why.
      if (!taken) break;
    }
    this.#posting = false;
  }

  /** @param {number} ms */
  #expect(ms) {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#end(), ms);
  }

  #end() {
    if (this.#closed) return;
    this.#closed = true;
    clearTimeout(this.#deadline);
    this.#source.close();
    this.onclose();
  }
}
