/**
 * One person's presence in a room: joins, negotiates, and when something breaks joins anew under
 * the same name, until the person leaves or the server refuses.
 */

import { Connection } from './connection.js';
import { t } from './i18n.js';
import { reach } from './reach.js';
import { Lost, Refused, Signalling } from './signalling.js';
import { encodings, heightOf } from './uplink.js';

/**
 * @typedef {import('./protocol.js').Person} Person
 * @typedef {import('./protocol.js').ErrorCode} ErrorCode
 *
 * @typedef {object} Hooks What the page shows.
 * @property {(state: import('./state.js').State) => void} state
 * @property {(me: string) => void} joined
 * @property {() => void} resumed By another socket; what was last said to or by this page may be lost.
 * @property {(people: Person[], viewers: number, locked: boolean, held: boolean, room: import('./view.js').Room | null) => void} people Without a room it is not known yet how that is.
 * @property {(notice: import('./protocol.js').RelayNotice) => void} relay
 * @property {(list: import('./protocol.js').Knocking[]) => void} waiting Who does, told to hosts.
 * @property {(line: import('./protocol.js').ChatLine) => void} chat
 * @property {(from: string, reaction: import('./protocol.js').Reaction) => void} reaction
 * @property {(map: import('./protocol.js').TileMap) => void} tiles
 * @property {(ids: string[]) => void} speaking
 * @property {(mix: MediaStream) => void} mix
 * @property {(on: boolean) => void} recording
 * @property {(tier: import('./protocol.js').TierNotice) => void} tier
 * @property {(links: Record<string, import('./protocol.js').LinkQuality>) => void} links
 * @property {(text: string | null) => void} trouble Worth telling; `null` when it is over.
 *
 * @typedef {object} Setup
 * @property {string} url Of the socket.
 * @property {string | undefined} name `undefined` for those who only watch.
 * @property {string} session Who this is across lost connections.
 * @property {import('./options.js').Options} options
 * @property {import('./media.js').Devices} devices
 * @property {import('./sharing.js').Sharing} sharing
 * @property {import('./view.js').View} view
 * @property {Hooks} hooks
 */

/** Answers that asking again will not change. @type {ErrorCode[]} */
const FINAL = ['bad_message', 'too_large', 'bad_name', 'bad_sdp', 'already_joined', 'not_joined', 'forbidden', 'locked', 'removed', 'not_admitted', 'no_room'];

/** Ends that somebody wanted: coming back by itself would be rude. */
const MEANT = /** @type {const} */ (['removed', 'ended', 'replaced', 'refused']);

/** The stay is over because somebody ended it. */
export class Ended extends Error {
  /** @param {typeof MEANT[number]} reason */
  constructor(reason) {
    super(t(`bye_${reason}`));
  }
}

/** Refusals in the reader's language; the others come with the server's own words. @type {Partial<Record<ErrorCode, import('./i18n.js').Key>>} */
const REFUSED = {
  locked: 'refused_locked', removed: 'refused_removed', not_admitted: 'bye_refused', files_full: 'refused_files', forbidden: 'refused_forbidden', slow_down: 'refused_slow', no_room: 'refused_full', not_there: 'chat_gone',
};

/**
 * @param {unknown} error
 * @returns {string}
 */
export function inWords(error) {
  const key = error instanceof Refused ? REFUSED[error.code] : undefined;
  return key ? t(key) : error instanceof Error ? error.message : String(error);
}

/** How long to wait before the server is sought again, ms: a refusal comes at once. */
const AGAIN_MS = 200;
/** How long the media paths may take to carry something again before the next look, ms. */
const FLOW_MS = 1_000;
/** They often come back by themselves as soon as the server is reached: how long to let them, ms. */
const HEAL_MS = 150;
/** The same while the server answers all the time, ms: it may be busy, or only media be held up. */
const HEAL_LONG_MS = 2_000;
/** How long to mend before joining anew is the better hope, ms. */
const MEND_MS = 15_000;
/** How long a leave may take before the socket is simply closed, ms. */
const LEAVE_MS = 1_000;
/** Connected for so long, ms, an attempt counts as a success and the waiting starts small again. */
const STEADY_MS = 10_000;

/**
 * How long to wait before the next attempt: doubling from half a second to five, with some chance
 * in it so that a whole meeting does not knock at a restarted server in the same instant.
 * @param {number} failures In a row, from 0.
 * @param {number} chance From 0 to 1.
 */
export function backoff(failures, chance) {
  return Math.min(5_000, 500 * 2 ** failures) * (0.75 + 0.5 * chance);
}

/** Notices that have words in the reader's language. @type {Record<string, import('./i18n.js').Key>} */
const TROUBLE = { uplink_video_failed: 'uplink_video_failed', uplink_audio_failed: 'uplink_audio_failed', draining: 'draining' };

/** @param {import('./protocol.js').TroubleNotice} notice */
function told({ code, text }) {
  const key = TROUBLE[code];
  return key ? t(key) : text;
}

/** @type {Partial<Record<import('./protocol.js').Bye['reason'], import('./i18n.js').Key>>} */
const BYE = { shutdown: 'bye_shutdown', media_lost: 'bye_media_lost', room_failed: 'bye_room_failed', sends_too_much: 'bye_sends_too_much' };

/** @param {import('./protocol.js').Bye['reason']} reason */
function farewell(reason) {
  const meant = MEANT.find((known) => known === reason);
  return meant ? new Ended(meant) : new Error(t(BYE[reason] ?? 'bye_other'));
}

export class Meeting {
  #setup;
  #leaving = new AbortController();
  /** @type {Signalling | null} */
  #signalling = null;
  /** @type {Connection | null} */
  #connection = null;
  /** @type {(why: Error) => void} */
  #end = () => {};
  #told = '';
  /** A host lets this page in. */
  #admitted = () => {};
  #mending = false;
  /** The machine has another network than the media paths were made on. */
  #moved = false;
  /** The socket has ended, and nobody said why. */
  #cut = false;
  #connectedAt = Infinity;
  /** What the server knows of the video track: it carries the screen. */
  #shares = false;
  /** What the server knows was chosen. @type {import('./protocol.js').Quality} */
  #quality = 'auto';
  /** What the server wants of this page's video at present. @type {import('./protocol.js').UplinkNotice | null} */
  uplink = null;
  /** @type {RTCIceServer[]} */
  iceServers = [];
  /** What this page gets. @type {import('./protocol.js').TierNotice | null} */
  tier = null;

  /** @param {Setup} setup */
  constructor(setup) {
    this.#setup = setup;
  }

  /**
   * Stays until the person leaves.
   * @returns {Promise<void>}
   * @throws {Refused} The server does not want this client, and said why.
   * @throws {Ended} Somebody ended it.
   */
  async run() {
    const { hooks } = this.#setup;
    hooks.state('connecting');
    for (let failures = 0; !this.#left; failures += 1) {
      this.#connectedAt = Infinity;
      const why = await this.#stay();
      if (this.#left) return;
      if (why instanceof Ended || (why instanceof Refused && FINAL.includes(why.code))) throw why;
      if (performance.now() - this.#connectedAt > STEADY_MS) failures = 0;
      hooks.state('lost');
      hooks.trouble(why instanceof Lost ? null : why.message); // The state says that it is lost.
      await this.#pause(backoff(failures, Math.random()));
    }
  }

  /** Says goodbye and ends `run`. */
  async leave() {
    if (this.#signalling) this.#signalling.onclose = () => {}; // As it should be, then.
    const goodbye = this.#signalling?.request({ type: 'leave' }).catch(() => {});
    await Promise.race([goodbye, new Promise((resolve) => setTimeout(resolve, LEAVE_MS))]);
    this.hangUp();
  }

  /** Ends at once, as a closing window must. The socket's end is a leave, too. */
  hangUp() {
    this.#leaving.abort();
    this.#end(new Error('left'));
    this.#connection?.close();
    this.#signalling?.close();
  }

  /** Brings what is sent, and what the server knows, in line with the devices. */
  async devicesChanged() {
    const { options } = this.#setup;
    if (!this.#connection || !this.#signalling) return;
    await this.#wantQuality();
    if (options.view) return;
    await this.#connection.replace('audio', this.#voice());
    await this.#replaceVideo(this.#connection);
    const { audio, video } = this.#wants(); // As it is by now.
    const told = JSON.stringify({ audio, video });
    if (told === this.#told) return;
    this.#told = told;
    await this.#signalling.request({ type: 'media', audio, video });
  }

  /**
   * Sends the screen or the camera. The server is told first, so that neither is shown as the other.
   * @param {Connection} connection
   */
  async #replaceVideo(connection) {
    const { devices, sharing } = this.#setup;
    const on = sharing.track !== null;
    if (on !== this.#shares) {
      await this.ask({ type: 'share', on });
      this.#shares = on;
      this.uplink = null; // It was about the other one.
    }
    await connection.replace('video', sharing.track ?? devices.get('video').track);
    this.#encode(connection);
  }

  /** What the server hears: nothing where the others hear this page directly. */
  #voice() {
    return this.#setup.view.downlink === 'direct' ? null : this.#setup.devices.get('audio').track;
  }

  /**
   * The others come by another way than before.
   * @param {import('./protocol.js').Downlink} way
   */
  wayChanged(way) {
    // Where there is no mix, that nothing comes of it is no trouble.
    if (this.#connection) this.#connection.idle = way !== 'mixed';
    this.devicesChanged().catch(() => {}); // A lost socket tells everything anew.
  }

  /** The sound of the mix comes. */
  get sounds() {
    return this.#connection?.sounds ?? false;
  }

  /** @param {Connection} connection */
  #encode(connection) {
    const { devices, sharing } = this.#setup;
    const track = sharing.track ?? devices.get('video').track;
    connection.encode(encodings(sharing.track ? 'screen' : 'camera', this.uplink, heightOf(track)));
  }

  /** Asks for as much picture as is chosen, if the server can give more than one. */
  async #wantQuality() {
    const { quality } = this.#setup.devices;
    if (quality === this.#quality) return;
    this.#quality = quality;
    await this.ask({ type: 'quality', quality }).catch(() => {}); // It gives everybody the same, then.
  }

  /**
   * Has the server do something; rejects with its refusal.
   * @param {import('./protocol.js').Command} command
   * @returns {Promise<any>} What the acknowledgement carries.
   */
  async ask(command) {
    if (!this.#signalling) throw new Lost(t('no_server'));
    const channel = command.type === 'chat' && this.#connection?.open ? this.#connection : undefined;
    return this.#signalling.request(command, channel);
  }

  /** By what chat goes, while anything does. */
  get chatPath() {
    return this.#connection?.open ? 'channel' : this.path;
  }

  /** @returns {Promise<RTCStatsReport | null>} */
  async stats() {
    return this.#connection ? this.#connection.stats() : null;
  }

  /** By what the server is reached, while it is. */
  get path() {
    return this.#signalling?.path ?? null;
  }

  get #left() {
    return this.#leaving.signal.aborted;
  }

  #wants() {
    const { audio, video } = { audio: this.#setup.devices.get('audio'), video: this.#setup.devices.get('video') };
    return { audio: audio.on && audio.track !== null, video: video.on && video.track !== null };
  }

  /**
   * From opening the socket to whatever ends it.
   * @returns {Promise<Error>} Why it ended.
   */
  async #stay() {
    /** @type {Promise<never>} */
    const ended = new Promise((_, reject) => {
      this.#end = reject;
    });
    ended.catch(() => {}); // It may end while something else is awaited.
    this.#moved = false;
    this.#cut = false;
    try {
      this.#signalling = await Signalling.open(this.#setup.url, this.#leaving.signal);
      this.#signalling.onnotice = (notice) => this.#notice(notice);
      this.#signalling.onclose = this.#end; // From the join on, it is replaced instead.
      await Promise.race([ended, this.#enter(this.#signalling)]);
      return await ended;
    } catch (error) {
      return error instanceof Error ? error : new Error(String(error));
    } finally {
      this.#connection?.close();
      this.#connection = null;
      this.#signalling?.close();
      this.#signalling = null;
    }
  }

  /** @param {Signalling} signalling */
  async #enter(signalling) {
    const { name, options, devices, hooks, session, view } = this.#setup;
    const { portrait, overlay, direct } = view.wish;
    const wants = options.view ? { audio: false, video: false } : this.#wants();
    this.#told = JSON.stringify(wants);
    const join = /** @type {const} */ ({
      type: 'join',
      ...(name === undefined ? {} : { name }),
      ...(options.codec ? { codec: options.codec } : {}),
      ...(options.token === null ? {} : { token: options.token }),
      session,
      view: options.view,
      ...wants,
      portrait,
      overlay,
      direct,
    });
    /** @type {import('./protocol.js').Joined & Partial<import('./protocol.js').Waits>} */
    let joined = await signalling.request(join);
    while (joined.waiting) {
      const admitted = new Promise((resolve) => {
        this.#admitted = () => resolve(undefined);
      });
      hooks.state('waiting');
      await admitted; // Or the end of this stay.
      hooks.state('connecting');
      joined = await signalling.request(join);
    }
    this.#shares = false;
    this.#quality = 'auto';
    this.uplink = null;
    this.tier = null;
    view.joined({ layout: null, portrait, overlay, downlink: 'mixed', direct });
    const { hostname } = new URL(this.#setup.url);
    this.iceServers = [...joined.iceServers, ...(joined.stun_port ? [{ urls: `stun:${hostname}:${joined.stun_port}` }] : [])];
    hooks.joined(joined.participant);
    hooks.people(joined.people, 0, false, false, null);
    const end = this.#end;
    const connection = new Connection({
      iceServers: joined.iceServers,
      codec: options.codec ?? 'h264',
      view: options.view,
      stream: devices.stream,
      send: (command) => this.#signalling?.request(command) ?? Promise.reject(new Lost(t('no_server'))),
      onmessage: (text) => this.#signalling?.hear(text),
      onhealth: (health) => this.#health(health, end),
      ontrouble: (moved) => void this.#mend(connection, moved),
    });
    this.#connection = connection;
    await connection.replace('audio', this.#voice());
    if (!options.view) await this.#replaceVideo(connection);
    hooks.mix(connection.mix);
    await connection.negotiate();
    if (this.#signalling) this.#adopt(this.#signalling, connection);
    await this.devicesChanged(); // A device may have come or gone meanwhile.
  }

  /**
   * Goes on with this socket, from which another can take over when it is lost.
   * @param {Signalling} signalling
   * @param {Connection} connection
   */
  #adopt(signalling, connection) {
    const end = this.#end;
    const before = this.#signalling;
    this.#signalling = signalling;
    this.#cut = false;
    signalling.onnotice = (notice) => this.#notice(notice);
    signalling.onclose = (why) => {
      if (why instanceof Refused || this.#connection !== connection) {
        end(why);
        return;
      }
      this.#cut = true;
      void this.#mend(connection, false);
    };
    if (!before || before === signalling) return;
    before.onclose = () => {};
    before.close();
    this.#told = ''; // What was said last may have been lost.
    this.#setup.view.joined({});
    this.#setup.hooks.resumed();
    this.devicesChanged().catch(() => {}); // A lost socket is noticed elsewhere.
  }

  /**
   * Brings back what a network took that changed or was gone for a while: the socket, by another
   * one that takes over, and the media paths. Ends the stay if the place is lost.
   * @param {Connection} connection
   * @param {boolean} moved The old media paths are not worth waiting for.
   */
  async #mend(connection, moved) {
    const current = () => this.#connection === connection && !this.#left;
    this.#moved ||= moved;
    if (this.#mending || !current()) return;
    this.#mending = true;
    const end = this.#end;
    const deadline = performance.now() + MEND_MS;
    // Media that came back by itself says nothing about the socket.
    let reached = null;
    try {
      while (current() && (!reached || connection.silent || this.#moved || this.#cut)) {
        if (performance.now() > deadline) throw new Lost(t('no_server'));
        const before = this.#signalling;
        reached = await this.#reach(before);
        if (!current()) {
          if (reached !== before) reached?.close();
          return;
        }
        if (!reached) {
          await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
          continue;
        }
        if (reached !== before) this.#adopt(reached, connection);
        const patience = reached === before ? HEAL_LONG_MS - connection.quiet : HEAL_MS;
        if (this.#moved || !(await connection.flows(patience))) connection.restart(this.#moved);
        this.#moved = false;
        await connection.flows(FLOW_MS);
      }
    } catch (error) {
      if (current()) end(error instanceof Error ? error : new Error(String(error)));
    } finally {
      this.#mending = false;
    }
  }

  /** @param {Signalling | null} socket The one there is. */
  #reach(socket) {
    const notice = (/** @type {import('./protocol.js').Notice} */ notice) => this.#notice(notice);
    return reach(socket, this.#setup.url, this.#setup.session, notice, this.#leaving.signal);
  }

  /**
   * @param {import('./connection.js').Health} health
   * @param {(why: Error) => void} end Of the stay that the connection belongs to.
   */
  #health(health, end) {
    const { hooks } = this.#setup;
    if (health === 'failed') {
      end(new Error(t('no_media')));
    } else if (health === 'connected') {
      if (this.#connectedAt === Infinity) this.#connectedAt = performance.now();
      hooks.state('connected');
      hooks.trouble(null);
    } else {
      hooks.state(health);
    }
  }

  /** @param {import('./protocol.js').Notice} notice */
  #notice(notice) {
    const { hooks } = this.#setup;
    switch (notice.type) {
      case 'people':
        hooks.people(notice.people, notice.viewers, notice.locked ?? false, notice.held ?? false, {
          layout: notice.layout ?? 'grid',
          stageSize: notice.stage_size ?? 0,
          topology: notice.topology ?? 'mcu',
        });
        break;
      case 'relay':
        hooks.relay(notice);
        break;
      case 'waiting':
        hooks.waiting(notice.waiting);
        break;
      case 'admitted':
        this.#admitted();
        break;
      case 'tiles':
        hooks.tiles(notice);
        break;
      case 'recording':
        hooks.recording(notice.on);
        break;
      case 'links':
        hooks.links(notice.links);
        break;
      case 'tier':
        this.tier = notice;
        hooks.tier(notice);
        break;
      case 'uplink':
        this.uplink = notice;
        if (this.#connection && !this.#setup.options.view) {
          this.#encode(this.#connection);
          this.#connection.sendIn(notice.codec);
        }
        break;
      case 'speaking':
        hooks.speaking(notice.speaking);
        break;
      case 'chat':
        hooks.chat(notice);
        break;
      case 'reaction':
        hooks.reaction(notice.from, notice.reaction);
        break;
      case 'notice':
        hooks.trouble(told(notice));
        break;
      case 'bye':
        this.#end(farewell(notice.reason));
        break;
      default: // A newer server may say more than this page understands.
    }
  }

  /**
   * Waits, but not longer than until the network is back or the person leaves.
   * @param {number} ms
   * @returns {Promise<void>}
   */
  #pause(ms) {
    return new Promise((resolve) => {
      const done = new AbortController();
      const finish = () => {
        clearTimeout(timer);
        done.abort();
        resolve();
      };
      const timer = setTimeout(finish, ms);
      window.addEventListener('online', finish, { signal: done.signal });
      this.#leaving.signal.addEventListener('abort', finish, { signal: done.signal });
    });
  }
}
