/** The lobby: rooms in use, a door to a new one, and the way back to old ones. */

import { find, icon, make, reconcile } from './dom.js';
import { t, translate } from './i18n.js';
import { invite } from './invite.js';
import { privateRoomName, randomRoomName, roomNameProblem } from './names.js';
import { becomeHost, fetchRooms, whoIsIn } from './rooms.js';
import { recentRooms, remember } from './store.js';

/** @typedef {import('./rooms.js').Room} Room */

/** How old the list may get while somebody looks at it, ms. */
const REFRESH_MS = 2_500;

translate();
const form = find('#enter', HTMLFormElement);
const input = find('#room-name', HTMLInputElement);
const secret = find('#private', HTMLInputElement);
const problem = find('#room-problem', HTMLElement);
const list = find('#rooms', HTMLElement);
const hint = find('#rooms-hint', HTMLElement);

function suggest() {
  const name = randomRoomName();
  input.value = secret.checked ? privateRoomName(name) : name;
  complain(null);
}

/** @returns {string | null} The name in the field, if it can be one; otherwise the page says why. */
function roomName() {
  const name = input.value.trim();
  const wrong = roomNameProblem(name);
  complain(wrong);
  if (wrong !== null) input.focus();
  return wrong === null ? name : null;
}

suggest();
find('#another', HTMLButtonElement).addEventListener('click', suggest);
secret.addEventListener('change', () => {
  if (!secret.checked) suggest();
  else if (!input.value.startsWith('_')) input.value = privateRoomName(input.value.trim());
  complain(null);
});
input.addEventListener('input', () => {
  secret.checked = input.value.startsWith('_');
  complain(null);
});
form.addEventListener('submit', (event) => {
  event.preventDefault();
  const name = roomName();
  if (name !== null) void open(name);
});
find('#share-new', HTMLButtonElement).addEventListener('click', () => {
  const name = roomName();
  if (name !== null) invite(name);
});

/** @param {string} name */
async function open(name) {
  const token = await becomeHost(name);
  if (token !== null) remember(`host-${name}`, token);
  location.assign(`/r/${name}`);
}

/** @param {string | null} text */
function complain(text) {
  problem.textContent = text ?? '';
  problem.hidden = text === null;
  input.setAttribute('aria-invalid', String(text !== null));
}

async function refresh() {
  try {
    show(await fetchRooms());
  } catch {
    list.replaceChildren();
    hint.textContent = t('lobby_silent');
    hint.hidden = false;
  }
}

/** @param {Room[]} rooms */
function show(rooms) {
  hint.textContent = t('lobby_empty');
  hint.hidden = rooms.length > 0;
  reconcile(list, rooms, ({ name }) => name, ({ name }) => create(name), (line, room) => {
    const text = line.querySelector('.who');
    if (text && text.textContent !== whoIsIn(room)) text.textContent = whoIsIn(room);
  });
}

/**
 * @param {string} name
 * @returns {HTMLElement}
 */
function create(name) {
  const href = `/r/${encodeURIComponent(name)}`;
  return make(
    'li',
    { class: 'room', 'data-testid': 'room', 'data-name': name },
    make('div', { class: 'room-text' }, make('h3', {}, make('bdi', {}, name)), make('p', { class: 'who' })),
    share(name),
    make('a', { class: 'button quiet', href: `${href}?view=1`, 'aria-label': t('lobby_watch_label', { room: name }) }, t('lobby_watch')),
    make('a', { class: 'button', href, 'aria-label': t('lobby_join_label', { room: name }) }, t('lobby_join')),
  );
}

/** @param {string} name */
function share(name) {
  const label = t('lobby_share_label', { room: name });
  const button = make('button', { class: 'plain', type: 'button', 'data-testid': 'share', 'aria-label': label, title: label });
  button.append(icon('link'));
  button.addEventListener('click', () => invite(name));
  return button;
}

function showRecent() {
  const rooms = recentRooms();
  find('#recent', HTMLElement).hidden = rooms.length === 0;
  const links = rooms.map((name) =>
    make('li', {}, make('a', { href: `/r/${encodeURIComponent(name)}`, 'data-testid': 'recent-room' }, make('bdi', {}, name))));
  find('#recent-rooms', HTMLElement).replaceChildren(...links);
}

find('#forget', HTMLButtonElement).addEventListener('click', () => {
  remember('recent', null);
  showRecent();
  input.focus();
});
showRecent();
void refresh();
setInterval(() => {
  if (document.visibilityState === 'visible') void refresh();
}, REFRESH_MS);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void refresh();
});
