/** The loudspeaker: which one plays the meeting, how loud, and a sound to try it with. */

import { recall, remember } from './store.js';

/** Three notes, Hz, one after the other. */
const NOTES = [523.25, 659.25, 783.99];
const NOTE_SECONDS = 0.22;

export class Speaker {
  #player;

  /** @param {HTMLMediaElement} player What plays the meeting. */
  constructor(player) {
    this.#player = player;
    const volume = Number(recall('volume') ?? 1);
    player.volume = volume >= 0 && volume <= 1 ? volume : 1;
    void this.#apply(player);
  }

  /** Whether this browser can choose. */
  get selectable() {
    return 'setSinkId' in this.#player;
  }

  get volume() {
    return this.#player.volume;
  }

  set volume(volume) {
    this.#player.volume = volume;
    remember('volume', String(volume));
  }

  /** @param {string} id Empty for the system's default. */
  async choose(id) {
    remember('speaker', id || null);
    await this.#apply(this.#player);
  }

  /** Plays three notes where the meeting would be heard. */
  async test() {
    const context = new AudioContext();
    const stream = context.createMediaStreamDestination();
    NOTES.forEach((hz, i) => {
      const start = context.currentTime + 0.05 + i * NOTE_SECONDS;
      const gain = new GainNode(context, { gain: 0 });
      gain.gain.setTargetAtTime(0.25, start, 0.01);
      gain.gain.setTargetAtTime(0, start + NOTE_SECONDS * 0.7, 0.06);
      const note = new OscillatorNode(context, { frequency: hz, type: 'triangle' });
      note.connect(gain).connect(stream);
      note.start(start);
      note.stop(start + NOTE_SECONDS * 2);
    });
    const audio = new Audio();
    audio.srcObject = stream.stream;
    audio.volume = this.#player.volume;
    await this.#apply(audio);
    await audio.play().catch(() => {});
    await new Promise((resolve) => setTimeout(resolve, (NOTES.length + 2) * NOTE_SECONDS * 1000));
    audio.pause();
    await context.close();
  }

  /** @param {HTMLMediaElement} element */
  async #apply(element) {
    const id = recall('speaker') ?? '';
    if (!('setSinkId' in element) || element.sinkId === id) return;
    await element.setSinkId(id).catch(() => {}); // Unplugged: the system's default plays on.
  }
}
