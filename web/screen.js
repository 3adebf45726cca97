/** The screen: kept awake in a meeting, filled with it, or lending it a corner. */

/** Keeps the screen on while a meeting is shown, where the browser can. */
export class Awake {
  #wanted = false;
  /** @type {WakeLockSentinel | null} */
  #lock = null;

  constructor() {
    // The system takes the lock away from pages that nobody sees.
    document.addEventListener('visibilitychange', () => void this.#update());
  }

  /** @param {boolean} wanted */
  keep(wanted) {
    this.#wanted = wanted;
    void this.#update();
  }

  async #update() {
    const wanted = this.#wanted && document.visibilityState === 'visible';
    if (!wanted) {
      const lock = this.#lock;
      this.#lock = null;
      await lock?.release().catch(() => {});
    } else if (!this.#lock || this.#lock.released) {
      this.#lock = (await navigator.wakeLock?.request('screen').catch(() => null)) ?? null; // A low battery refuses.
    }
  }
}

export const fullScreen = {
  get possible() {
    return document.fullscreenEnabled === true;
  },
  get on() {
    return document.fullscreenElement !== null;
  },
  async toggle() {
    await (document.fullscreenElement ? document.exitFullscreen() : document.documentElement.requestFullscreen()).catch(() => {});
  },
};

export const pictureInPicture = {
  get possible() {
    return document.pictureInPictureEnabled === true;
  },
  /** @param {HTMLVideoElement} video */
  async toggle(video) {
    await (document.pictureInPictureElement ? document.exitPictureInPicture() : video.requestPictureInPicture()).catch(() => {});
  },
};
