/** What the connection is doing, measured: a summary for the bar and a table for the curious. */

import { find, make } from './dom.js';
import { t } from './i18n.js';
import { fetchRoom } from './rooms.js';
import { HALF } from './uplink.js';

/**
 * @typedef {object} Flow One kind of media in one direction, counted since the start.
 * @property {number} bytes
 * @property {number} packets
 * @property {number} lost
 * @property {number | null} fps
 * @property {string} size Such as `1280×720`; empty for audio.
 * @property {string} codec
 *
 * @typedef {'sent audio' | 'sent video' | 'received audio' | 'received video'} FlowName
 *
 * @typedef {object} Sample
 * @property {number} at ms
 * @property {Partial<Record<FlowName, Flow>>} flows
 * @property {number | null} roundTrip Seconds.
 * @property {string} path Such as `UDP`.
 * @property {number} freezes
 * @property {import('./quality.js').Seen} shown
 * @property {number | null} buffered Seconds that a picture waits in the browser, on average since the start.
 */

/** How often to measure, ms. */
const PERIOD_MS = 2_000;

/**
 * What matters in a `getStats` report. Pure.
 * @param {Iterable<any>} report Its values.
 * @param {number} at ms
 * @returns {Sample}
 */
export function sample(report, at) {
  const all = [...report];
  /** @type {Map<string, any>} */
  const byId = new Map(all.map((entry) => [entry.id, entry]));
  /** @type {Sample} */
  const result = { at, flows: {}, roundTrip: null, path: '', freezes: 0, shown: { decoded: 0, dropped: 0 }, buffered: null };
  for (const entry of all) {
    if (entry.type === 'outbound-rtp' || entry.type === 'inbound-rtp') {
      const sent = entry.type === 'outbound-rtp';
      const lost = sent ? byId.get(entry.remoteId)?.packetsLost : entry.packetsLost;
      const name = /** @type {FlowName} */ (`${sent ? 'sent' : 'received'} ${entry.kind}`);
      result.flows[name] = {
        bytes: (sent ? entry.bytesSent : entry.bytesReceived) ?? 0,
        packets: (sent ? entry.packetsSent : entry.packetsReceived) ?? 0,
        lost: Math.max(0, lost ?? 0),
        fps: entry.kind === 'video' ? (entry.framesPerSecond ?? 0) : null,
        size: entry.frameWidth ? `${entry.frameWidth}×${entry.frameHeight}` : '',
        codec: byId.get(entry.codecId)?.mimeType?.split('/')[1] ?? '',
      };
      if (!sent) result.freezes += entry.freezeCount ?? 0;
      if (!sent && entry.kind === 'video') result.shown = { decoded: entry.framesDecoded ?? 0, dropped: entry.framesDropped ?? 0 };
      if (!sent && entry.kind === 'video' && entry.jitterBufferEmittedCount > 0) result.buffered = entry.jitterBufferDelay / entry.jitterBufferEmittedCount;
    } else if (entry.type === 'transport') {
      const pair = byId.get(entry.selectedCandidatePairId);
      result.roundTrip = pair?.currentRoundTripTime ?? null;
      result.path = String(byId.get(pair?.localCandidateId)?.protocol ?? '').toUpperCase();
    }
  }
  return result;
}

/**
 * Rate and loss of one flow between two samples. Pure.
 * @param {Sample} before
 * @param {Sample} after
 * @param {FlowName} name
 * @returns {{ kbps: number, lossPercent: number }}
 */
export function rate(before, after, name) {
  const from = before.flows[name];
  const to = after.flows[name];
  if (!from || !to || after.at <= before.at) return { kbps: 0, lossPercent: 0 };
  const lost = Math.max(0, to.lost - from.lost);
  const expected = lost + Math.max(0, to.packets - from.packets);
  return {
    kbps: Math.max(0, ((to.bytes - from.bytes) * 8) / (after.at - before.at)),
    lossPercent: expected > 0 ? (100 * lost) / expected : 0,
  };
}

/** @type {FlowName[]} */
const FLOWS = ['received video', 'received audio', 'sent video', 'sent audio'];

/**
 * What the server says of itself that matters here. Pure.
 * @param {string} metrics As `/metrics` has them.
 * @returns {{ encoders: number, seconds: number, pictures: number }} Of pictures through the mixer: how many, and how long they took together.
 */
export function serverSide(metrics) {
  /** @param {string} name */
  const value = (name) => {
    const line = metrics.split('\n').find((row) => row.startsWith(`${name} `));
    return line ? Number(line.slice(name.length + 1)) : 0;
  };
  return {
    encoders: value('quilt_encoders{kind="video"}'),
    seconds: value('quilt_video_latency_seconds_sum'),
    pictures: value('quilt_video_latency_seconds_count'),
  };
}

/** Measures while a meeting is on. */
export class Stats {
  #summary = find('#stats-summary', HTMLElement);
  #panel = find('#stats-panel', HTMLElement);
  #rows = find('#stats-rows', HTMLElement);
  #line = find('#stats-line', HTMLElement);
  /** @type {Sample | null} */
  #before = null;
  /** @type {ReturnType<typeof serverSide> | null} */
  #serverBefore = null;
  #more = find('#stats-more', HTMLElement);
  #timer;
  #room;
  #meeting;
  #struggle;

  /**
   * @param {string} room
   * @param {import('./meeting.js').Meeting} meeting
   * @param {(seen: import('./quality.js').Seen) => void} struggle Gets the pictures there were.
   */
  constructor(room, meeting, struggle) {
    this.#room = room;
    this.#meeting = meeting;
    this.#struggle = struggle;
    this.#timer = setInterval(() => void this.#measure(), PERIOD_MS);
  }

  close() {
    clearInterval(this.#timer);
    this.#summary.textContent = '';
  }

  async #measure() {
    if (document.visibilityState !== 'visible') return;
    const report = await this.#meeting.stats().catch(() => null);
    if (!report) return;
    const now = sample(report.values(), performance.now());
    const before = this.#before;
    this.#before = now;
    this.#struggle(now.shown);
    if (!before) return;
    this.#summary.textContent = `↓ ${kbps(total(before, now, 'received'))}  ↑ ${kbps(total(before, now, 'sent'))}`;
    if (!this.#panel.hidden) {
      this.#draw(before, now);
      await this.#ask(now);
    }
  }

  /**
   * @param {Sample} before
   * @param {Sample} now
   */
  #draw(before, now) {
    const rows = FLOWS.filter((name) => now.flows[name]).map((name) => {
      const flow = now.flows[name];
      const { kbps: bits, lossPercent } = rate(before, now, name);
      const picture = flow?.size ? t('stats_at', { size: flow.size, fps: Math.round(flow.fps ?? 0) }) : '–';
      const cells = [kbps(bits), picture, `${lossPercent.toFixed(1)} %`, flow?.codec ?? ''];
      const title = t(/** @type {import('./i18n.js').Key} */ (`stats_${name.replace(' ', '_')}`));
      return make('tr', {}, make('th', { scope: 'row' }, title), ...cells.map((text) => make('td', { dir: 'auto' }, text)));
    });
    this.#rows.replaceChildren(...rows);
    this.#line.hidden = true;
  }

  /**
   * The figures that are no streams; the server is asked for its own.
   * @param {Sample} now
   */
  async #ask(now) {
    const text = await fetch('/metrics').then((answer) => (answer.ok ? answer.text() : ''), () => '');
    const here = await fetchRoom(this.#room).catch(() => null);
    const { tier, uplink } = this.#meeting;
    const server = serverSide(text);
    const before = this.#serverBefore;
    this.#serverBefore = server;
    const pictures = before ? server.pictures - before.pictures : 0;
    const latency = before && pictures > 0 ? (server.seconds - before.seconds) / pictures : null;
    /** @type {[string, string][]} */
    const figures = [
      [t('stats_trip'), ms(now.roundTrip)],
      [t('stats_path'), now.path || t('unknown')],
      [t('stats_latency'), ms(latency)],
      [t('stats_delay'), ms(now.buffered)],
      [t('stats_frozen'), t('stats_times', { n: now.freezes })],
      ...(here?.encoders === undefined ? [] : [/** @type {[string, string]} */ ([t('stats_encoders_room'), String(here.encoders)])]),
      [t('stats_encoders'), String(server.encoders)],
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
