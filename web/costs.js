/** What the running meeting costs: its clients, the server, and what other ways would need. */

import { find, make } from './dom.js';
import { learn, number, t } from './i18n.js';

/**
 * @typedef {'mesh' | 'sfu' | 'mcu'} Way
 *
 * @typedef {object} Needs Means of the people; `null` is not measured.
 * @property {number | null} uplinks
 * @property {number | null} downlinks
 * @property {number | null} client_kbps_up
 * @property {number | null} client_kbps_down
 * @property {number | null} server_kbps_in
 * @property {number | null} server_kbps_out
 *
 * @typedef {{ video: number, audio: number }} Coders
 * @typedef {{ p50_ms: number, p95_ms: number }} Delay
 *
 * @typedef {object} More
 * @property {Way | 'hybrid'} topology
 * @property {'nobody' | 'forwarding_server' | 'mixing_server'} seen_by
 * @property {number | null} server_cores
 * @property {boolean | null} server_cores_estimated
 * @property {Coders} encoders
 * @property {Coders} decoders
 * @property {Delay | null} mixing
 * @property {Delay | null} forwarding
 * @property {(Needs & { topology: Way })[]} computed
 *
 * @typedef {Needs & More} Told What the server says.
 *
 * @typedef {object} Mine What this browser measured.
 * @property {number} up kbit/s
 * @property {number} down kbit/s
 * @property {{ up: number, down: number }} streams Of video.
 */

/** The quantities that can be computed for every way. @type {['costs_each' | 'costs_server', [import('./i18n.js').Key, keyof Needs, ((mine: Mine) => number) | null][]][]} */
const ROWS = [
  ['costs_each', [
    ['costs_uplinks', 'uplinks', ({ streams }) => streams.up],
    ['costs_downlinks', 'downlinks', ({ streams }) => streams.down],
    ['costs_up', 'client_kbps_up', ({ up }) => up],
    ['costs_down', 'client_kbps_down', ({ down }) => down],
  ]],
  ['costs_server', [
    ['costs_down', 'server_kbps_in', null],
    ['costs_up', 'server_kbps_out', null],
  ]],
];

/**
 * What the other ways would need. In a mesh only the clients know what they send, so it is taken from
 * this one. Pure.
 * @param {Told} told
 * @param {Mine} mine
 * @returns {Told['computed']}
 */
export function computed({ topology, computed: ways }, { up, streams }) {
  if (topology !== 'mesh' || streams.up === 0) return ways;
  const each = up / streams.up;
  const n = streams.up + 1;
  return ways.map((way) => ({
    ...way,
    client_kbps_up: way.client_kbps_up ?? each,
    client_kbps_down: way.client_kbps_down ?? each * (n - 1),
    server_kbps_in: way.server_kbps_in ?? each * n,
    server_kbps_out: way.server_kbps_out ?? each * n * (n - 1),
  }));
}

export class Costs {
  #room;
  #section = find('#costs', HTMLElement);

  /** @param {string} room */
  constructor(room) {
    this.#room = room;
  }

  /**
   * Asks the server, and shows what it says beside what was measured here.
   * @param {Mine} mine
   */
  async show(mine) {
    const answer = await fetch(`/api/rooms/${encodeURIComponent(this.#room)}/costs`, { cache: 'no-store' });
    if (!answer.ok) return;
    this.#draw(await answer.json(), mine);
  }

  /**
   * @param {Told} told
   * @param {Mine} mine
   */
  #draw(told, mine) {
    const others = computed(told, mine);
    const head = make('thead', {},
      make('tr', {}, make('td', {}), make('th', { scope: 'colgroup', colspan: '2' }, t('costs_now')), make('th', { scope: 'colgroup', colspan: String(others.length) }, t('costs_computed'))),
      make('tr', {}, make('td', {}), ...['costs_me', 'costs_mean', ...others.map(({ topology }) => `costs_${topology}`)]
        .map((key) => make('th', { scope: 'col' }, t(/** @type {import('./i18n.js').Key} */ (key))))));
    const bodies = ROWS.map(([name, rows]) => make('tbody', {},
      make('tr', {}, make('th', { scope: 'rowgroup', colspan: String(3 + others.length) }, t(name))),
      ...rows.map(([label, quantity, own]) => make('tr', { 'data-quantity': quantity }, make('th', { scope: 'row' }, t(label)),
        ...(own ? [cell(own(mine)), cell(told[quantity])] : [cell(told[quantity], { colspan: '2' })]),
        ...others.map((way) => cell(way[quantity], { class: 'computed' }))))));
    // A link that is chosen stays the same one, and stays chosen.
    const report = this.#section.querySelector('a') ?? make('a', { href: '/tradeoff', target: '_blank', rel: 'noopener' }, t('costs_report'));
    if (!this.#section.firstChild) {
      this.#section.append(make('div', {}), make('p', { class: 'soft' }, t('costs_note')), make('p', {}, report));
    }
    this.#section.querySelector('div')?.replaceChildren(facts(told), make('table', {}, head, ...bodies));
  }
}

/**
 * The panel's part, once its words are here.
 * @param {string} room
 */
export async function costs(room) {
  await learn('costs');
  return new Costs(room);
}

/**
 * What cannot be computed for another way.
 * @param {Told} told
 */
function facts({ topology, seen_by, server_cores, server_cores_estimated, encoders, decoders, mixing, forwarding }) {
  const cores = server_cores === null ? null : number(server_cores, 2);
  /** @type {[string, string, string][]} */
  const all = [
    ['topology', t('costs_way'), t(`costs_way_${topology}`)],
    ['seen_by', t('costs_seen'), t(`costs_seen_${seen_by}`)],
    ['server_cores', t('costs_cpu'), cores === null ? '–' : t(server_cores_estimated ? 'costs_cpu_estimated' : 'costs_cpu_is', { cores })],
    ['encoders', t('costs_encoders'), t('costs_coders', encoders)],
    ['decoders', t('costs_decoders'), t('costs_coders', decoders)],
  ];
  if (topology === 'mcu' || topology === 'hybrid' || mixing) all.push(['mixing', t('costs_mixing'), delay(mixing, 0)]);
  if (topology === 'sfu' || topology === 'hybrid' || forwarding) all.push(['forwarding', t('costs_forwarding'), delay(forwarding, 1)]);
  return make('dl', {}, ...all.map(([quantity, name, value]) => make('div', { 'data-quantity': quantity }, make('dt', {}, name), make('dd', {}, value))));
}

/**
 * @param {Delay | null} of
 * @param {number} digits
 */
function delay(of, digits) {
  return of ? t('costs_delay', { half: number(of.p50_ms, digits), most: number(of.p95_ms, digits) }) : '–';
}

/**
 * @param {number | null} value
 * @param {Record<string, string>} [attributes]
 */
function cell(value, attributes = {}) {
  const few = value !== null && value < 10 && !Number.isInteger(value);
  return make('td', { dir: 'ltr', ...attributes }, value === null ? '–' : number(value, few ? 1 : 0));
}
