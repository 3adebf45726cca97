/** The operator's page: what the server does, who is where, and having them leave. */

import { find, make, reconcile, say, sign } from './dom.js';
import { learn, list, t, translate } from './i18n.js';
import { showPipelines } from './pipelines.js';
import { recall, remember } from './store.js';

await learn();

/**
 * @typedef {import('./protocol.js').Person} Person
 *
 * @typedef {object} Encoder
 * @property {string} codec
 * @property {{ width: number, height: number }} size
 * @property {string} layout
 * @property {string | null} without Who is left out.
 * @property {string[]} people Who shares it.
 * @property {number} outputs Recordings and streams that do.
 *
 * @typedef {Person & { way: 'websocket' | 'http' | null }} Carried
 * @typedef {{ encoders: Encoder[], channels: string[], waiting: number }} Inside
 * @typedef {{ url: string, state: 'connecting' | 'live' | 'waiting' | 'failed', reason: string | null }} Push
 * @typedef {{ begun: number }} Recording Since when, ms since 1970.
 * @typedef {{ name: string, viewers: number, people: Carried[], inside: Inside | null, recordings: Recording[], pushes: Push[] }} Room
 */

/** How old what is shown may get, ms. */
const REFRESH_MS = 2_000;

/**
 * Figures out of `/metrics`, by name and labels. Pure.
 * @param {string} text
 * @returns {Map<string, number>}
 */
export function figures(text) {
  /** @type {Map<string, number>} */
  const found = new Map();
  for (const line of text.split('\n')) {
    const at = line.lastIndexOf(' ');
    if (at > 0 && !line.startsWith('#')) found.set(line.slice(0, at), Number(line.slice(at + 1)));
  }
  return found;
}

/**
 * What the operator wants to know, of two looks at the figures. Pure.
 * @param {Map<string, number>} now
 * @param {Map<string, number>} before
 * @param {number} seconds Between them.
 */
export function digest(now, before, seconds) {
  /** @param {string} name */
  const value = (name) => now.get(name) ?? 0;
  /** @param {string} name */
  const gained = (name) => Math.max(0, value(name) - (before.get(name) ?? value(name)));
  const ticks = gained('quilt_mix_ticks_total');
  return {
    cpuPercent: seconds > 0 ? (100 * gained('process_cpu_seconds_total')) / seconds : 0,
    megabytes: value('process_resident_memory_bytes') / 1e6,
    encoders: value('quilt_encoders{kind="video"}'),
    decoders: value('quilt_decoders{kind="video"}'),
    listeners: value('quilt_listeners'),
    latePercent: ticks > 0 ? (100 * gained('quilt_mix_late_ticks_total')) / ticks : 0,
  };
}

class Admin {
  #key = recall('admin', globalThis.sessionStorage) ?? '';
  #problem = find('#key-problem', HTMLElement);
  /** @type {{ at: number, figures: Map<string, number> } | null} */
  #before = null;

  constructor() {
    find('#unlock', HTMLFormElement).addEventListener('submit', (event) => {
      event.preventDefault();
      this.#key = find('#key', HTMLInputElement).value;
      void this.#refresh();
    });
    if (this.#key) void this.#refresh();
    setInterval(() => {
      if (this.#key && document.visibilityState === 'visible') void this.#refresh();
    }, REFRESH_MS);
  }

  async #refresh() {
    const answer = await this.#ask('GET', '/api/admin').catch(() => null);
    if (!answer?.ok) {
      this.#complain(t(answer?.status === 401 ? 'admin_wrong' : 'no_server'));
      if (answer?.status === 401) this.#key = '';
      return;
    }
    this.#complain(null);
    remember('admin', this.#key, globalThis.sessionStorage);
    find('#unlock', HTMLElement).hidden = true;
    find('#server', HTMLElement).hidden = false;
    find('#meetings', HTMLElement).hidden = false;
    find('#pipelines', HTMLElement).hidden = false;
    /** @type {{ rooms: Room[], pipelines: import('./pipelines.js').Pipeline[] }} */
    const { rooms, pipelines } = await answer.json();
    this.#showRooms(rooms);
    showPipelines(pipelines, (path) => this.#ask('GET', path));
    const metrics = await fetch('/metrics').then((response) => response.text(), () => '');
    this.#showFigures(figures(metrics));
  }

  /** @param {Map<string, number>} now */
  #showFigures(now) {
    const at = performance.now();
    const before = this.#before ?? { at, figures: now };
    this.#before = { at, figures: now };
    const { cpuPercent, megabytes, encoders, decoders, listeners, latePercent } = digest(now, before.figures, (at - before.at) / 1000);
    /** @type {[string, string][]} */
    const shown = [
      [t('admin_cpu'), `${cpuPercent.toFixed(0)} %`],
      [t('admin_memory'), `${megabytes.toFixed(0)} MB`],
      [t('stats_encoders'), String(encoders)],
      [t('admin_decoders'), String(decoders)],
      [t('admin_listeners'), String(listeners)],
      [t('admin_late'), `${latePercent.toFixed(1)} %`],
    ];
    for (const [name, words] of BUDGET) {
      const cores = now.get(name);
      if (cores !== undefined) shown.push([t(words), t('admin_cores', { cores: cores.toFixed(1) })]);
    }
    find('#figures', HTMLElement).replaceChildren(...shown.map(([name, value]) => make('div', {}, make('dt', {}, name), make('dd', { dir: 'ltr' }, value))));
  }

  /** @param {Room[]} rooms */
  #showRooms(rooms) {
    find('#admin-empty', HTMLElement).hidden = rooms.length > 0;
    reconcile(find('#admin-rooms', HTMLElement), rooms, ({ name }) => name, (room) => this.#room(room), (item, room) => {
      say(item.querySelector('.who'), t('people_here', { n: room.people.length }) + (room.viewers > 0 ? `; ${t('watching', { n: room.viewers })}` : ''));
      const [people, encoders] = item.querySelectorAll('ul');
      const channels = new Set(room.inside?.channels);
      if (people) reconcile(people, room.people, ({ id }) => id, (person) => this.#person(room.name, person), (line, person) => showPerson(line, person, channels.has(person.id)));
      const texts = (room.inside?.encoders ?? []).map((encoder) => described(encoder, room.people));
      if (room.inside?.waiting) texts.push(t('admin_waiting', { n: room.inside.waiting }));
      texts.push(...room.recordings.map(({ begun }) => t('admin_recording', { time: new Date(begun).toLocaleTimeString() })), ...room.pushes.map(pushed));
      if (encoders) reconcile(encoders, texts, (text) => text, (text) => make('li', { 'data-testid': 'admin-encoder' }, text), () => {});
    });
  }

  /** @param {Room} room */
  #room({ name }) {
    const end = make('button', { type: 'button', class: 'danger', 'data-testid': 'end', 'aria-label': `${t('end_all')}: ${name}` }, t('end_all'));
    end.addEventListener('click', () => {
      if (confirm(t('end_sure'))) void this.#remove(`/api/rooms/${encodeURIComponent(name)}`);
    });
    return make('li', { class: 'admin-room', 'data-testid': 'admin-room', 'data-name': name },
      make('div', { class: 'room' }, make('div', { class: 'room-text' }, make('h3', {}, make('bdi', {}, name)), make('p', { class: 'who' })), end),
      make('ul', { 'aria-label': name }), make('ul', { class: 'soft', 'aria-label': `${t('stats_encoders')}: ${name}` }));
  }

  /**
   * @param {string} room
   * @param {Person} person
   */
  #person(room, { id, name }) {
    const remove = make('button', { type: 'button', class: 'plain danger', 'data-testid': 'remove', 'aria-label': `${t('remove')}: ${name}` }, t('remove'));
    remove.addEventListener('click', () => {
      if (confirm(t('remove_sure', { name }))) void this.#remove(`/api/rooms/${encodeURIComponent(room)}/people/${id}`);
    });
    return make('li', { class: 'admin-person', 'data-testid': 'admin-person', 'data-name': name },
      make('bdi', {}, name), make('span', { class: 'soft way' }), sign('star', t('is_host')), sign('mic-off', t('microphone_off')), sign('camera-off', t('camera_off')), remove);
  }

  /** @param {string} path */
  async #remove(path) {
    const answer = await this.#ask('DELETE', path).catch(() => null);
    this.#complain(answer && (answer.ok || answer.status === 404) ? null : t('no_server'));
    await this.#refresh();
  }

  /**
   * @param {string} method
   * @param {string} path
   */
  #ask(method, path) {
    return fetch(path, { method, cache: 'no-store', headers: { authorization: `Bearer ${this.#key}` } });
  }

  /** @param {string | null} text */
  #complain(text) {
    this.#problem.hidden = text === null;
    say(this.#problem, text ?? '');
  }
}

/** What the processor may be used for, as far as the server says. @type {[string, import('./i18n.js').Key][]} */
const BUDGET = [['quilt_cpu_budget_cores', 'admin_budget'], ['quilt_cpu_used_cores', 'admin_used'], ['quilt_cpu_committed_cores', 'admin_committed']];

/**
 * An encoder and who shares it, in words. Pure.
 * @param {Encoder} encoder
 * @param {Person[]} all In the room.
 */
export function described({ codec, size, layout, without, people, outputs }, all) {
  /** @param {string} id */
  const named = (id) => all.find((one) => one.id === id)?.name ?? id;
  const viewers = people.filter((id) => !all.some((one) => one.id === id)).length;
  const who = people.filter((id) => all.some((one) => one.id === id)).map(named);
  if (viewers > 0) who.push(t('watching', { n: viewers }));
  if (outputs > 0) who.push(t('admin_outputs', { n: outputs }));
  const what = `${codec.toUpperCase()} ${size.width}×${size.height}, ${layout}`;
  return without === null ? t('admin_encoder', { what, who: list(who) }) : t('admin_encoder_without', { what, name: named(without), who: list(who) });
}

/** @satisfies {Record<Push['state'], import('./i18n.js').Key>} */
const PUSHED = { connecting: 'admin_push_connecting', live: 'admin_push_live', waiting: 'admin_push_waiting', failed: 'admin_push_failed' };

/**
 * Where a room is pushed to and how that goes, in words. Pure.
 * @param {Push} push
 */
export function pushed({ url, state, reason }) {
  const text = t(PUSHED[state], { url });
  return state === 'live' || reason === null ? text : `${text} (${reason})`;
}

/**
 * @param {HTMLElement} item
 * @param {Carried} person
 * @param {boolean} channel Their chat goes by a data channel.
 */
function showPerson(item, { audio, video, host = false, way }, channel) {
  const ways = [way === null ? '' : way === 'http' ? 'HTTP' : 'WebSocket', channel ? t('stats_by_channel') : ''];
  say(item.querySelector('.way'), ways.filter(Boolean).join(' + '));
  item.classList.toggle('muted', !audio);
  item.classList.toggle('unseen-camera', !video);
  item.classList.toggle('host', host);
}

if (globalThis.document) {
  translate();
  document.title = `${t('admin_title')} · Quilt`;
  new Admin();
}
