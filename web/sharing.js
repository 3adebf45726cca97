/** One's screen in place of one's camera. */

/** Text wants sharp pictures rather than many of them; the server shows ten a second. */
const SCREEN = { width: { max: 1920 }, height: { max: 1080 }, frameRate: { max: 10 } };

/** Whether this browser can share; telephones cannot. */
export function canShare() {
  return typeof navigator.mediaDevices?.getDisplayMedia === 'function';
}

/** The screen that is shared, if one is. */
export class Sharing {
  /** @type {MediaStreamTrack | null} */
  track = null;
  #changed;

  /** @param {() => void} changed The screen is shared from now on, or no longer. */
  constructor(changed) {
    this.#changed = changed;
  }

  /**
   * Asks which screen, window or tab it shall be.
   * @returns {Promise<string | null>} Why there is none; `null` if there is one or the person thought better of it.
   */
  async start() {
    if (this.track) return null;
    /** @type {MediaStream} */
    let stream;
    try {
      stream = await navigator.mediaDevices.getDisplayMedia({ video: SCREEN, audio: false });
    } catch (error) {
      const { name, message } = error instanceof Error ? error : new Error(String(error));
      return name === 'NotAllowedError' || name === 'AbortError' ? null : message || name;
    }
    const [track] = stream.getVideoTracks();
    if (!track) return null;
    this.stop();
    track.contentHint = 'text';
    track.addEventListener('ended', () => this.#drop(track)); // By the browser's own bar, or with its window.
    this.track = track;
    this.#changed();
    return null;
  }

  stop() {
    const { track } = this;
    if (!track) return;
    track.stop();
    this.#drop(track);
  }

  /** @param {MediaStreamTrack} track */
  #drop(track) {
    if (this.track !== track) return;
    this.track = null;
    this.#changed();
  }
}
