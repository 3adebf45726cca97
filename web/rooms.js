/** The public list of rooms, what to say about one, and becoming the host of a new one. */

import { list, t } from './i18n.js';

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {number} participants
 * @property {number} viewers
 * @property {string[]} [names] Who is in, where the server tells.
 * @property {boolean} [recording] It is being recorded.
 */

/**
 * @returns {Promise<Room[]>}
 * @throws {Error} The list cannot be had now.
 */
export async function fetchRooms() {
  /** @type {{ rooms: Room[] }} */
  const { rooms } = await ask('/api/rooms');
  return rooms;
}

/**
 * One room, listed or not; `null` if nobody is in it.
 * @param {string} name
 * @returns {Promise<Room | null>}
 */
export async function fetchRoom(name) {
  const response = await fetch(`/api/rooms/${encodeURIComponent(name)}`, ASK);
  if (response.status === 404) return null;
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/** @type {RequestInit} */
const ASK = { cache: 'no-store', headers: { accept: 'application/json' } };

/** @param {string} path */
async function ask(path) {
  const response = await fetch(path, ASK);
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  return response.json();
}

/**
 * Opens a room as its host.
 * @param {string} name
 * @returns {Promise<string | null>} The token that proves it; `null` if the room is taken or the
 *   server gives none to strangers.
 */
export async function becomeHost(name) {
  try {
    const response = await fetch(`/api/rooms/${encodeURIComponent(name)}/host`, { method: 'POST' });
    if (response.status !== 201) return null;
    /** @type {{ token: string }} */
    const { token } = await response.json();
    return token;
  } catch {
    return null; // The room can be entered all the same.
  }
}

/**
 * Such as "3 people: Ann, Bob and Eve; 2 watching". Pure.
 * @param {Room} room
 */
export function whoIsIn({ participants, viewers, names = [] }) {
  const count = participants === 0 ? t('people_none') : t('people_n', { n: participants });
  const people = names.length > 0 ? t('people_named', { people: count, names: some(names, participants) }) : count;
  return viewers > 0 ? t('people_and_watching', { people, watching: t('watching', { n: viewers }) }) : people;
}

/** More names than this make a line that nobody reads. */
const NAMES_SHOWN = 4;

/**
 * @param {string[]} names
 * @param {number} total
 */
function some(names, total) {
  const shown = names.slice(0, names.length > NAMES_SHOWN ? NAMES_SHOWN - 1 : NAMES_SHOWN);
  const more = Math.max(total, names.length) - shown.length;
  return list(more > 0 ? [...shown, t('more_n', { n: more })] : shown);
}
