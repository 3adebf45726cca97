/** The public list of rooms, and what to say about one. */

/**
 * @typedef {object} Room
 * @property {string} name
 * @property {number} participants
 * @property {number} viewers
 * @property {string[]} [names] Who is in, where the server tells.
 */

/**
 * @returns {Promise<Room[]>}
 * @throws {Error} The list cannot be had now.
 */
export async function fetchRooms() {
  const response = await fetch('/api/rooms', { cache: 'no-store', headers: { accept: 'application/json' } });
  if (!response.ok) throw new Error(`the server answered ${response.status}`);
  /** @type {{ rooms: Room[] }} */
  const { rooms } = await response.json();
  return rooms;
}

/**
 * Such as "3 people: Ann, Bob and Eve; 2 watching". Pure.
 * @param {Room} room
 */
export function whoIsIn({ participants, viewers, names = [] }) {
  const people = participants === 1 ? '1 person' : `${participants === 0 ? 'no' : participants} people`;
  const known = names.length > 0 ? `${people}: ${list(names, participants)}` : people;
  return viewers > 0 ? `${known}; ${viewers} watching` : known;
}

/** More names than this make a line that nobody reads. */
const NAMES_SHOWN = 4;

/**
 * @param {string[]} names
 * @param {number} total
 */
function list(names, total) {
  const shown = names.slice(0, names.length > NAMES_SHOWN ? NAMES_SHOWN - 1 : NAMES_SHOWN);
  const more = Math.max(total, names.length) - shown.length;
  const parts = more > 0 ? [...shown, `${more} more`] : shown;
  const last = parts.at(-1) ?? '';
  return parts.length > 1 ? `${parts.slice(0, -1).join(', ')} and ${last}` : last;
}
