/** The lobby: rooms in use, and a door to a new one. */

import { find, make, reconcile } from './dom.js';
import { randomRoomName, roomNameProblem } from './names.js';
import { fetchRooms, whoIsIn } from './rooms.js';

/** @typedef {import('./rooms.js').Room} Room */

/** How old the list may get while somebody looks at it, ms. */
const REFRESH_MS = 2_500;

const form = find('#enter', HTMLFormElement);
const input = find('#room-name', HTMLInputElement);
const problem = find('#room-problem', HTMLElement);
const list = find('#rooms', HTMLElement);
const hint = find('#rooms-hint', HTMLElement);

input.value = randomRoomName();
find('#another', HTMLButtonElement).addEventListener('click', () => {
  input.value = randomRoomName();
  complain(null);
});
input.addEventListener('input', () => complain(null));
form.addEventListener('submit', (event) => {
  event.preventDefault();
  const name = input.value.trim();
  const wrong = roomNameProblem(name);
  complain(wrong);
  if (wrong === null) location.assign(`/r/${name}`);
  else input.focus();
});

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
    hint.textContent = 'The server does not answer; trying again…';
    hint.hidden = false;
  }
}

/** @param {Room[]} rooms */
function show(rooms) {
  hint.textContent = 'Nobody is meeting right now. Open a room and send its address to the others.';
  hint.hidden = rooms.length > 0;
  reconcile(list, rooms, ({ name }) => name, create, (line, room) => {
    const text = line.querySelector('.who');
    if (text && text.textContent !== whoIsIn(room)) text.textContent = whoIsIn(room);
  });
}

/**
 * @param {Room} room
 * @returns {HTMLElement}
 */
function create({ name }) {
  const href = `/r/${encodeURIComponent(name)}`;
  return make(
    'li',
    { class: 'room', 'data-testid': 'room', 'data-name': name },
    make('div', { class: 'room-text' }, make('h3', {}, name), make('p', { class: 'who' })),
    make('a', { class: 'button quiet', href: `${href}?view=1`, 'aria-label': `Only watch ${name}` }, 'Watch'),
    make('a', { class: 'button', href, 'aria-label': `Join ${name}` }, 'Join'),
  );
}

void refresh();
setInterval(() => {
  if (document.visibilityState === 'visible') void refresh();
}, REFRESH_MS);
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState === 'visible') void refresh();
});
