/** The peer connection: one uplink, one mixed downlink, kept alive across changes of network. */

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
 * @property {(health: Health) => void} onhealth
 */

/** Enough for 640x360 at 25 pictures a second; a tile never shows more. */
const VIDEO_BITRATE = 1_200_000;
/** How long `disconnected` may last before the paths are sought anew; it often heals by itself. */
const HEAL_MS = 3_000;
/** Least time between two ICE restarts: one must have the time to succeed. */
const RESTART_GAP_MS = 4_000;
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
  /** Candidates that must not overtake their offer. @type {RTCIceCandidate[] | null} */
  #early = [];
  #restarted = 0;
  /** @type {number | undefined} */
  #restartTimer;
  /** @type {number | undefined} */
  #deadline;
  /** @type {(() => void)[]} */
  #undo = [];

  /** The mix: one video and one audio track. */
  mix;

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
      ...(setup.view ? {} : { sendEncodings: [{ maxBitrate: VIDEO_BITRATE }] }),
    });
    const codecs = RTCRtpReceiver.getCapabilities?.('video')?.codecs ?? [];
    if (codecs.length > 0 && video.setCodecPreferences) video.setCodecPreferences(ordered(codecs, setup.codec));
    this.#transceivers = { audio, video };
    this.mix = new MediaStream([video.receiver.track, audio.receiver.track]);
    this.#watch();
  }

  /** First offer and answer. @returns {Promise<void>} */
  negotiate() {
    this.#deadline ??= setTimeout(() => this.#setup.onhealth('failed'), GIVE_UP_MS);
    this.#exchanges = this.#exchanges.then(() => this.#exchange());
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

  /** Seeks new paths; what plays goes on as soon as one is found. */
  restart() {
    const wait = this.#restarted + RESTART_GAP_MS - performance.now();
    if (this.#restarted > 0 && wait > 0) {
      this.#restartTimer ??= setTimeout(() => {
        this.#restartTimer = undefined;
        if (this.#pc.connectionState !== 'connected') this.restart();
      }, wait);
      return;
    }
    this.#restarted = performance.now();
    this.#pc.restartIce();
    this.negotiate().catch(() => this.#setup.onhealth('failed'));
  }

  /** @returns {Promise<RTCStatsReport>} */
  stats() {
    return this.#pc.getStats();
  }

  close() {
    clearTimeout(this.#restartTimer);
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
      if (pc.iceConnectionState === 'failed') this.restart();
      if (pc.iceConnectionState === 'disconnected') {
        setTimeout(() => {
          if (pc.iceConnectionState === 'disconnected') this.restart();
        }, HEAL_MS);
      }
    };
    pc.onconnectionstatechange = () => {
      const state = pc.connectionState;
      if (state === 'connected') {
        clearTimeout(this.#deadline);
        this.#deadline = undefined;
        this.#setup.onhealth('connected');
      } else if (state === 'disconnected' || state === 'failed') {
        this.#deadline ??= setTimeout(() => this.#setup.onhealth('failed'), GIVE_UP_MS);
        this.#setup.onhealth('interrupted');
      }
    };
    // The machine has another network now: the old path is dead before ICE notices.
    this.#listen(window, 'online', () => this.restart());
    const network = /** @type {(EventTarget & { type?: string }) | undefined} */ (Reflect.get(navigator, 'connection'));
    let type = network?.type;
    if (network) {
      this.#listen(network, 'change', () => {
        // `change` also fires for every new estimate of bandwidth.
        if (network.type !== type && network.type !== 'none') this.restart();
        type = network.type;
      });
    }
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
