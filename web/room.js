/** The meeting page: joins the controls to the meeting. */

import { find } from './dom.js';
import { Entry } from './entry.js';
import { HowlWatch } from './howl.js';
import { Devices, explain } from './media.js';
import { Meeting } from './meeting.js';
import { roomNameProblem } from './names.js';
import { Notices } from './notices.js';
import { readOptions, roomOf } from './options.js';
import { People } from './people.js';
import { Stage } from './stage.js';
import { showState, words } from './state.js';
import { Stats } from './stats.js';
import { Tiles } from './tiles.js';

/** @typedef {import('./media.js').Kind} Kind */

/** How long the question for camera and microphone holds up joining, ms; they may come later. */
const ASKING_MS = 4_000;
/** The picture keeps its full size beside the list of people in windows at least so wide. */
const WIDE = matchMedia('(min-width: 1100px)');

const room = roomOf(location.pathname);
const options = readOptions(location.search);
const devices = new Devices(options.processing);
const entry = new Entry(room, options, (view) => void join(view));
const stage = new Stage();
const tiles = new Tiles();
const people = new People();
const errors = new Notices(find('#errors', HTMLElement));
const notices = new Notices(find('#notices', HTMLElement));
const stateLine = find('#state', HTMLElement);
const self = find('#self', HTMLVideoElement);
const soundButton = find('#sound', HTMLButtonElement);

/** What rejoining turns on again. @type {Record<Kind, boolean>} */
let wanted = { audio: options.audio, video: options.video };
/** @type {{ meeting: Meeting, stats: Stats, howl: HowlWatch } | null} */
let current = null;

/** @param {'prejoin' | 'meeting' | 'goodbye' | 'nowhere'} view */
function show(view) {
  document.body.dataset.view = view;
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
  const comfort = problems.length > 0 && !current ? ' You can still join.' : '';
  errors.set('devices', problems.length > 0 ? problems.join(' ') + comfort : null);
  const { track } = devices.get('video');
  const shown = track ? devices.stream : null;
  if (self.srcObject !== shown) self.srcObject = shown;
  document.body.classList.toggle('self-live', track !== null);
  informHowl();
  void current?.meeting.devicesChanged().catch(() => {}); // A lost socket tells everything anew.
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
  const text = howls
    ? 'This room is open in another window of this computer. A microphone here hears the loudspeaker there: it will echo or howl unless you use headphones.'
    : null;
  const silence = { label: 'Turn the sound off here', testid: 'howl-mute', act: () => setSound(false) };
  notices.set('howl', text, [silence]);
}

// --- coming and going --------------------------------------------------------------------------

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

  /** @type {import('./meeting.js').Hooks} */
  const hooks = {
    state(state) {
      showState(stateLine, state);
      if (state === 'connecting' || state === 'interrupted' || state === 'lost') stage.wait(words(state));
      else if (state === 'connected') stage.wait(null);
    },
    joined(me) {
      people.me = me;
      tiles.clear();
    },
    people(list, viewers) {
      people.show(list, viewers);
      tiles.people(people.labels, new Set(list.filter(({ audio }) => !audio).map(({ id }) => id)));
    },
    tiles: (map) => tiles.take(map),
    speaking(ids) {
      const set = new Set(ids);
      tiles.speaking(set);
      people.speaking(set);
      document.body.classList.toggle('self-speaks', set.has(people.me));
    },
    mix: (mix) => stage.play(mix),
    trouble: (text) => errors.set('trouble', text),
  };
  const url = new URL(`/api/rooms/${encodeURIComponent(room)}/ws`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const meeting = new Meeting({
    url: url.href,
    name,
    options: { ...options, view },
    devices,
    hooks,
  });
  current = { meeting, stats: new Stats(() => meeting.stats()), howl: new HowlWatch(room, warnOfHowl) };
  show('meeting');
  setPanel('people', WIDE.matches);
  showDevices();
  try {
    await meeting.run();
    close('goodbye');
  } catch (refusal) {
    close('prejoin');
    showState(stateLine, 'ready');
    errors.set('refused', refusal instanceof Error ? refusal.message : String(refusal));
  }
}

/** @param {'prejoin' | 'goodbye'} view Where to go from the meeting. */
function close(view) {
  current?.stats.close();
  current?.howl.close();
  current = null;
  stage.stop();
  tiles.clear();
  people.show([], 0);
  errors.clear();
  notices.clear();
  setPanel('stats', false);
  show(view);
  if (view === 'prejoin') {
    showDevices();
    void entry.tellWhoIsIn();
  } else {
    wanted = { audio: devices.get('audio').on, video: devices.get('video').on };
    devices.stop();
    showState(stateLine, 'left');
    find('#rejoin', HTMLButtonElement).focus();
  }
}

// --- panels ------------------------------------------------------------------------------------

/**
 * @param {'people' | 'stats'} name
 * @param {boolean} open
 */
function setPanel(name, open) {
  find(`#${name}-panel`, HTMLElement).hidden = !open;
  find(`#${name}-toggle`, HTMLButtonElement).setAttribute('aria-pressed', String(open));
  document.body.classList.toggle(`${name}-open`, open);
}

function wire() {
  /** @type {(selector: string, act: (button: HTMLButtonElement) => void) => void} */
  const click = (selector, act) => {
    const button = find(selector, HTMLButtonElement);
    button.addEventListener('click', () => act(button));
  };
  click('#mic', () => void devices.set('audio', !devices.get('audio').on));
  click('#camera', () => void devices.set('video', !devices.get('video').on));
  click('#sound', (button) => setSound(!pressed(button)));
  click('#people-toggle', (button) => setPanel('people', !pressed(button)));
  click('#stats-toggle', (button) => setPanel('stats', !pressed(button)));
  click('#leave', () => (current ? void current.meeting.leave() : location.assign('/')));
  click('#rejoin', () => void rejoin());
  click('#copy', (button) => void copyLink(button));
  devices.addEventListener('change', showDevices);
  document.addEventListener('keydown', ({ key }) => {
    if (key !== 'Escape' || !current) return;
    setPanel('stats', false);
    if (!WIDE.matches) setPanel('people', false); // There it covers the picture.
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

/** @param {HTMLButtonElement} button */
async function copyLink(button) {
  const label = find('#copy .label', HTMLElement);
  const before = label.textContent;
  try {
    await navigator.clipboard.writeText(new URL(location.pathname, location.href).href);
    label.textContent = 'Copied';
  } catch {
    label.textContent = 'Copy the address bar';
  }
  button.disabled = true;
  setTimeout(() => {
    label.textContent = before;
    button.disabled = false;
  }, 2_000);
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

async function start() {
  document.title = `${room} · Quilt`;
  find('#room', HTMLElement).textContent = room;
  const wrong = roomNameProblem(room);
  if (wrong !== null) {
    find('#nowhere-text', HTMLElement).textContent = wrong;
    show('nowhere');
    return;
  }
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
  void entry.tellWhoIsIn();
  entry.focus();
  await openDevices();
}

void start();
