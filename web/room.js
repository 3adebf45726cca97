/** The meeting page: joins the controls to the meeting. */

import { Announcer } from './announcer.js';
import { Chat } from './chat.js';
import { find } from './dom.js';
import { Entry } from './entry.js';
import { Floor, REACTIONS, showLock } from './floor.js';
import { HowlWatch } from './howl.js';
import { t, translate } from './i18n.js';
import { Devices } from './media.js';
import { Ended, inWords, Meeting } from './meeting.js';
import { openMenu } from './menu.js';
import { roomNameProblem } from './names.js';
import { Notices } from './notices.js';
import { readOptions, roomOf } from './options.js';
import { Panels } from './panels.js';
import { People } from './people.js';
import { Pickers } from './pickers.js';
import { Preferences, prefers } from './preferences.js';
import { below, Struggle, suggestFor } from './quality.js';
import { Recording } from './recording.js';
import { Awake, fullScreen, pictureInPicture } from './screen.js';
import { listen } from './shortcuts.js';
import { SelfView } from './self.js';
import { canShare, Sharing } from './sharing.js';
import { Speaker } from './speaker.js';
import { Stage } from './stage.js';
import { showState, words } from './state.js';
import { Stats } from './stats.js';
import { joinedRoom, recall, remember, sessionKey } from './store.js';
import { Tiles } from './tiles.js';
import { explain } from './trouble.js';
import { View } from './view.js';

/** @typedef {import('./media.js').Kind} Kind */

/** How long good news stand over the picture, ms; the list of people goes on telling them. */
const NEWS_MS = 8_000;
/** How long the question for camera and microphone holds up joining, ms; they may come later. */
const ASKING_MS = 4_000;

translate();
const room = roomOf(location.pathname);
const options = readOptions(location.search);
const devices = new Devices(options.processing, options.quality);
const entry = new Entry(room, options, (way) => void enter(way));
const stage = new Stage();
const mix = find('#mix', HTMLVideoElement);
const speaker = new Speaker(mix);
const entryPickers = new Pickers(find('#entry-pickers', HTMLElement), 'entry', devices, speaker);
const pickers = new Pickers(find('#settings-pickers', HTMLElement), 'settings', devices, speaker);
const preferences = new Preferences(speaker, pickers, () => {
  selfView.show();
  if (current) wishes.direct = agreesToMesh();
});
const sharing = new Sharing(() => void shareChanged());
const wishes = new View(sendCommand, () => {
  wishes.direct = agreesToMesh();
  follow(present);
});
wishes.way = options.downlink;
const announcer = new Announcer();
const recording = new Recording(sendCommand, (text) => announcer.say(text), (why) => errors.set('record', inWords(why)));
const awake = new Awake();
const errors = new Notices(find('#errors', HTMLElement));
const notices = new Notices(find('#notices', HTMLElement));
const stateLine = find('#state', HTMLElement);
const showAll = find('#show-all', HTMLButtonElement);
const soundButton = find('#sound', HTMLButtonElement);

const people = new People((id, button) => floor.menu(id, button));
const tiles = new Tiles({
  menu: (key, button) => floor.menu(key, button),
  own: (box) => selfView.place(box),
  enlarged(key) {
    showAll.hidden = key === null;
    document.body.classList.toggle('enlarged', key !== null);
  },
});
const selfView = new SelfView({ devices, sharing, view: wishes, inMeeting: () => current !== null, place: () => tiles.place() });
const floor = new Floor(people, {
  ask: (command) => void ask(command),
  writeTo(id) {
    panels.open('chat');
    chat.writeTo(id);
  },
  enlarge: (key) => tiles.enlarge(key),
  enlarged: () => tiles.enlarged,
  hasTile: (key) => tiles.boxOf(key) !== null,
  // Few need it.
  volume: (id, name, button) => void import('./volume.js').then(({ openVolume }) => openVolume(button, name, gains.get(id) ?? 1, (gain) => setGain(id, gain))),
});
const chat = new Chat(people, sendChat, announceFile, inWords, (unread) => {
  document.title = unread > 0 ? t('unread_title', { n: unread, title: title() }) : title();
});
const panels = new Panels((side) => chat.show(side === 'chat'));

/** What rejoining turns on again. @type {Record<Kind, boolean>} */
let wanted = { audio: options.audio, video: options.video };
/** The camera is to come back after the screen. */
let cameraWaits = false;
/** What the host decided about the picture. @type {import('./view.js').Room} */
let arrangement = { layout: 'grid', stageSize: 0, topology: 'mcu' };
/** How loud people are for this page alone; 1 where nothing is said. @type {Map<string, number>} */
const gains = new Map();
/** Who is in, as told last. @type {import('./protocol.js').Person[]} */
let present = [];
/** Few rooms have others come by another way than mixed. @type {Promise<import('./ways.js').Ways> | null} */
let ways = null;
/** A key holds the microphone open. */
let talking = false;
/** @type {{ meeting: Meeting, stats: Stats, howl: HowlWatch, told: boolean, locked: boolean, held: boolean } | null} */
let current = null;

const title = () => `${room} · Quilt`;

/** @param {'prejoin' | 'meeting' | 'goodbye' | 'nowhere'} view */
function show(view) {
  document.body.dataset.view = view;
  entryPickers.show(view === 'prejoin' && find('#entry-devices', HTMLDetailsElement).open);
  awake.keep(view === 'meeting');
}

/** @param {HTMLElement} toggle */
const pressed = (toggle) => toggle.getAttribute('aria-pressed') === 'true';

// --- devices -----------------------------------------------------------------------------------

function showDevices() {
  for (const kind of /** @type {Kind[]} */ (['audio', 'video'])) {
    const { on, busy, track, problem } = devices.get(kind);
    const button = find(kind === 'audio' ? '#mic' : '#camera', HTMLButtonElement);
    button.setAttribute('aria-pressed', String(on && track !== null));
    button.setAttribute('aria-busy', String(busy));
    button.classList.toggle('troubled', problem !== null);
  }
  const problems = explain({ audio: devices.get('audio').problem, video: devices.get('video').problem });
  const comfort = problems.length > 0 && !current ? [t('still_join')] : [];
  errors.set('devices', problems.length > 0 ? [...problems, ...comfort].join(' ') : null);
  entry.tellHow(isOn('audio'), isOn('video'));
  selfView.show();
  informHowl();
  void current?.meeting.devicesChanged().catch(() => {}); // A lost socket tells everything anew.
  void ways?.then((all) => all.devicesChanged());
}

/** @param {Kind} kind */
function isOn(kind) {
  return devices.get(kind).on && devices.get(kind).track !== null;
}

// --- the screen --------------------------------------------------------------------------------

async function toggleShare() {
  if (sharing.track) {
    sharing.stop();
    return;
  }
  if (!current || !canShare()) return;
  const why = await sharing.start();
  errors.set('share', why && t('share_failed', { reason: why }));
  if (!current) sharing.stop(); // It took its time.
}

/** The screen took the place of the camera, or gave it back. */
async function shareChanged() {
  const on = sharing.track !== null;
  find('#share', HTMLButtonElement).setAttribute('aria-pressed', String(on));
  find('#camera', HTMLButtonElement).disabled = on;
  notices.set('share', on && current ? t('you_share') : null, [{ label: t('share_end'), testid: 'share-end', act: () => sharing.stop() }]);
  if (current) announcer.say(t(on ? 'you_share' : 'share_ended'));
  if (on) cameraWaits = devices.get('video').on;
  const back = !on && cameraWaits && current !== null;
  if (on) await devices.set('video', false);
  else if (back) await devices.set('video', true);
  else showDevices();
  if (!on) cameraWaits = false;
}

// --- how the picture is arranged ---------------------------------------------------------------

function layoutMenu() {
  const button = find('#layout', HTMLButtonElement);
  const host = people.own?.host === true;
  /** @type {Exclude<Parameters<import('./view.js').View['menu']>[2], null>} */
  const decide = ({ layout, stageSize, topology }) => void ask({ type: 'configure', ...(layout && { layout }), ...(stageSize && { stage_size: stageSize }), ...(topology && { topology }) });
  openMenu(button.offsetParent ? button : find('#more', HTMLButtonElement), t('layout'), wishes.menu(arrangement, document.body.classList.contains('in-gallery') ? null : tiles.alone, host ? decide : null));
}

function informHowl() {
  current?.howl.update({ mic: devices.get('audio').on, sound: pressed(soundButton) });
}

/** @param {boolean} on */
function setSound(on) {
  soundButton.setAttribute('aria-pressed', String(on));
  stage.sound(on);
  void ways?.then((all) => all.sound(on));
  informHowl();
}

/** @param {boolean} howls */
function warnOfHowl(howls) {
  const silence = { label: t('howl_mute'), testid: 'howl-mute', act: () => setSound(false) };
  notices.set('howl', howls ? t('howl') : null, [silence]);
}

/**
 * @param {Kind} kind
 * @param {boolean} on
 */
async function turn(kind, on) {
  if (kind === 'video' && sharing.track) return; // Its track carries the screen.
  if (kind === 'audio' && on && people.own?.silenced) {
    notices.set('silenced', t('silenced'));
    return;
  }
  await devices.set(kind, on);
  if (!current) return;
  const words = kind === 'audio' ? /** @type {const} */ (['mic_on', 'mic_off']) : /** @type {const} */ (['cam_on', 'cam_off']);
  announcer.say(t(words[isOn(kind) ? 0 : 1]));
}

// --- coming and going --------------------------------------------------------------------------

/** @param {import('./entry.js').Way} way */
async function enter(way) {
  if (way === 'audio') await devices.set('video', false);
  await join(way === 'view');
}

/** @param {boolean} watch Only watch. */
async function join(watch) {
  if (current) return; // Pressed twice.
  const name = watch ? undefined : entry.name();
  if (name === null) {
    show('prejoin');
    entry.focus();
    return;
  }
  if (watch) devices.stop();
  document.body.classList.toggle('viewing', watch);
  wishes.direct = agreesToMesh(); // The join says it: were it said later, a mesh would be interrupted for whoever comes.
  errors.set('refused', null);
  const url = new URL(`/api/rooms/${encodeURIComponent(room)}/ws`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const token = options.token ?? recall(`host-${room}`);
  const meeting = new Meeting({ url: url.href, name, session: sessionKey(room), options: { ...options, view: watch, token }, devices, sharing, view: wishes, hooks });
  current = { meeting, stats: new Stats(room, meeting, async () => (await ways)?.stats() ?? [], struggle), howl: new HowlWatch(room, warnOfHowl), told: false, locked: false, held: false };
  joinedRoom(room);
  show('meeting');
  panels.start();
  showDevices();
  try {
    await meeting.run();
    close('goodbye', t('goodbye_text'));
  } catch (why) {
    if (why instanceof Ended) {
      close('goodbye', why.message);
      return;
    }
    close('prejoin');
    showState(stateLine, 'ready');
    errors.set('refused', inWords(why));
  }
}

/** @type {import('./meeting.js').Hooks} */
const hooks = {
  state(state) {
    if (state === 'lost') wishes.direct = agreesToMesh(); // The next stay may be another one.
    showState(stateLine, state);
    if (state === 'connecting' || state === 'interrupted' || state === 'lost') stage.wait(words(state));
    else stage.wait(null);
    if (state === 'waiting' || document.querySelector('.waiting')) void import('./waiting.js').then(({ wait }) => wait(document.body.dataset.state === 'waiting'));
  },
  joined(me) {
    people.me = me;
    if (current) current.told = false;
    gains.clear(); // A new stay begins with everybody's sound.
    tiles.clear();
    void ways?.then((all) => all.left());
    if (options.topology && !options.view) void ask({ type: 'configure', topology: options.topology });
  },
  resumed: () => void ways?.then((all) => all.resumed()),
  people: tellPeople,
  relay: (notice) => void otherWays().then((all) => all.hear(notice)),
  waiting: (list) => void tellWaiting(list),
  tiles: (map) => tiles.take(map),
  speaking(ids) {
    const set = new Set(ids);
    tiles.speaking(set);
    people.speaking(set);
    document.body.classList.toggle('self-speaks', set.has(people.me));
    const [first] = ids.filter((id) => id !== people.me);
    const name = first && people.label(first);
    if (name && prefers('announce_speakers')) announcer.speaker(name, t('speaks', { name }), performance.now());
  },
  chat(line) {
    const text = line.text.length > 120 ? `${line.text.slice(0, 120)}…` : line.text;
    if (chat.take(line)) announcer.say(t('chat_new', { name: people.label(line.from) || line.name, text }));
  },
  reaction(from, reaction) {
    floor.show(reaction, tiles.boxOf(from));
    if (from !== people.me && REACTIONS.includes(reaction)) announcer.say(t('reacts', { name: people.label(from), reaction: t(reaction) }));
  },
  mix: (stream) => stage.play(stream),
  recording: (on) => recording.show(on),
  links(links) {
    tiles.links(links);
    people.links(links);
  },
  tier({ tier, because }) {
    document.body.dataset.tier = tier;
    // Without pictures there is nothing over which anything could lie.
    if (tier === 'audio') tiles.clear();
    stage.only(tier !== 'audio' ? null : t(because === 'chosen' ? 'audio_chosen' : because === 'line' ? 'audio_line' : 'audio_server'));
  },
  trouble: (text) => errors.set('trouble', text),
};

/**
 * @param {import('./protocol.js').Person[]} list
 * @param {number} viewers
 * @param {boolean} locked
 * @param {boolean} held
 * @param {import('./view.js').Room | null} how
 */
function tellPeople(list, viewers, locked, held, how) {
  if (!current) return;
  arrangement = how ?? arrangement;
  if (how) follow(list);
  const before = people.own;
  const { came, went, raised, shares } = people.show(list, viewers);
  tiles.people(people.labels, list, people.me);
  chat.people();
  floor.update(locked, held);
  recording.offer(people.own?.host === true);
  showLock(locked);
  const { own } = people;
  if (current.told) {
    for (const { id } of came) tell('came', people.label(id));
    for (const { name } of went) tell('went', name);
    for (const { id } of raised) announcer.say(id === people.me ? t('hand_is_up') : t('raised', { name: people.label(id) }));
    if (before?.hand !== undefined && own && own.hand === undefined) announcer.say(t('hand_is_down'));
    for (const { id } of shares) if (id !== people.me) announcer.say(t('shares_now', { name: people.label(id) }));
    if (locked !== current.locked) announcer.say(t(locked ? 'now_locked' : 'now_unlocked'));
    if (held !== current.held) announcer.say(t(held ? 'now_held' : 'now_unheld'));
    if (own?.host && !before?.host) {
      notices.set('host', t('now_host'));
      setTimeout(() => notices.set('host', null), NEWS_MS);
    }
  }
  current.told = true;
  current.locked = locked;
  current.held = held;
  if (own?.silenced) {
    notices.set('silenced', t('silenced'));
    if (devices.get('audio').on) void devices.set('audio', false);
  } else {
    notices.set('silenced', before?.silenced ? t('may_speak') : null);
  }
}

/** Whether media may go from this page to others without the server. */
function agreesToMesh() {
  return wishes.way === null && !document.body.classList.contains('viewing') && (options.direct ?? prefers('meet_directly'));
}

/** By which way the others are to come. @returns {import('./protocol.js').Downlink} */
function wantedWay() {
  if (document.body.classList.contains('viewing')) return 'mixed';
  return wishes.way ?? /** @type {const} */ ({ mcu: 'mixed', sfu: 'forwarded', mesh: 'direct' })[arrangement.topology];
}

/** @param {import('./protocol.js').Person[]} list */
function follow(list) {
  const way = wantedWay();
  present = list;
  document.body.dataset.topology = arrangement.topology;
  if (way !== 'mixed' || ways) void otherWays().then((all) => all.follow(list, people.me, way));
}

function otherWays() {
  ways ??= import('./ways.js').then(({ Ways }) => new Ways({
    ask: (command) => current?.meeting.ask(command) ?? Promise.reject(new Error(t('no_server'))),
    tracks: () => ({ audio: devices.get('audio').track, video: sharing.track ?? devices.get('video').track }),
    iceServers: () => current?.meeting.iceServers ?? [],
    mix,
    view: wishes,
    label: (id) => people.label(id),
    menu: (id, button) => floor.menu(id, button),
    blocked: (resume) => stage.blocked(resume),
    mixed: () => current?.meeting.sounds === true && tiles.live,
    shown(way) {
      document.body.dataset.downlink = way;
      if (way !== 'mixed') tiles.clear();
      current?.meeting.wayChanged(way);
      announcer.say(t(/** @type {const} */ ({ mixed: 'now_mixed', forwarded: 'now_forwarded', direct: 'now_direct' })[way]));
    },
    unreachable() {
      // Everybody's media goes by the server then, also of those who do reach each other.
      wishes.direct = false;
      notices.set('direct', t('not_direct'));
      setTimeout(() => notices.set('direct', null), NEWS_MS);
    },
  }));
  return ways;
}

/** @param {import('./protocol.js').Knocking[]} list */
async function tellWaiting(list) {
  const { showWaiting } = await import('./waiting.js'); // Few rooms have it.
  showWaiting(list, (act, who) => void ask({ type: 'moderate', act, ...(who === undefined ? {} : { who }) }));
  const [first] = list;
  const look = { label: t('waiting_look'), testid: 'look', act: () => panels.open('people') };
  notices.set('waiting', first ? t('waits', { n: list.length, name: first.name }) : null, [look]);
}

/**
 * @param {'came' | 'went'} what
 * @param {string} name
 */
function tell(what, name) {
  chat.note(t(what, { name }));
  announcer.say(t(what, { name }));
}

/**
 * @param {'prejoin' | 'goodbye'} view Where to go from the meeting.
 * @param {string} [why]
 */
function close(view, why = '') {
  current?.stats.close();
  current?.howl.close();
  current = null;
  sharing.stop();
  wishes.left();
  recording.left();
  void ways?.then((all) => all.left());
  stage.stop();
  tiles.clear();
  people.show([], 0);
  errors.clear();
  notices.clear();
  showLock(false);
  document.querySelector('.waiting')?.remove();
  document.querySelector('#waiting-list')?.remove();
  panels.stats(false);
  panels.open(null);
  for (const dialog of document.querySelectorAll('dialog[open]')) if (dialog instanceof HTMLDialogElement) dialog.close();
  if (document.pictureInPictureElement) void document.exitPictureInPicture().catch(() => {});
  show(view);
  if (view === 'prejoin') {
    showDevices();
    void entry.tellWhoIsIn();
  } else {
    wanted = { audio: devices.get('audio').on, video: devices.get('video').on };
    devices.stop();
    showState(stateLine, 'left');
    find('#goodbye-text', HTMLElement).textContent = why;
    find('#rejoin', HTMLButtonElement).focus();
  }
}

// --- what the meeting is asked for -------------------------------------------------------------

/** @param {import('./protocol.js').Command} command */
async function ask(command) {
  try {
    await sendCommand(command);
    errors.set('asked', null);
  } catch (refusal) {
    errors.set('asked', inWords(refusal));
  }
}

/**
 * @param {string} text
 * @param {string | undefined} to
 */
async function sendChat(text, to) {
  await sendCommand({ type: 'chat', text, ...(to === undefined ? {} : { to }) });
}

/**
 * @param {string} who
 * @param {number} gain
 */
function setGain(who, gain) {
  gains.set(who, gain);
  void ask({ type: 'volume', who, gain });
}

/** @param {import('./protocol.js').Command} command */
async function sendCommand(command) {
  await current?.meeting.ask(command);
}

/** @type {import('./files.js').Announce} */
async function announceFile(name, size, to) {
  const { upload } = await current?.meeting.ask({ type: 'file', name, size, ...(to === undefined ? {} : { to }) });
  return upload;
}

function moreMenu() {
  const button = find('#more', HTMLButtonElement);
  /** @type {import('./menu.js').Item[]} */
  const items = [{ label: t('settings'), testid: 'open-settings', act: () => preferences.open() }];
  if (current) {
    // What a small window has no button for.
    if (!find('#layout', HTMLElement).offsetParent) items.push({ label: t('layout'), testid: 'open-layout', act: layoutMenu });
    const record = find('#record', HTMLButtonElement);
    if (!record.hidden && !record.offsetParent) items.push({ label: t(recording.on ? 'record_end' : 'record'), testid: 'open-record', act: () => record.click() });
    items.push({ label: t('statistics'), testid: 'open-stats', act: () => panels.stats(true) });
    if (pictureInPicture.possible) items.push({ label: t('picture_in_picture'), testid: 'pip', act: () => void pictureInPicture.toggle(mix) });
    if (fullScreen.possible) items.push({ label: t(fullScreen.on ? 'full_screen_end' : 'full_screen'), testid: 'full-screen', act: () => void fullScreen.toggle() });
    items.push({ label: t('shortcuts'), testid: 'open-help', act: () => preferences.help() });
  }
  openMenu(button, t('more'), items);
}

/** @type {Record<import('./shortcuts.js').Action, () => void>} */
const actions = {
  mic: () => void turn('audio', !devices.get('audio').on),
  camera: () => void turn('video', !devices.get('video').on),
  chat: () => panels.toggle('chat'),
  people: () => panels.toggle('people'),
  hand: () => floor.toggleHand(),
  layout: layoutMenu,
  share: () => void toggleShare(),
  full: () => void fullScreen.toggle(),
  stats: () => panels.stats(find('#stats-panel', HTMLElement).hidden),
  help: () => preferences.help(),
  talk: () => {},
};

function wire() {
  /** @type {(selector: string, act: () => void) => void} */
  const click = (selector, act) => find(selector, HTMLButtonElement).addEventListener('click', act);
  click('#mic', actions.mic);
  click('#camera', actions.camera);
  click('#sound', () => setSound(!pressed(soundButton)));
  click('#more', moreMenu);
  click('#share', actions.share);
  click('#layout', layoutMenu);
  find('#share', HTMLButtonElement).hidden = !canShare();
  // A window can be too narrow for their names.
  for (const button of document.querySelectorAll('.minor')) if (button instanceof HTMLElement) button.title = button.textContent?.trim() ?? '';
  click('#leave', () => (current ? void current.meeting.leave() : location.assign('/')));
  click('#rejoin', () => void rejoin());
  // Few need it, and the code of codes is large.
  click('#invite', () => void import('./invite.js').then(({ invite }) => invite(room)));
  click('#show-all', () => tiles.enlarge(null));
  const lists = find('#entry-devices', HTMLDetailsElement);
  lists.open = matchMedia('(min-width: 860px)').matches;
  lists.addEventListener('toggle', () => entryPickers.show(lists.open && document.body.dataset.view === 'prejoin'));
  devices.addEventListener('change', showDevices);
  listen((action, down) => {
    if (action !== 'talk') actions[action]();
    else if (down && !devices.get('audio').on) talking = true;
    if (action === 'talk' && talking) void turn('audio', down);
    talking &&= down;
  }, () => current !== null && !document.body.classList.contains('viewing') && prefers('use_shortcuts'));
  document.addEventListener('keydown', ({ key, defaultPrevented }) => {
    if (key !== 'Escape' || !current || defaultPrevented || document.querySelector('dialog[open], [popover]')) return;
    if (tiles.enlarged) tiles.enlarge(null);
    else panels.escape();
  });
  window.addEventListener('pagehide', () => current?.meeting.hangUp());
  // Back from the browser's page cache: everything was closed on the way out.
  window.addEventListener('pageshow', ({ persisted }) => persisted && location.reload());
}

async function rejoin() {
  show('meeting');
  if (!document.body.classList.contains('viewing')) await openDevices();
  await join(document.body.classList.contains('viewing'));
}

// --- how much picture --------------------------------------------------------------------------

/**
 * Suggests to be content with less.
 * @param {import('./protocol.js').Quality} less
 * @param {'suggest_device' | 'suggest_drops'} why
 */
function suggest(less, why) {
  const act = () => {
    notices.set('suggest', null);
    void devices.chooseQuality(less);
  };
  notices.set('suggest', t(why), [{ label: t('suggest_use', { quality: t(`quality_${less}`) }), testid: 'suggest-use', act }]);
}

function suggestForDevice() {
  const { connection, deviceMemory } = /** @type {{ connection?: { saveData?: boolean }, deviceMemory?: number }} */ (navigator);
  const less = suggestFor({ saveData: connection?.saveData === true, cores: navigator.hardwareConcurrency ?? 0, memory: deviceMemory ?? 0 });
  if (less && devices.quality === 'auto') suggest(less, 'suggest_device');
}

const struggles = new Struggle();

/** @param {import('./quality.js').Seen} seen */
function struggle(seen) {
  if (struggles.note(seen) && devices.quality !== 'audio') suggest(below(devices.quality), 'suggest_drops');
}

/** Resolves when the devices are open, or when their user has been asked long enough. */
async function openDevices() {
  if (options.view) return;
  const opened = devices.start(wanted);
  await Promise.race([opened, new Promise((resolve) => setTimeout(resolve, ASKING_MS))]);
}

/** A video without a first picture yet would hold up the `load` event of the page. */
function loaded() {
  if (document.readyState === 'complete') return Promise.resolve();
  return new Promise((resolve) => window.addEventListener('load', resolve, { once: true }));
}

/** A host's link carries its token where no server and no log sees it; then it leaves the address. */
function takeHostToken() {
  const token = new URLSearchParams(location.hash.slice(1)).get('host');
  if (token === null) return;
  remember(`host-${room}`, token);
  history.replaceState(null, '', location.pathname + location.search);
}

async function start() {
  document.title = title();
  find('#room', HTMLElement).textContent = room;
  const wrong = roomNameProblem(room);
  if (wrong !== null) {
    find('#nowhere-text', HTMLElement).textContent = wrong;
    show('nowhere');
    return;
  }
  takeHostToken();
  wire();
  document.body.classList.toggle('viewing', options.view);
  showState(stateLine, 'ready');
  await loaded();
  if (options.join) {
    show('meeting');
    showState(stateLine, 'connecting');
    await openDevices();
    await join(options.view);
    return;
  }
  show('prejoin');
  entry.tellHow(false, false);
  void entry.tellWhoIsIn();
  suggestForDevice();
  entry.focus();
  await openDevices();
}

void start();
