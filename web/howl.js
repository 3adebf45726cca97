/**
 * Notices other windows of this browser in the same room. An open microphone next to a
 * loudspeaker that plays the same meeting howls, and echo cancellation knows only the sound of
 * its own window.
 */

/**
 * @typedef {{ mic: boolean, sound: boolean }} Open What of a window is open.
 * @typedef {Open & { window: string, room: string, ask?: boolean, gone?: boolean }} Word
 */

const CHANNEL = 'quilt-windows';
/** How often a window says that it is still there, ms. */
const REPEAT_MS = 5_000;
/** A window that has been silent for so long, ms, was killed. Two repeats may be late. */
const FORGET_MS = 3 * REPEAT_MS;

/** What is known of the other windows. Pure; time is an argument, in ms. */
export class Neighbours {
  /** @type {Map<string, Open & { heard: number }>} */
  #others = new Map();
  #room;

  /** @param {string} room */
  constructor(room) {
    this.#room = room;
  }

  /**
   * @param {Word} word
   * @param {number} now
   */
  hear(word, now) {
    if (word.room !== this.#room) return;
    if (word.gone) this.#others.delete(word.window);
    else this.#others.set(word.window, { mic: word.mic, sound: word.sound, heard: now });
  }

  /**
   * Whether a microphone and a loudspeaker of two windows are open together.
   * @param {Open} own
   * @param {number} now
   */
  howls(own, now) {
    for (const [window, { heard }] of this.#others) {
      if (now - heard > FORGET_MS) this.#others.delete(window);
    }
    return [...this.#others.values()].some((other) => (own.mic && other.sound) || (own.sound && other.mic));
  }
}

/** Keeps this window and the others informed. */
export class HowlWatch {
  #channel = new BroadcastChannel(CHANNEL);
  #neighbours;
  #room;
  #window = Math.random().toString(36).slice(2);
  /** @type {Open} */
  #own = { mic: false, sound: false };
  #howls = false;
  #timer;
  #tell;

  /**
   * @param {string} room
   * @param {(howls: boolean) => void} tell Called when the danger begins and ends.
   */
  constructor(room, tell) {
    this.#room = room;
    this.#tell = tell;
    this.#neighbours = new Neighbours(room);
    this.#channel.onmessage = ({ data }) => {
      this.#neighbours.hear(data, performance.now());
      if (data.ask) this.#say({});
      this.#judge();
    };
    this.#say({ ask: true });
    this.#timer = setInterval(() => {
      this.#say({});
      this.#judge();
    }, REPEAT_MS);
  }

  /** @param {Open} own */
  update(own) {
    if (own.mic === this.#own.mic && own.sound === this.#own.sound) return;
    this.#own = own;
    this.#say({});
    this.#judge();
  }

  close() {
    clearInterval(this.#timer);
    this.#say({ gone: true });
    this.#channel.close();
  }

  /** @param {{ ask?: boolean, gone?: boolean }} more */
  #say(more) {
    this.#channel.postMessage({ ...this.#own, ...more, window: this.#window, room: this.#room });
  }

  #judge() {
    const howls = this.#neighbours.howls(this.#own, performance.now());
    if (howls === this.#howls) return;
    this.#howls = howls;
    this.#tell(howls);
  }
}
