/** How much picture to ask for and to send: what can be chosen, and when less is worth suggesting. Pure. */

/**
 * @typedef {import('./protocol.js').Quality} Quality
 *
 * @typedef {object} Device What a browser tells of the machine.
 * @property {boolean} saveData Its user wants few bytes.
 * @property {number} cores 0 where it does not tell.
 * @property {number} memory GiB; 0 where it does not tell.
 *
 * @typedef {object} Seen Pictures since the start.
 * @property {number} decoded
 * @property {number} dropped Decoded and not shown, for want of time.
 */

/** From most to least; `auto` leaves it to line and server. @type {readonly Quality[]} */
export const QUALITIES = ['auto', 'high', 'medium', 'low', 'audio'];

/**
 * @param {string | null} text Such as an address has.
 * @returns {Quality | null}
 */
export function qualityOf(text) {
  return QUALITIES.find((quality) => quality === text?.toLowerCase()) ?? null;
}

/**
 * What to ask of a camera: a tile of a grid needs no more than the standard, the server would
 * scale it down.
 * @param {Quality} quality
 * @returns {MediaTrackConstraints}
 */
export function capture(quality) {
  switch (quality) {
    case 'low':
    case 'audio':
      return { width: { ideal: 320 }, height: { ideal: 180 }, frameRate: { ideal: 12, max: 15 } };
    case 'medium':
      return { width: { ideal: 480 }, height: { ideal: 270 }, frameRate: { ideal: 20, max: 20 } };
    default:
      return { width: { ideal: 640 }, height: { ideal: 360 }, frameRate: { ideal: 25, max: 30 } };
  }
}

/**
 * What serves a device better than `auto`, by what it tells of itself before anything was played.
 * @param {Device} device
 * @returns {Quality | null}
 */
export function suggestFor({ saveData, cores, memory }) {
  if (saveData || (memory > 0 && memory <= 1)) return 'low';
  if ((cores > 0 && cores <= 2) || (memory > 0 && memory <= 2)) return 'medium';
  return null;
}

/** A tenth of all pictures dropped looks broken ... */
const TOO_MANY = 0.1;
/** ... if it goes on for so many looks, two seconds apart: starting a meeting is hard work, too. */
const IN_A_ROW = 4;

/** Watches whether the machine shows what it gets. */
export class Struggle {
  /** @type {Seen | null} */
  #before = null;
  #bad = 0;

  /**
   * @param {Seen} seen
   * @returns {boolean} Whether it does not, for some time now.
   */
  note(seen) {
    const before = this.#before;
    this.#before = seen;
    const decoded = before ? seen.decoded - before.decoded : 0;
    const dropped = before ? seen.dropped - before.dropped : 0;
    this.#bad = decoded >= 10 && dropped > decoded * TOO_MANY ? this.#bad + 1 : 0;
    return this.#bad >= IN_A_ROW;
  }
}

/**
 * What is one less.
 * @param {Quality} quality
 * @returns {Quality}
 */
export function below(quality) {
  return quality === 'low' || quality === 'audio' ? 'audio' : quality === 'medium' ? 'low' : 'medium';
}
