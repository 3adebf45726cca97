/**
 * By which way the others come: mixed, or each of them by way of the server, or each directly. The
 * room says which, and for the first two the person may; a way that is shown gives way to another only
 * once that one brings everybody.
 */

import { Direct } from './direct.js';
import { Gallery } from './gallery.js';
import { sendsPictures, Taken } from './taken.js';

/**
 * @typedef {import('./protocol.js').Downlink} Way
 * @typedef {import('./protocol.js').Person} Person
 * @typedef {import('./taken.js').Link} Link
 *
 * @typedef {object} Setup
 * @property {(command: import('./protocol.js').Command) => Promise<any>} ask
 * @property {() => Record<import('./media.js').Kind, MediaStreamTrack | null>} tracks What this page sends.
 * @property {() => RTCIceServer[]} iceServers
 * @property {HTMLVideoElement} mix
 * @property {import('./view.js').View} view
 * @property {(id: string) => string} label
 * @property {(id: string, button: HTMLElement) => void} menu
 * @property {(resume: () => void) => void} blocked
 * @property {() => boolean} mixed The mix brings everybody whom it shows.
 * @property {(way: Way) => void} shown
 * @property {() => void} unreachable Somebody cannot be reached directly.
 */

/** Somebody who sends nothing, or is not reached, is not waited for longer than this, ms. */
const PATIENCE_MS = 4_000;
/** How often it is looked whether a way brings everybody, ms. */
const LOOK_MS = 50;
/** Windows that are being dragged have this long between two words about it, ms. */
const SIZES_MS = 250;
/** Who is to offer has long done so, ms; else the offer was refused, or was made to one that is no more. */
const MISSED_MS = 2_000;
/** Before another try at a connection that failed, ms. */
const AGAIN_MS = 1_000;

export class Ways {
  #setup;
  #gallery;
  /** @type {Way} */
  #shown = 'mixed';
  /** @type {Way} */
  #wanted = 'mixed';
  /** Of the way that is shown, and of the one that is to be. @type {Record<Way, Map<string, Link>>} */
  #links = { mixed: new Map(), forwarded: new Map(), direct: new Map() };
  /** @type {Person[]} */
  #people = [];
  #me = '';
  /** @type {number | undefined} */
  #looking;
  #since = 0;
  #sound = true;
  /** @type {number | undefined} */
  #sizing;
  /** Of whom an offer is waited for. @type {Map<string, number>} */
  #missing = new Map();
  /** Told last. */
  #sizes = '';

  /** @param {Setup} setup */
  constructor(setup) {
    this.#setup = setup;
    this.#gallery = new Gallery({ menu: setup.menu, blocked: setup.blocked, resized: () => this.#resized() });
    this.#gallery.sound(false);
  }

  /**
   * @param {Person[]} people
   * @param {string} me
   * @param {Way} way
   */
  follow(people, me, way) {
    this.#people = people.filter(({ id }) => id !== me);
    this.#me = me;
    if (way !== this.#wanted) {
      this.#forget();
      this.#wanted = way;
      this.#since = performance.now();
      if (way === 'mixed') this.#setup.view.downlink = way; // It takes some pictures to come.
    }
    for (const one of /** @type {Way[]} */ (['forwarded', 'direct'])) if (one !== this.#shown && one !== way) this.#drop(one);
    this.#arrange();
    this.#look();
  }

  /** @param {import('./protocol.js').RelayNotice} notice */
  hear({ from, signal }) {
    if (this.#wanted !== 'direct') return; // The room has another mind by now; both pages are told.
    const begins = signal.kind === (this.#me < from ? 'again' : 'offer');
    let link = this.#links.direct.get(from);
    if (begins) {
      link?.close(); // The other page has none, or another.
      link = this.#open('direct', from);
      this.#show();
    }
    if (signal.kind === 'again') return;
    if (link instanceof Direct) link.hear(signal);
  }

  /** Devices came, went, were muted. */
  devicesChanged() {
    for (const link of this.#links.direct.values()) if (link instanceof Direct) link.send(this.#setup.tracks());
  }

  /** @param {boolean} on */
  sound(on) {
    this.#sound = on;
    this.#gallery.sound(on && this.#shown !== 'mixed');
  }

  /**
   * What the browser counts of the connections to others.
   * @returns {Promise<[string, RTCStatsReport][]>}
   */
  async stats() {
    const links = Object.values(this.#links).flatMap((all) => [...all.values()]);
    // One that ended meanwhile has none.
    const reports = links.map(async (link) => /** @type {[string, RTCStatsReport]} */ ([link.key, await link.stats()]));
    return (await Promise.allSettled(reports)).flatMap((report) => (report.status === 'fulfilled' ? [report.value] : []));
  }

  /** Where what is shown comes from. */
  get shown() {
    return this.#shown;
  }

  /** The server is reached by another socket. */
  resumed() {
    this.#forget();
    this.#arrange();
  }

  /** The stay is over, or begins anew. */
  left() {
    clearInterval(this.#looking);
    this.#looking = undefined;
    this.#waitNoMore();
    for (const way of /** @type {Way[]} */ (['forwarded', 'direct'])) this.#drop(way);
    this.#people = [];
    this.#wanted = 'mixed';
    this.#sizes = '';
    this.#become('mixed');
  }

  /** The server keeps no size of whom it does not know to be taken. */
  #taken() {
    this.#sizes = '';
    this.#resized();
  }

  /** Tells how large the others are shown, which says how much of them is worth sending. */
  #resized() {
    this.#sizing ??= setTimeout(() => {
      this.#sizing = undefined;
      if (this.#shown !== 'forwarded') return;
      const lines = this.#gallery.lines();
      const told = JSON.stringify(lines);
      if (told === this.#sizes) return;
      this.#sizes = told;
      this.#setup.ask({ type: 'sizes', lines }).catch(() => { this.#sizes = ''; }); // It is told with the next change.
    }, SIZES_MS);
  }

  /** Links to everybody by the way that is wanted, and to nobody else. */
  #connect() {
    const way = this.#wanted;
    const there = new Set(this.#people.map(({ id }) => id));
    for (const links of Object.values(this.#links)) {
      for (const [id, link] of links) if (!there.has(id)) this.#cut(links, id, link);
    }
    if (way === 'mixed') return;
    for (const { id } of this.#people) {
      const offers = way === 'forwarded' || this.#me < id;
      if (this.#links[way].has(id)) continue;
      if (offers) this.#open(way, id);
      else if (!this.#missing.has(id)) this.#missing.set(id, setTimeout(() => this.#miss(id), MISSED_MS));
    }
  }

  /** @param {string} id Who has made no offer. */
  #miss(id) {
    this.#missing.delete(id);
    if (this.#wanted !== 'direct' || this.#links.direct.has(id) || !this.#people.some((person) => person.id === id)) return;
    this.#say(id, { kind: 'again' });
    this.#connect();
  }

  /** @param {Iterable<string>} ids Of whom no offer is waited for any more. */
  #waitNoMore(ids = this.#missing.keys()) {
    for (const id of ids) {
      clearTimeout(this.#missing.get(id));
      this.#missing.delete(id);
    }
  }

  /** Introductions that have not come to their end: what is said in them is not brought any more. */
  #forget() {
    this.#waitNoMore();
    for (const [id, link] of this.#links.direct) if (link instanceof Direct && !link.stands) this.#cut(this.#links.direct, id, link);
  }

  /**
   * @param {string} to
   * @param {import('./protocol.js').Signal} signal
   */
  #say(to, signal) {
    this.#setup.ask({ type: 'relay', to, signal }).catch(() => {}); // Then nothing comes, which is noticed.
  }

  /**
   * @param {Map<string, Link>} links
   * @param {string} id
   * @param {Link} link
   */
  #cut(links, id, link) {
    links.delete(id);
    link.close();
    if (links === this.#links.forwarded) this.#setup.ask({ type: 'drop', from: id }).catch(() => {}); // They may be gone.
  }

  /** @param {Way} way */
  #drop(way) {
    for (const [id, link] of this.#links[way]) this.#cut(this.#links[way], id, link);
  }

  /**
   * @param {'forwarded' | 'direct'} way
   * @param {string} id
   * @returns {Link}
   */
  #open(way, id) {
    const links = this.#links[way];
    const failed = () => {
      if (links.get(id) !== link) return;
      this.#cut(links, id, link);
      if (way === 'direct') this.#setup.unreachable();
      else setTimeout(() => this.#arrange(), AGAIN_MS);
    };
    /** @type {Link} */
    const link = way === 'forwarded' ? new Taken(id, this.#setup.ask, () => this.#taken(), failed) : new Direct({
      offers: this.#me < id,
      iceServers: this.#setup.iceServers(),
      tracks: this.#setup.tracks(),
      send: (signal) => this.#say(id, signal),
      failed,
    });
    links.set(id, link);
    this.#waitNoMore([id]);
    return link;
  }

  /** Links by the way that is wanted, and their pictures. */
  #arrange() {
    this.#connect();
    this.#show();
  }

  /** Looks until what is wanted is shown, and who speaks from then on. */
  #look() {
    if (this.#looking !== undefined || (this.#wanted === 'mixed' && this.#shown === 'mixed')) return;
    let pictures = 0;
    /** @type {() => void} */
    const count = () => {
      pictures += 1;
      if (this.#looking !== undefined) this.#setup.mix.requestVideoFrameCallback?.(count);
    };
    this.#setup.mix.requestVideoFrameCallback?.(count);
    this.#looking = setInterval(() => {
      const [way, links] = [this.#wanted, this.#links[this.#wanted]];
      if (way === this.#shown) {
        pictures = 0;
        this.#gallery.speaking((id) => links.get(id)?.level() ?? 0);
        if (way !== 'mixed') return;
        clearInterval(this.#looking);
        this.#looking = undefined;
        return;
      }
      const waited = performance.now() - this.#since > PATIENCE_MS;
      const comes = way === 'mixed' ? pictures > 1 && this.#setup.mixed() : this.#people.every((person) => this.#brings(links, person));
      if (comes || waited) this.#become(way);
    }, LOOK_MS);
  }

  /**
   * @param {Map<string, Link>} links
   * @param {Person} person
   */
  #brings(links, person) {
    const link = links.get(person.id);
    return link !== undefined && link.brings(person) && (!sendsPictures(person) || this.#gallery.pictured(link.stream));
  }

  /** @param {Way} way */
  #become(way) {
    const before = this.#shown;
    this.#shown = way;
    this.#setup.mix.muted = way !== 'mixed' || !this.#sound;
    this.#gallery.sound(this.#sound && way !== 'mixed');
    this.#show();
    if (before !== way && before !== 'mixed') this.#drop(before);
    if (before === way) return;
    this.#setup.view.downlink = way;
    this.#setup.shown(way);
    this.#resized(); // It had its sizes before anybody wanted to know.
  }

  #show() {
    const [shown, wanted] = [this.#shown, this.#wanted];
    if (shown === 'mixed' && wanted === 'mixed') {
      this.#gallery.hide();
      return;
    }
    /** @type {(way: Way, id: string) => MediaStream | null} */
    const stream = (way, id) => this.#links[way].get(id)?.stream ?? null;
    this.#gallery.show(this.#people.map((person) => ({
      id: person.id,
      name: this.#setup.label(person.id),
      video: sendsPictures(person),
      stream: stream(shown, person.id),
      coming: wanted === shown ? null : stream(wanted, person.id),
    })), shown !== 'mixed');
  }
}
