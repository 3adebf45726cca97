/** Camera and microphone: getting them, choosing among several, giving them back. */

import { capture, qualityOf } from './quality.js';
import { recall, remember } from './store.js';

/**
 * @typedef {'audio' | 'video'} Kind
 * @typedef {object} Device
 * @property {boolean} on As the user set it, and as it really is.
 * @property {boolean} busy Being opened.
 * @property {MediaStreamTrack | null} track
 * @property {Problem | null} problem Why it cannot be had.
 *
 * @typedef {object} Problem
 * @property {string} reason Name of the `DOMException`.
 * @property {string} message What the browser added.
 */

/** Where the choice of a device is remembered. */
const CHOICE = { audio: 'microphone', video: 'camera' };

/** @typedef {import('./protocol.js').Quality} Quality */

/** The two devices. Fires `change` after anything about them changed. */
export class Devices extends EventTarget {
  /** What the local preview shows and what the tracks are announced with. */
  stream = new MediaStream();
  /** @type {Record<Kind, Device>} */
  #devices = { audio: device(), video: device() };
  #processing;
  /** What a choice just made insists on; one of another day is only preferred. @type {Kind | null} */
  #insists = null;

  /** @type {Quality} */
  quality;

  /**
   * @param {boolean} processing Echo cancellation, noise suppression, gain control.
   * @param {Quality | null} quality Asked for; else as it was chosen last.
   */
  constructor(processing, quality) {
    super();
    this.#processing = processing;
    this.quality = quality ?? qualityOf(recall('quality')) ?? 'auto';
    navigator.mediaDevices?.addEventListener('devicechange', () => this.#changed());
  }

  /**
   * Uses this device of a kind from now on; one that is open is exchanged.
   * @param {Kind} kind
   * @param {string} id Empty for the system's default.
   */
  async choose(kind, id) {
    remember(CHOICE[kind], id || null);
    await this.#reopen(kind, id !== '');
  }

  /**
   * Captures no more than that from now on.
   * @param {Quality} quality
   */
  async chooseQuality(quality) {
    remember('quality', quality);
    this.quality = quality;
    const { track } = this.#devices.video;
    try {
      await track?.applyConstraints(capture(quality));
    } catch {
      await this.#reopen('video', false); // Some cameras can only be opened anew.
    }
    this.#changed();
  }

  /**
   * @param {Kind} kind
   * @param {boolean} insists
   */
  async #reopen(kind, insists) {
    const { track, on } = this.#devices[kind];
    if (!track) {
      this.#changed();
      return;
    }
    // Many phones open one camera at a time.
    if (kind === 'video') this.#release(kind);
    this.#insists = insists ? kind : null;
    await this.#open([kind]);
    this.#insists = null;
    if (!on) await this.set(kind, false);
  }

  /**
   * @param {Kind} kind
   * @returns {MediaTrackConstraints}
   */
  #which(kind) {
    const id = recall(CHOICE[kind]);
    if (!id) return {};
    return { deviceId: this.#insists === kind ? { exact: id } : { ideal: id } };
  }

  /**
   * @param {Kind} kind
   * @returns {Readonly<Device>}
   */
  get(kind) {
    return this.#devices[kind];
  }

  /**
   * Asks for what is wanted in one question to the user; what cannot be had stays off.
   * @param {Record<Kind, boolean>} wanted
   */
  async start(wanted) {
    /** @type {Kind[]} */
    const kinds = (/** @type {Kind[]} */ (['audio', 'video'])).filter((kind) => wanted[kind]);
    if (kinds.length > 0) await this.#open(kinds);
  }

  /**
   * Turns a device on or off. A muted microphone stays open, so that unmuting is instant; a
   * camera is released, so that its light goes out.
   * @param {Kind} kind
   * @param {boolean} on
   */
  async set(kind, on) {
    const device = this.#devices[kind];
    if (on && !device.track) {
      await this.#open([kind]);
      return;
    }
    device.on = on;
    if (kind === 'audio' && device.track) device.track.enabled = on;
    else if (!on) this.#release(kind);
    this.#changed();
  }

  /** Gives both devices back. */
  stop() {
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      this.#devices[kind].on = false;
      this.#release(kind);
    }
    this.#changed();
  }

  /** @param {Kind[]} kinds */
  async #open(kinds) {
    for (const kind of kinds) Object.assign(this.#devices[kind], { on: true, busy: true, problem: null });
    this.#changed();
    try {
      await this.#capture(kinds);
    } catch (error) {
      const [kind] = kinds;
      if (kinds.length > 1) {
        // One of them is missing, busy or forbidden: the other may still be had.
        for (const single of kinds) await this.#openAfter(single, error);
      } else if (kind) this.#fail(kind, error);
    }
    for (const kind of kinds) this.#devices[kind].busy = false;
    this.#changed();
  }

  /**
   * Tries one device after both together were refused.
   * @param {Kind} kind
   * @param {unknown} refusal
   */
  async #openAfter(kind, refusal) {
    const forbidden = refusal instanceof DOMException && refusal.name === 'NotAllowedError';
    try {
      if (forbidden && !(await worthAsking(kind))) throw refusal;
      await this.#capture([kind]);
    } catch (error) {
      this.#fail(kind, error);
    }
  }

  /** @param {Kind[]} kinds */
  async #capture(kinds) {
    if (!navigator.mediaDevices) throw new DOMException('', 'InsecureContext');
    const processed = this.#processing;
    const stream = await navigator.mediaDevices.getUserMedia({
      audio: kinds.includes('audio') && {
        echoCancellation: processed,
        noiseSuppression: processed,
        autoGainControl: processed,
        channelCount: { ideal: 1 },
        ...this.#which('audio'),
      },
      video: kinds.includes('video') && {
        ...capture(this.quality),
        ...(recall(CHOICE.video) ? this.#which('video') : { facingMode: 'user' }),
      },
    });
    for (const track of stream.getTracks()) this.#adopt(/** @type {Kind} */ (track.kind), track);
  }

  /**
   * @param {Kind} kind
   * @param {MediaStreamTrack} track
   */
  #adopt(kind, track) {
    const device = this.#devices[kind];
    if (!device.on) {
      track.stop(); // Turned off again while the browser was asking.
      return;
    }
    this.#release(kind);
    if (kind === 'video') track.contentHint = 'motion';
    else track.contentHint = this.#processing ? 'speech' : 'music';
    track.addEventListener('ended', () => {
      if (device.track !== track) return;
      this.#fail(kind, new DOMException('', 'Ended'));
      this.#changed();
    });
    device.track = track;
    this.stream.addTrack(track);
  }

  /**
   * @param {Kind} kind
   * @param {unknown} error
   */
  #fail(kind, error) {
    const { name: reason, message } = error instanceof Error ? error : new Error(String(error));
    this.#release(kind);
    Object.assign(this.#devices[kind], { on: false, problem: { reason, message } });
  }

  /** @param {Kind} kind */
  #release(kind) {
    const device = this.#devices[kind];
    const { track } = device;
    device.track = null;
    if (!track) return;
    this.stream.removeTrack(track);
    track.stop();
  }

  #changed() {
    this.dispatchEvent(new Event('change'));
  }
}

/** @returns {Device} */
function device() {
  return { on: false, busy: false, track: null, problem: null };
}

/**
 * Whether asking for one device alone can end better than asking for both did, and does not ask
 * again what the user has just declined.
 * @param {Kind} kind
 */
async function worthAsking(kind) {
  const own = await permission(kind);
  const other = await permission(kind === 'audio' ? 'video' : 'audio');
  return own === 'granted' || (own === 'prompt' && other === 'denied');
}

/**
 * @param {Kind} kind
 * @returns {Promise<PermissionState>}
 */
async function permission(kind) {
  try {
    const { state } = await navigator.permissions.query({ name: /** @type {PermissionName} */ (CHOICE[kind]) });
    return state;
  } catch {
    return 'granted'; // The browser does not tell: trying is the only way to know.
  }
}
