/** Tile maps that wait for their picture. Pure. */

/** @typedef {import('./protocol.js').TileMap} TileMap */

/**
 * Whether a picture is the one a map starts at, or a later one. RTP time wraps at 2^32, so the
 * sign of the 32-bit difference decides (RFC 1982).
 * @param {number} rtpTimestamp Of the picture.
 * @param {number} rtpTime Of the map.
 */
export function reached(rtpTimestamp, rtpTime) {
  return ((rtpTimestamp - rtpTime) | 0) >= 0;
}

/** Keeps maps in the order they came and hands out the one that a picture is laid out with. */
export class Schedule {
  /** @type {TileMap[]} */
  #waiting = [];

  get empty() {
    return this.#waiting.length === 0;
  }

  /** @param {TileMap} map */
  push(map) {
    this.#waiting.push(map);
  }

  /**
   * The newest map whose picture has come; that one and all before it wait no longer.
   * @param {number} rtpTimestamp Of the picture on show.
   * @returns {TileMap | null}
   */
  due(rtpTimestamp) {
    const index = this.#waiting.findLastIndex((map) => reached(rtpTimestamp, map.rtpTime));
    return index < 0 ? null : (this.#waiting.splice(0, index + 1).at(-1) ?? null);
  }

  /**
   * The newest map, due or not: for browsers that do not tell the timestamp of a picture.
   * @returns {TileMap | null}
   */
  newest() {
    return this.#waiting.splice(0).at(-1) ?? null;
  }
}
