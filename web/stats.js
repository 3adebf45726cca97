/** What the connection is doing, measured: a summary for the bar and a table for the curious. */

import { find, make } from './dom.js';
import { t } from './i18n.js';
import { HALF } from './uplink.js';

/**
 * @typedef {object} Count Since a stream's start.
 * @property {number} bytes
 * @property {number} packets
 * @property {number} lost
 *
 * @typedef {object} Flow One kind of media in one direction, all streams of it together.
 * @property {Map<string, Count>} streams By connection and stream, so that neither who comes nor who goes makes a leap.
 * @property {number | null} fps Of the largest picture.
 * @property {string} size Of it, such as `1280×720`; empty for audio.
 * @property {string} codec
 *
 * @typedef {'sent audio' | 'sent video' | 'received audio' | 'received video'} FlowName
 *
 * @typedef {object} Sample
 * @property {number} at ms
 * @property {Partial<Record<FlowName, Flow>>} flows
 * @property {Map<string, { sent: number, received: number }>} wire Bytes of each connection, all that is above UDP.
 * @property {number | null} roundTrip Seconds.
 * @property {string} path Such as `UDP`.
 * @property {number} freezes
 * @property {import('./quality.js').Seen} shown
 * @property {number | null} buffered Seconds that a picture waits in the browser, on average since the start.
 */

/** How often to measure, ms. */
const PERIOD_MS = 2_000;

/**
 * What matters in the `getStats` reports of all connections. Pure.
 * @param {Iterable<[string, Iterable<any>]>} reports Their values, by connection.
 * @param {number} at ms
 * @returns {Sample}
 */
export function sample(reports, at) {
  /** @type {Sample} */
  const result = { at, flows: {}, wire: new Map(), roundTrip: null, path: '', freezes: 0, shown: { decoded: 0, dropped: 0 }, buffered: null };
  /** @type {Map<Flow, number>} */
  const pixels = new Map();
  for (const [connection, report] of reports) {
    const all = [...report];
    /** @type {Map<string, any>} */
    const byId = new Map(all.map((entry) => [entry.id, entry]));
    const wire = { sent: 0, received: 0 };
    for (const entry of all) {
      if (entry.type === 'outbound-rtp' || entry.type === 'inbound-rtp') {
        const sent = entry.type === 'outbound-rtp';
        const name = /** @type {FlowName} */ (`${sent ? 'sent' : 'received'} ${entry.kind}`);
        const flow = result.flows[name] ??= { streams: new Map(), fps: entry.kind === 'video' ? 0 : null, size: '', codec: '' };
        const lost = sent ? byId.get(entry.remoteId)?.packetsLost : entry.packetsLost;
        const bytes = (sent ? entry.bytesSent : entry.bytesReceived) ?? 0;
        flow.streams.set(`${connection} ${entry.id}`, {
          bytes, packets: (sent ? entry.packetsSent : entry.packetsReceived) ?? 0, lost: Math.max(0, lost ?? 0),
        });
        wire[sent ? 'sent' : 'received'] += bytes;
        const size = (entry.frameWidth ?? 0) * (entry.frameHeight ?? 0);
        // What stands still may be large.
        const weight = entry.framesPerSecond > 0 ? size : size / 1e6;
        if (weight > (pixels.get(flow) ?? 0) || !flow.codec) {
          pixels.set(flow, weight);
          flow.codec = byId.get(entry.codecId)?.mimeType?.split('/')[1] ?? flow.codec;
          if (size > 0) Object.assign(flow, { size: `${entry.frameWidth}×${entry.frameHeight}`, fps: entry.framesPerSecond ?? 0 });
        }
        if (!sent) result.freezes += entry.freezeCount ?? 0;
        if (sent || entry.kind !== 'video') continue;
        result.shown.decoded += entry.framesDecoded ?? 0;
        result.shown.dropped += entry.framesDropped ?? 0;
        if (entry.jitterBufferEmittedCount > 0) result.buffered = Math.max(result.buffered ?? 0, entry.jitterBufferDelay / entry.jitterBufferEmittedCount);
      } else if (entry.type === 'transport') {
        const pair = byId.get(entry.selectedCandidatePairId);
        if (pair?.currentRoundTripTime !== undefined) result.roundTrip = Math.max(result.roundTrip ?? 0, pair.currentRoundTripTime);
        result.path ||= String(byId.get(pair?.localCandidateId)?.protocol ?? '').toUpperCase();
        if (entry.bytesSent !== undefined) result.wire.set(connection, { sent: entry.bytesSent, received: entry.bytesReceived });
      }
    }
    // Not every browser counts what is no media.
    if (!result.wire.has(connection)) result.wire.set(connection, wire);
  }
  return result;
}

/**
 * Rate and loss of one kind of media between two samples, and how many streams of it flow. Pure.
 * @param {Sample} before
 * @param {Sample} after
 * @param {FlowName} name
 * @returns {{ kbps: number, lossPercent: number, streams: number }}
 */
export function rate(before, after, name) {
  const from = before.flows[name]?.streams;
  let [bytes, packets, lost, streams] = [0, 0, 0, 0];
  if (after.at <= before.at) return { kbps: 0, lossPercent: 0, streams };
  for (const [key, now] of after.flows[name]?.streams ?? []) {
    const then = from?.get(key) ?? { bytes: 0, packets: 0, lost: 0 };
    bytes += Math.max(0, now.bytes - then.bytes);
    packets += Math.max(0, now.packets - then.packets);
    lost += Math.max(0, now.lost - then.lost);
    streams += now.packets > then.packets ? 1 : 0;
  }
  return { kbps: (bytes * 8) / (after.at - before.at), lossPercent: packets + lost > 0 ? (100 * lost) / (packets + lost) : 0, streams };
}

/**
 * What goes over all connections together, kbit/s. Pure.
 * @param {Sample} before
 * @param {Sample} after
 * @returns {{ up: number, down: number }}
 */
export function wire(before, after) {
  const all = { up: 0, down: 0 };
  if (after.at <= before.at) return all;
  for (const [connection, now] of after.wire) {
    const then = before.wire.get(connection) ?? { sent: 0, received: 0 };
    all.up += (Math.max(0, now.sent - then.sent) * 8) / (after.at - before.at);
    all.down += (Math.max(0, now.received - then.received) * 8) / (after.at - before.at);
  }
  return all;
}

/** @type {FlowName[]} */
const FLOWS = ['received video', 'received audio', 'sent video', 'sent audio'];

/** Measures while a meeting is on. */
export class Stats {
  #summary = find('#stats-summary', HTMLElement);
  #panel = find('#stats-panel', HTMLElement);
  #rows = find('#stats-rows', HTMLElement);
  #line = find('#stats-line', HTMLElement);
  /** @type {Sample | null} */
  #before = null;
  /** Looked at by few. @type {Promise<import('./costs.js').Costs> | null} */
  #costs = null;
  #more = find('#stats-more', HTMLElement);
  #parts = { connection: find('#connection', HTMLElement), costs: find('#costs', HTMLElement) };
  /** Of the listeners that the page outlives. */
  #over = new AbortController();
  /** The last two. @type {[Sample, Sample] | null} */
  #last = null;
  #timer;
  #room;
  #meeting;
  #others;
  #struggle;

  /**
   * @param {string} room
   * @param {import('./meeting.js').Meeting} meeting
   * @param {() => Promise<[string, RTCStatsReport][]>} others Of the connections besides the meeting's own.
   * @param {(seen: import('./quality.js').Seen) => void} struggle Gets the pictures there were.
   */
  constructor(room, meeting, others, struggle) {
    this.#room = room;
    this.#meeting = meeting;
    this.#others = others;
    this.#struggle = struggle;
    this.#timer = setInterval(() => void this.#measure(), PERIOD_MS);
    for (const part of /** @type {('connection' | 'costs')[]} */ (['connection', 'costs'])) {
      find(`#${part}-tab`, HTMLElement).addEventListener('click', () => this.#choose(part), { signal: this.#over.signal });
    }
  }

  close() {
    clearInterval(this.#timer);
    this.#over.abort();
    this.#summary.textContent = '';
    for (const part of [this.#rows, this.#more, this.#parts.costs]) part.replaceChildren();
    this.#line.hidden = false;
  }

  /** @param {'connection' | 'costs'} chosen */
  #choose(chosen) {
    for (const [part, element] of Object.entries(this.#parts)) {
      element.hidden = part !== chosen;
      find(`#${part}-tab`, HTMLElement).setAttribute('aria-pressed', String(part === chosen));
    }
    void this.#draw();
  }

  async #measure() {
    if (document.visibilityState !== 'visible') return;
    const [report, others] = await Promise.all([this.#meeting.stats().catch(() => null), this.#others()]);
    if (!report) return;
    const reports = [.../** @type {[string, RTCStatsReport][]} */ ([['', report]]), ...others];
    const now = sample(reports.map(([connection, each]) => [connection, each.values()]), performance.now());
    const before = this.#before;
    this.#before = now;
    this.#struggle(now.shown);
    if (!before) return;
    this.#last = [before, now];
    this.#summary.textContent = `↓ ${kbps(total(before, now, 'received'))}  ↑ ${kbps(total(before, now, 'sent'))}`;
    if (!this.#panel.hidden) await this.#draw();
  }

  async #draw() {
    if (!this.#last) return;
    if (this.#parts.costs.hidden) this.#connection(...this.#last);
    else await this.#cost(...this.#last);
    const drawn = this.#parts.costs.hidden ? this.#rows : this.#parts.costs;
    this.#line.hidden = drawn.firstChild !== null;
  }

  /**
   * @param {Sample} before
   * @param {Sample} now
   */
  #connection(before, now) {
    const rows = FLOWS.filter((name) => now.flows[name]).map((name) => {
      const flow = now.flows[name];
      const { kbps: bits, lossPercent, streams } = rate(before, now, name);
      const size = streams > 1 ? `${streams} × ${flow?.size}` : flow?.size;
      const picture = flow?.size ? t('stats_at', { size: size ?? '', fps: Math.round(flow.fps ?? 0) }) : streams > 1 ? `${streams} ×` : '–';
      const cells = [kbps(bits), picture, `${lossPercent.toFixed(1)} %`, flow?.codec ?? ''];
      const title = t(/** @type {import('./i18n.js').Key} */ (`stats_${name.replace(' ', '_')}`));
      return make('tr', {}, make('th', { scope: 'row' }, title), ...cells.map((text) => make('td', { dir: 'auto' }, text)));
    });
    this.#rows.replaceChildren(...rows);
    const { tier, uplink } = this.#meeting;
    /** @type {[string, string][]} */
    const figures = [
      [t('stats_trip'), ms(now.roundTrip)],
      [t('stats_path'), now.path || t('unknown')],
      [t('stats_delay'), ms(now.buffered)],
      [t('stats_frozen'), t('stats_times', { n: now.freezes })],
      [t('stats_signalling'), by(this.#meeting.path)],
      [t('stats_chat'), by(this.#meeting.chatPath)],
    ];
    if (tier) figures.push([t('stats_tier'), t('stats_tier_is', { tier: t(`quality_${tier.tier}`), why: t(`because_${tier.because}`) })]);
    if (uplink) {
      const asked = uplink.height === 0 && uplink.half ? { height: HALF.lines, fps: 30, bitrate: HALF.bitrate } : uplink;
      figures.push([t('stats_asked'), asked.height === 0 ? t('stats_hidden') : t('stats_asked_is', { n: asked.height, fps: asked.fps, rate: kbps(asked.bitrate / 1000) })]);
    }
    this.#more.replaceChildren(...figures.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', {}, value))));
  }

  /**
   * What the meeting costs, here and on the server.
   * @param {Sample} before
   * @param {Sample} now
   */
  async #cost(before, now) {
    this.#costs ??= import('./costs.js').then(({ costs }) => costs(this.#room));
    const { up, down } = wire(before, now);
    const streams = { up: rate(before, now, 'sent video').streams, down: rate(before, now, 'received video').streams };
    // Without the server there is nothing to say; it is asked again soon.
    await this.#costs.then((shown) => shown.show({ up, down, streams })).catch(() => {});
  }
}

/** @typedef {import('./line.js').Line['path'] | 'channel' | null} Path */

/** @param {Path} path */
function by(path) {
  if (path === null) return t('unknown');
  return path === 'websocket' ? 'WebSocket' : t(path === 'http' ? 'stats_by_http' : 'stats_by_channel');
}

/** @param {number | null} seconds */
function ms(seconds) {
  return seconds === null ? t('unknown') : t('stats_ms', { n: Math.round(seconds * 1000) });
}

/**
 * @param {Sample} before
 * @param {Sample} after
 * @param {'sent' | 'received'} way
 */
function total(before, after, way) {
  return rate(before, after, `${way} audio`).kbps + rate(before, after, `${way} video`).kbps;
}

/** @param {number} value kbit/s. */
function kbps(value) {
  return value >= 1000 ? `${(value / 1000).toFixed(1)} Mbit/s` : `${Math.round(value)} kbit/s`;
}
