/** How loud a microphone is, as a bar. */

/** What fills the bar, dBFS: a whisper to a shout at arm's length. */
const QUIET = -60;
const LOUD = -10;
/** Measured so often, ms: as fast as an eye follows. */
const PERIOD_MS = 80;

/**
 * The share of the bar that a level fills. Pure.
 * @param {number} rms Of samples from -1 to 1.
 */
export function share(rms) {
  const db = 20 * Math.log10(Math.max(rms, 1e-6));
  return Math.min(1, Math.max(0, (db - QUIET) / (LOUD - QUIET)));
}

export class Meter {
  #bar;
  /** @type {{ track: MediaStreamTrack, context: AudioContext, timer: number } | null} */
  #listening = null;

  /** @param {HTMLElement} bar An element with `role="meter"`. */
  constructor(bar) {
    this.#bar = bar;
  }

  /** @param {MediaStreamTrack | null} track */
  listen(track) {
    if (this.#listening?.track === track) return;
    if (this.#listening) {
      clearInterval(this.#listening.timer);
      void this.#listening.context.close();
      this.#listening = null;
      this.#show(0);
    }
    if (!track) return;
    const context = new AudioContext();
    const analyser = new AnalyserNode(context, { fftSize: 1024 });
    context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
    const samples = new Float32Array(analyser.fftSize);
    const timer = setInterval(() => {
      if (context.state === 'suspended') void context.resume();
      analyser.getFloatTimeDomainData(samples);
      this.#show(share(Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length)));
    }, PERIOD_MS);
    this.#listening = { track, context, timer };
  }

  /** @param {number} part */
  #show(part) {
    this.#bar.style.setProperty('--level', part.toFixed(2));
    this.#bar.setAttribute('aria-valuenow', String(Math.round(part * 10) * 10));
  }
}
