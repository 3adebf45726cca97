/** Whether anything still comes in. */

/** How often to look, ms. */
export const LOOK_MS = 250;
/**
 * No packet for so long, ms, is a path that has broken: sound comes every 20 ms, whatever people
 * do. Shorter ones are hiccups of a busy machine.
 */
export const SILENT_MS = 700;

/** What came so long ago does not come any more, ms. */
const FRESH_MS = 500;

/**
 * Whether this receiver gets anything now.
 * @param {RTCRtpReceiver} receiver
 */
export function arrives(receiver) {
  const [source] = receiver.getSynchronizationSources();
  return source !== undefined && performance.timeOrigin + performance.now() - source.timestamp < FRESH_MS;
}

/** Pure. Counts packets, and the time since the last one came. */
export class Flow {
  #packets = -1;
  #since = Infinity;

  /**
   * @param {number} packets Received so far.
   * @param {number} now ms
   */
  note(packets, now) {
    if (packets === this.#packets) return;
    this.#packets = packets;
    this.#since = now;
  }

  /**
   * For how long nothing has come, ms. Before the first packet there is nothing to miss.
   * @param {number} now ms
   */
  quiet(now) {
    return this.#packets > 0 ? Math.max(0, now - this.#since) : 0;
  }
}
