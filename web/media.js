/** Camera and microphone: getting them, giving them back, and saying in words why not. */

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

const WORDS = { audio: 'microphone', video: 'camera' };

/**
 * Why devices cannot be had, for their user: one text for each reason.
 * @param {Partial<Record<Kind, Problem | null>>} problems
 * @returns {string[]}
 */
export function explain({ audio = null, video = null }) {
  if (audio && video && audio.reason === video.reason) return [explainOne(audio, ['video', 'audio'])];
  return [video && explainOne(video, ['video']), audio && explainOne(audio, ['audio'])].filter((text) => text !== null);
}

/**
 * @param {Problem} problem
 * @param {Kind[]} kinds
 * @returns {string}
 */
function explainOne({ reason, message }, kinds) {
  const many = kinds.length > 1;
  const devices = kinds.map((kind) => WORDS[kind]).join(' and ');
  const them = many ? 'them' : 'it';
  const retry = many ? 'then press their buttons.' : `then press the ${devices} button.`;
  switch (reason) {
    case 'NotAllowedError':
      return /system/i.test(message)
        ? `The system does not let the browser use ${devices}. Allow ${them} in the system’s privacy settings, ${retry}`
        : `This page is not allowed to use ${devices}. Allow ${them} beside the address of the page, ${retry}`;
    case 'NotFoundError':
    case 'OverconstrainedError':
      return `No ${kinds.map((kind) => WORDS[kind]).join(' and no ')} was found. Plug one in, ${retry}`;
    case 'NotReadableError':
    case 'AbortError':
      return many
        ? `Camera and microphone are busy: another program or window seems to use them. Close that one, ${retry}`
        : `The ${devices} is busy: another program or window seems to use it. Close that one, ${retry}`;
    case 'InsecureContext':
      return `Browsers give ${devices} only to pages opened over HTTPS or from this very machine.`;
    case 'Ended':
      return `The connection to ${devices} was lost. Plug ${them} in again, ${retry}`;
    default:
      return `The browser could not start ${devices} (${reason}).`;
  }
}

/** The two devices. Fires `change` after anything about them changed. */
export class Devices extends EventTarget {
  /** What the local preview shows and what the tracks are announced with. */
  stream = new MediaStream();
  /** @type {Record<Kind, Device>} */
  #devices = { audio: device(), video: device() };
  #processing;

  /** @param {boolean} processing Echo cancellation, noise suppression, gain control. */
  constructor(processing) {
    super();
    this.#processing = processing;
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
      },
      // What a tile of a grid needs; more would only be scaled down again by the server.
      video: kinds.includes('video') && {
        width: { ideal: 640 },
        height: { ideal: 360 },
        frameRate: { ideal: 25, max: 30 },
        facingMode: 'user',
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
    const { state } = await navigator.permissions.query({ name: /** @type {PermissionName} */ (WORDS[kind]) });
    return state;
  } catch {
    return 'granted'; // The browser does not tell: trying is the only way to know.
  }
}
