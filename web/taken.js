/** What one person sends, as they send it: by way of the server, on a connection of its own. */

import { arrives } from './flow.js';

/**
 * @typedef {object} Link A person's sound and picture outside the mix.
 * @property {MediaStream} stream
 * @property {(person: import('./protocol.js').Person) => boolean} brings Whatever that person sends comes.
 * @property {() => number} level How loud they are, 0 to 1.
 * @property {string} key No other connection's.
 * @property {() => Promise<RTCStatsReport>} stats
 * @property {() => void} close
 */

/** How long a connection may be in trouble before another takes its place, ms. */
const TROUBLE_MS = 3_000;

let keys = 0;

/** What a connection is counted under. */
export function freshKey() {
  keys += 1;
  return `link ${keys}`;
}

/** @implements {Link} */
export class Taken {
  key = freshKey();
  #pc = new RTCPeerConnection({ bundlePolicy: 'max-bundle' });
  #audio;
  #video;
  /** @type {number | undefined} */
  #trouble;

  /**
   * @param {string} from Whose.
   * @param {(command: import('./protocol.js').Command) => Promise<any>} ask
   * @param {() => void} taken The server knows of it.
   * @param {() => void} failed Nothing comes of it, or not any more.
   */
  constructor(from, ask, taken, failed) {
    const pc = this.#pc;
    this.#audio = pc.addTransceiver('audio', { direction: 'recvonly' }).receiver;
    this.#video = pc.addTransceiver('video', { direction: 'recvonly' }).receiver;
    this.stream = new MediaStream([this.#audio.track, this.#video.track]);
    pc.onconnectionstatechange = () => {
      clearTimeout(this.#trouble);
      if (pc.connectionState === 'failed') failed();
      if (pc.connectionState === 'disconnected') this.#trouble = setTimeout(failed, TROUBLE_MS);
    };
    this.#open(from, ask, taken).catch(failed);
  }

  /**
   * @param {string} from
   * @param {(command: import('./protocol.js').Command) => Promise<any>} ask
   * @param {() => void} taken
   */
  async #open(from, ask, taken) {
    await this.#pc.setLocalDescription();
    // The server is reached by its own candidates, and learns ours from the checks.
    const { sdp } = await ask({ type: 'take', from, sdp: this.#pc.localDescription?.sdp ?? '' });
    taken();
    await this.#pc.setRemoteDescription({ type: 'answer', sdp });
  }

  /** @param {import('./protocol.js').Person} person */
  brings(person) {
    return this.#pc.connectionState === 'connected' && brings(person, this.#audio, this.#video);
  }

  level() {
    return loudness(this.#audio);
  }

  stats() {
    return this.#pc.getStats();
  }

  close() {
    clearTimeout(this.#trouble);
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }
}

/**
 * Whether sound and picture come of whom sends them.
 * @param {import('./protocol.js').Person} person
 * @param {RTCRtpReceiver} audio
 * @param {RTCRtpReceiver} video
 */
export function brings(person, audio, video) {
  return (!person.audio || arrives(audio)) && (!sendsPictures(person) || arrives(video));
}

/** @param {import('./protocol.js').Person} person */
export function sendsPictures({ video, sharing = false }) {
  return video || sharing;
}

/** @param {RTCRtpReceiver} receiver Of sound. */
export function loudness(receiver) {
  const [source] = receiver.getSynchronizationSources();
  return arrives(receiver) ? (source?.audioLevel ?? 0) : 0;
}
