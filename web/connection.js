/** The peer connection: one uplink, one mixed downlink, kept alive across changes of network. */

import { arrives, Flow, LOOK_MS, SILENT_MS } from './flow.js';
import { Lost } from './signalling.js';
import { encodings } from './uplink.js';

/**
 * @typedef {import('./media.js').Kind} Kind
 * @typedef {import('./protocol.js').VideoCodec} VideoCodec
 * @typedef {'connecting' | 'connected' | 'interrupted' | 'failed'} Health
 *
 * @typedef {object} Setup
 * @property {RTCIceServer[]} iceServers
 * @property {VideoCodec} codec Offered first.
 * @property {boolean} view Receive only.
 * @property {MediaStream} stream What the tracks are announced with.
 * @property {(command: import('./protocol.js').Command) => Promise<any>} send
 * @property {(text: string) => void} [onmessage] What the server says by the data channel.
 * @property {(health: Health) => void} onhealth
 * @property {(moved: boolean) => void} [ontrouble] Nothing comes in any more, or (`moved`) the machine
 *   has another network. Told again as long as it is so. Without, the paths are sought anew at once.
 */

/** Least time between two ICE restarts: one must have the time to succeed. */
const RESTART_GAP_MS = 2_500;
/** How soon an encoding that was refused is tried again. */
const ENCODE_GAP_MS = 500;
/** Names of the whole picture and of its small copy. Two, for Chromium makes no more of 640x360. */
const RIDS = ['f', 'h'];
/** How long to go without a connection before joining anew is the better hope. */
const GIVE_UP_MS = 15_000;

/** One `RTCPeerConnection` and what keeps it going. */
export class Connection {
  #pc;
  #setup;
  /** @type {Record<Kind, RTCRtpTransceiver>} */
  #transceivers;
  /** @type {Promise<void>} */
  #exchanges = Promise.resolve();
  /** @type {Promise<void>} */
  #encoded = Promise.resolve();
  /** Candidates that must not overtake their offer. @type {RTCIceCandidate[] | null} */
  #early = [];
  /** How it encodes. @type {readonly import('./uplink.js').Encoding[] | undefined} */
  #how;
  /** What this page was asked to send. @type {VideoCodec | undefined} */
  #codec;
  #restarted = -Infinity;
  #flow = new Flow();
  #closed = false;
  #idle = false;
  /** Told last. @type {Health} */
  #health = 'connecting';
  /** @type {number | undefined} */
  #deadline;
  /** @type {(() => void)[]} */
  #undo = [];

  /** The mix: one video and one audio track. */
  mix;
  /** For the chat, while it is open; ordered and reliable. */
  #talk;

  /** @param {Setup} setup */
  constructor(setup) {
    this.#setup = setup;
    this.#pc = new RTCPeerConnection({ iceServers: setup.iceServers, bundlePolicy: 'max-bundle' });
    const direction = setup.view ? 'recvonly' : 'sendrecv';
    const streams = [setup.stream];
    const audio = this.#pc.addTransceiver('audio', { direction, streams });
    const video = this.#pc.addTransceiver('video', {
      direction,
      streams,
      ...(setup.view ? {} : { sendEncodings: RIDS.map((rid, n) => ({ rid, ...encodings('camera', null, 0)[n] })) }),
    });
    this.#talk = this.#pc.createDataChannel('talk');
    this.#talk.onmessage = ({ data }) => setup.onmessage?.(String(data));
    const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? [];
    if (codecs.length > 0 && video.setCodecPreferences) video.setCodecPreferences(ordered(codecs, setup.codec));
    this.#transceivers = { audio, video };
    this.mix = new MediaStream([video.receiver.track, audio.receiver.track]);
    this.#watch();
  }

  /** First offer and answer. @returns {Promise<void>} */
  negotiate() {
    if (this.#health === 'connecting') this.#patience();
    // One that failed must not keep later ones from being tried.
    this.#exchanges = this.#exchanges.catch(() => {}).then(() => this.#exchange());
    return this.#exchanges;
  }

  /**
   * Sends this track from now on; `null` sends nothing. Needs no negotiation.
   * @param {Kind} kind
   * @param {MediaStreamTrack | null} track
   */
  async replace(kind, track) {
    const { sender } = this.#transceivers[kind];
    if (!this.#setup.view && sender.track !== track) await sender.replaceTrack(track);
  }

  /**
   * Encodes the video so from now on.
   * @param {readonly import('./uplink.js').Encoding[]} all The whole picture, and its small copy.
   * @param {number} tries Browsers may refuse it while something else is being agreed on.
   */
  encode(all, tries = 5) {
    this.#how = all;
    // One at a time: parameters that were read before the last change are refused.
    this.#encoded = this.#encoded.then(async () => {
      const { sender } = this.#transceivers.video;
      const parameters = sender.getParameters();
      const changed = parameters.encodings.filter((encoding, n) => {
        const how = all[n] ?? {};
        if (Object.entries(how).every(([name, value]) => Reflect.get(encoding, name) === value)) return false;
        Object.assign(encoding, how);
        return true;
      });
      if (changed.length > 0) await sender.setParameters(parameters);
    }).catch(() => {
      // What is still to be sent would not be seen until somebody asks for another size.
      const again = () => this.#how === all && !this.#closed && this.encode(all, tries - 1);
      if (tries > 1) setTimeout(again, ENCODE_GAP_MS);
    });
  }

  /**
   * Sends video in this codec from now on: the server puts it first in another answer.
   * @param {VideoCodec | undefined} codec None: as it is.
   */
  sendIn(codec) {
    if (codec === this.#codec) return;
    this.#codec = codec;
    const settled = settledOn(this.#pc.currentRemoteDescription?.sdp ?? '');
    // One that the first answer is still to bring has it first already.
    if (!codec || !settled || settled === codec) return;
    this.negotiate().catch(() => {
      if (this.#codec === codec) this.#codec = undefined; // The next word of it is heard.
    });
  }

  /**
   * Seeks new paths; what plays goes on as soon as one is found. Not again before the last search
   * had its time, unless the network is another one since.
   * @param {boolean} moved
   */
  restart(moved) {
    const now = performance.now();
    if (this.#closed || (now < this.#restarted + RESTART_GAP_MS && !moved)) return;
    this.#restarted = now;
    this.#pc.restartIce();
    this.negotiate().catch((error) => {
      // A lost socket is replaced, and the search begun again if still nothing comes in.
      if (!(error instanceof Lost)) this.#setup.onhealth('failed');
    });
  }

  /** For how long nothing has come in, ms. */
  get quiet() {
    return this.#closed || this.#idle ? 0 : this.#flow.quiet(performance.now());
  }

  /** @param {boolean} idle Nothing is expected to come in. */
  set idle(idle) {
    if (idle !== this.#idle) this.#flow = new Flow();
    this.#idle = idle;
  }

  /** Nothing comes in any more. */
  get silent() {
    return this.quiet >= SILENT_MS;
  }

  /** The sound of the mix comes. */
  get sounds() {
    return arrives(this.#transceivers.audio.receiver);
  }

  /**
   * Waits until something comes in, but not for ever.
   * @param {number} ms
   * @returns {Promise<boolean>} Whether it does.
   */
  async flows(ms) {
    const end = performance.now() + ms;
    while (this.silent && performance.now() < end) await pause(LOOK_MS / 3);
    return !this.silent;
  }

  /** Whether words get through beside picture and sound. */
  get open() {
    return this.#talk.readyState === 'open' && !this.silent;
  }

  /** @param {string} text By the data channel. */
  send(text) {
    this.#talk.send(text);
  }

  /** @returns {Promise<RTCStatsReport>} */
  stats() {
    return this.#pc.getStats();
  }

  close() {
    this.#closed = true;
    clearTimeout(this.#deadline);
    for (const undo of this.#undo) undo();
    this.#pc.close();
  }

  async #exchange() {
    this.#early ??= [];
    await this.#pc.setLocalDescription();
    const answered = this.#setup.send({ type: 'offer', sdp: this.#pc.localDescription?.sdp ?? '' });
    const early = this.#early;
    this.#early = null;
    for (const candidate of early) this.#trickle(candidate);
    const { sdp } = await answered;
    await this.#pc.setRemoteDescription({ type: 'answer', sdp });
    // The answer says of each size what the offer said, which may be over.
    if (this.#how) this.encode(this.#how);
  }

  /** @param {RTCIceCandidate} candidate */
  #trickle({ candidate, sdpMid }) {
    // A refused candidate is one path less; the connection says itself whether it found another.
    this.#setup.send({ type: 'candidate', candidate, ...(sdpMid === null ? {} : { mid: sdpMid }) }).catch(() => {});
  }

  #watch() {
    const pc = this.#pc;
    pc.onicecandidate = ({ candidate }) => {
      if (!candidate || candidate.component === 'rtcp') return; // RTCP shares the port of RTP.
      if (this.#early) this.#early.push(candidate);
      else this.#trickle(candidate);
    };
    pc.oniceconnectionstatechange = () => {
      // It may heal by itself, but what the browser takes so long to say is worth a look.
      if (pc.iceConnectionState === 'failed') this.#trouble(true);
      if (pc.iceConnectionState === 'disconnected') this.#trouble(false);
    };
    pc.onconnectionstatechange = () => this.#tell();
    // The machine has another network now: the old path is dead before ICE notices.
    this.#listen(window, 'online', () => this.#trouble(true));
    const network = /** @type {(EventTarget & { type?: string }) | undefined} */ (Reflect.get(navigator, 'connection'));
    let type = network?.type;
    if (network) {
      this.#listen(network, 'change', () => {
        // `change` also fires for every new estimate of bandwidth.
        if (network.type !== type && network.type !== 'none') this.#trouble(true);
        type = network.type;
      });
    }
    const looking = setInterval(() => this.#look().catch(() => {}), LOOK_MS); // Closed meanwhile.
    this.#undo.push(() => clearInterval(looking));
  }

  /** The browser says only after seconds that nothing comes in. */
  async #look() {
    if (this.#pc.connectionState === 'new' || this.#idle) return;
    const { receiver } = this.#transceivers.audio;
    let packets = 0;
    for (const entry of (await receiver.getStats()).values()) {
      if (entry.type === 'inbound-rtp') packets += entry.packetsReceived ?? 0;
    }
    if (this.#closed) return;
    this.#flow.note(packets, performance.now());
    this.#tell();
    if (this.silent) this.#trouble(false);
  }

  /** @param {boolean} moved */
  #trouble(moved) {
    if (this.#setup.ontrouble) this.#setup.ontrouble(moved);
    else this.restart(moved);
  }

  #tell() {
    const state = this.#pc.connectionState;
    const broken = state === 'disconnected' || state === 'failed' || this.silent;
    const health = broken ? 'interrupted' : state === 'connected' ? 'connected' : this.#health;
    if (health === this.#health) return;
    this.#health = health;
    clearTimeout(this.#deadline);
    if (broken) this.#patience();
    this.#setup.onhealth(health);
  }

  /** Is up when joining anew is the better hope. */
  #patience() {
    clearTimeout(this.#deadline);
    this.#deadline = setTimeout(() => this.#setup.onhealth('failed'), GIVE_UP_MS);
  }

  /**
   * @param {EventTarget} target
   * @param {string} type
   * @param {() => void} listener
   */
  #listen(target, type, listener) {
    target.addEventListener(type, listener);
    this.#undo.push(() => target.removeEventListener(type, listener));
  }
}

/**
 * What video is sent in by whom this answers: the first that it has.
 * @param {string} sdp
 */
export function settledOn(sdp) {
  const [section = ''] = /^m=video [^]*/m.exec(sdp) ?? [];
  const [, first] = /^m=video \d+ \S+ (\d+)/.exec(section) ?? [];
  const [, name = ''] = new RegExp(`^a=rtpmap:${first} ([^/]+)/`, 'm').exec(section) ?? [];
  return name.toLowerCase();
}

/** @param {number} ms @returns {Promise<void>} */
function pause(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/**
 * All codecs, first the two that the server decodes and of them the wanted one. Of H.264
 * constrained baseline in packetisation mode 1 leads: every browser has it both ways. The others
 * stay, although the server will not take them: Firefox 153, told to leave some out, still writes
 * `a=rtcp-fb` lines of their payload types, and that is no valid offer.
 * @template {{ mimeType: string, sdpFmtpLine?: string }} C
 * @param {readonly C[]} codecs
 * @param {VideoCodec} first
 * @returns {C[]}
 */
export function ordered(codecs, first) {
  /** @param {C} codec */
  const rank = ({ mimeType, sdpFmtpLine = '' }) => {
    switch (mimeType.toLowerCase()) {
      case 'video/h264':
        return (
          (first === 'h264' ? 0 : 4)
          + (/packetization-mode=1/i.test(sdpFmtpLine) ? 0 : 2)
          + (/profile-level-id=42[ce]0/i.test(sdpFmtpLine) ? 0 : 1)
        );
      case 'video/vp8':
        return first === 'vp8' ? 0 : 4;
      default:
        return 8;
    }
  };
  return [...codecs].sort((a, b) => rank(a) - rank(b));
}
