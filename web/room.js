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
import { Awake, fullScreen, pictureInPicture } from './screen.js';
import { listen } from './shortcuts.js';
import { Speaker } from './speaker.js';
import { Stage } from './stage.js';
import { showState, words } from './state.js';
import { Stats } from './stats.js';
import { joinedRoom, recall, remember, sessionKey } from './store.js';
import { Tiles } from './tiles.js';
import { explain } from './trouble.js';

/** @typedef {import('./media.js').Kind} Kind */

/** How long good news stand over the picture, ms; the list of people goes on telling them. */
const NEWS_MS = 8_000;
/** How long the question for camera and microphone holds up joining, ms; they may come later. */
const ASKING_MS = 4_000;

translate();
const room = roomOf(location.pathname);
const options = readOptions(location.search);
const devices = new Devices(options.processing);
const entry = new Entry(room, options, (way) => void enter(way));
const stage = new Stage();
const mix = find('#mix', HTMLVideoElement);
const speaker = new Speaker(mix);
const entryPickers = new Pickers(find('#entry-pickers', HTMLElement), 'entry', devices, speaker);
const pickers = new Pickers(find('#settings-pickers', HTMLElement), 'settings', devices, speaker);
const preferences = new Preferences(speaker, pickers, () => showSelf());
const announcer = new Announcer();
const awake = new Awake();
const errors = new Notices(find('#errors', HTMLElement));
const notices = new Notices(find('#notices', HTMLElement));
const stateLine = find('#state', HTMLElement);
const self = find('#self', HTMLVideoElement);
const selfView = find('.self', HTMLElement);
const showAll = find('#show-all', HTMLButtonElement);
const soundButton = find('#sound', HTMLButtonElement);

const people = new People((id, button) => floor.menu(id, button));
const tiles = new Tiles({
  menu: (id, button) => floor.menu(id, button),
  own: placeSelf,
  enlarged(id) {
    showAll.hidden = id === null;
    document.body.classList.toggle('enlarged', id !== null);
  },
});
const floor = new Floor(people, {
  ask: (command) => void ask(command),
  writeTo(id) {
    panels.open('chat');
    chat.writeTo(id);
  },
  enlarge: (id) => tiles.enlarge(id),
  enlarged: () => tiles.enlarged,
  hasTile: (id) => tiles.boxOf(id) !== null,
});
const chat = new Chat(people, sendChat, announceFile, inWords, (unread) => {
  document.title = unread > 0 ? t('unread_title', { n: unread, title: title() }) : title();
});
const panels = new Panels((side) => chat.show(side === 'chat'));

/** What rejoining turns on again. @type {Record<Kind, boolean>} */
let wanted = { audio: options.audio, video: options.video };
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
  showSelf();
  informHowl();
  void current?.meeting.devicesChanged().catch(() => {}); // A lost socket tells everything anew.
}

/** @param {Kind} kind */
function isOn(kind) {
  return devices.get(kind).on && devices.get(kind).track !== null;
}

function showSelf() {
  const { track } = devices.get('video');
  const shown = track ? devices.stream : null;
  if (self.srcObject !== shown) self.srcObject = shown;
  document.body.classList.toggle('self-live', track !== null);
  document.body.classList.toggle('self-hidden', current !== null && !prefers('show_self'));
}

/**
 * Lays the own camera over the own tile, which the mix brings late; elsewhere it has a corner.
 * @param {import('./geometry.js').Box | null} box px in the stage.
 */
function placeSelf(box) {
  const stageBox = find('.stage', HTMLElement);
  selfView.classList.toggle('in-tile', box !== null);
  for (const side of /** @type {const} */ (['left', 'top', 'width', 'height'])) selfView.style[side] = box ? `${box[side]}px` : '';
  if (!box) return;
  selfView.style.left = `${box.left + stageBox.offsetLeft}px`;
  selfView.style.top = `${box.top + stageBox.offsetTop}px`;
}

function informHowl() {
  current?.howl.update({ mic: devices.get('audio').on, sound: pressed(soundButton) });
}

/** @param {boolean} on */
function setSound(on) {
  soundButton.setAttribute('aria-pressed', String(on));
  stage.sound(on);
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

/** @param {boolean} view Only watch. */
async function join(view) {
  if (current) return; // Pressed twice.
  const name = view ? undefined : entry.name();
  if (name === null) {
    show('prejoin');
    entry.focus();
    return;
  }
  if (view) devices.stop();
  document.body.classList.toggle('viewing', view);
  errors.set('refused', null);
  const url = new URL(`/api/rooms/${encodeURIComponent(room)}/ws`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const token = options.token ?? recall(`host-${room}`);
  const meeting = new Meeting({ url: url.href, name, session: sessionKey(room), options: { ...options, view, token }, devices, hooks });
  current = { meeting, stats: new Stats(() => meeting.stats(), () => [meeting.path, meeting.chatPath]), howl: new HowlWatch(room, warnOfHowl), told: false, locked: false, held: false };
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
    showState(stateLine, state);
    if (state === 'connecting' || state === 'interrupted' || state === 'lost') stage.wait(words(state));
    else stage.wait(null);
    if (state === 'waiting' || document.querySelector('.waiting')) void import('./waiting.js').then(({ wait }) => wait(document.body.dataset.state === 'waiting'));
  },
  joined(me) {
    people.me = me;
    if (current) current.told = false;
    tiles.clear();
  },
  people: tellPeople,
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
  trouble: (text) => errors.set('trouble', text),
};

/**
 * @param {import('./protocol.js').Person[]} list
 * @param {number} viewers
 * @param {boolean} locked
 * @param {boolean} held
 */
function tellPeople(list, viewers, locked, held) {
  if (!current) return;
  const before = people.own;
  const { came, went, raised } = people.show(list, viewers);
  tiles.people(people.labels, list, people.me);
  chat.people();
  floor.update(locked, held);
  showLock(locked);
  const { own } = people;
  if (current.told) {
    for (const { id } of came) tell('came', people.label(id));
    for (const { name } of went) tell('went', name);
    for (const { id } of raised) announcer.say(id === people.me ? t('hand_is_up') : t('raised', { name: people.label(id) }));
    if (before?.hand !== undefined && own && own.hand === undefined) announcer.say(t('hand_is_down'));
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
    await current?.meeting.ask(command);
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
  await current?.meeting.ask({ type: 'chat', text, ...(to === undefined ? {} : { to }) });
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
  entry.focus();
  await openDevices();
}

void start();
