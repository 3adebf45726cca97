/** One other person of a mesh: media goes from page to page, and the server only introduces them. */

import { brings, freshKey, loudness } from './taken.js';
import { encoding } from './uplink.js';

/**
 * @typedef {import('./protocol.js').Signal} Signal
 * @typedef {import('./media.js').Kind} Kind
 * @typedef {import('./taken.js').Link} Link
 *
 * @typedef {Exclude<Signal, { kind: 'again' }>} Said Of one introduction.
 *
 * @typedef {object} Setup
 * @property {boolean} offers One of two does.
 * @property {RTCIceServer[]} iceServers
 * @property {Record<Kind, MediaStreamTrack | null>} tracks
 * @property {(signal: Signal) => void} send
 * @property {() => void} failed Nothing comes of it, or not any more.
 */

/** So long an introduction may take, ms: checks through two home routers need some seconds. */
const PATIENCE_MS = 8_000;

/** Every offer has a number of its own: what is said of one that was given up is not for the next. */
let introductions = 0;

/** @implements {Link} */
export class Direct {
  key = freshKey();
  #pc;
  #setup;
  /** @type {Record<Kind, RTCRtpTransceiver> | null} */
  #transceivers = null;
  /** One after the other, as they came. @type {Promise<void>} */
  #work = Promise.resolve();
  #tracks;
  /** Of the offer; the offering page counts. */
  #introduction = 0;
  /** @type {number | undefined} */
  #deadline;

  stream = new MediaStream();

  /** @param {Setup} setup */
  constructor(setup) {
    this.#setup = setup;
    this.#tracks = setup.tracks;
    const pc = this.#pc = new RTCPeerConnection({ iceServers: setup.iceServers, bundlePolicy: 'max-bundle' });
    pc.onicecandidate = ({ candidate }) => {
      if (candidate?.component === 'rtcp') return;
      setup.send({ kind: 'candidate', introduction: this.#introduction, candidate: candidate?.candidate ?? '', mid: candidate?.sdpMid ?? '0' });
    };
    pc.onconnectionstatechange = () => {
      clearTimeout(this.#deadline);
      if (pc.connectionState === 'failed') setup.failed();
      if (pc.connectionState === 'disconnected') this.#wait();
    };
    this.#wait();
    if (setup.offers) this.#then(() => this.#offer());
  }

  /** @param {Said} signal What the other page says. */
  hear(signal) {
    this.#then(() => this.#heard(signal));
  }

  /** @param {Record<Kind, MediaStreamTrack | null>} tracks What is sent from now on. */
  send(tracks) {
    this.#tracks = tracks;
    this.#then(() => this.#replace());
  }

  /** @param {import('./protocol.js').Person} person */
  brings(person) {
    const { audio, video } = this.#transceivers ?? {};
    return this.stands && audio !== undefined && video !== undefined && brings(person, audio.receiver, video.receiver);
  }

  /** Media goes, or went until a moment ago. */
  get stands() {
    return this.#pc.connectionState === 'connected';
  }

  level() {
    return this.#transceivers ? loudness(this.#transceivers.audio.receiver) : 0;
  }

  stats() {
    return this.#pc.getStats();
  }

  close() {
    clearTimeout(this.#deadline);
    this.#pc.onconnectionstatechange = null;
    this.#pc.close();
  }

  #wait() {
    this.#deadline = setTimeout(this.#setup.failed, PATIENCE_MS);
  }

  /** @param {() => Promise<void>} act */
  #then(act) {
    this.#work = this.#work.then(act).catch(() => {
      if (this.#pc.signalingState !== 'closed') this.#setup.failed();
    });
  }

  async #offer() {
    const pc = this.#pc;
    this.#introduction = ++introductions;
    const audio = pc.addTransceiver('audio', { direction: 'sendrecv' });
    const video = pc.addTransceiver('video', { direction: 'sendrecv', sendEncodings: [encoding('camera', null, 0)] });
    this.#adopt({ audio, video });
    await this.#replace();
    await pc.setLocalDescription();
    this.#setup.send({ kind: 'offer', introduction: this.#introduction, sdp: pc.localDescription?.sdp ?? '' });
  }

  /** @param {Said} signal */
  async #heard(signal) {
    const pc = this.#pc;
    if (signal.kind === 'offer') this.#introduction ||= signal.introduction;
    if (signal.introduction !== this.#introduction) return;
    if (signal.kind === 'candidate') {
      // One that cannot be used is one path less.
      await pc.addIceCandidate({ candidate: signal.candidate, sdpMid: signal.mid }).catch(() => {});
      return;
    }
    const expected = signal.kind === 'offer' ? !this.#setup.offers && !this.#transceivers : pc.signalingState === 'have-local-offer';
    if (!expected) return;
    await pc.setRemoteDescription({ type: signal.kind, sdp: signal.sdp });
    if (signal.kind === 'answer') return;
    const [audio, video] = ['audio', 'video'].map((kind) => pc.getTransceivers().find(({ receiver }) => receiver.track.kind === kind));
    if (!audio || !video) throw new Error('an offer of sound and picture was expected');
    for (const transceiver of [audio, video]) transceiver.direction = 'sendrecv';
    this.#adopt({ audio, video });
    await this.#replace();
    await pc.setLocalDescription();
    this.#setup.send({ kind: 'answer', introduction: this.#introduction, sdp: pc.localDescription?.sdp ?? '' });
  }

  /** @param {Record<Kind, RTCRtpTransceiver>} transceivers */
  #adopt(transceivers) {
    this.#transceivers = transceivers;
    for (const { receiver } of [transceivers.audio, transceivers.video]) this.stream.addTrack(receiver.track);
  }

  async #replace() {
    for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
      const sender = this.#transceivers?.[kind].sender;
      if (sender && sender.track !== this.#tracks[kind]) await sender.replaceTrack(this.#tracks[kind]);
    }
  }
}
