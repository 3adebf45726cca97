/** What this browser remembers from meeting to meeting; private windows may forbid it. */

/**
 * @param {string} key
 * @param {Storage} [storage]
 * @returns {string | null}
 */
export function recall(key, storage = globalThis.localStorage) {
  try {
    return storage.getItem(`quilt-${key}`);
  } catch {
    return null;
  }
}

/**
 * @param {string} key
 * @param {string | null} value `null` forgets.
 * @param {Storage} [storage]
 */
export function remember(key, value, storage = globalThis.localStorage) {
  try {
    if (value === null) storage.removeItem(`quilt-${key}`);
    else storage.setItem(`quilt-${key}`, value);
  } catch {
    // It is asked for again next time.
  }
}

/** Most rooms in the list of recent ones. */
const RECENT = 6;

/** @returns {string[]} Rooms lately joined, the last one first. */
export function recentRooms() {
  try {
    const rooms = JSON.parse(recall('recent') ?? '[]');
    return Array.isArray(rooms) ? rooms.filter((room) => typeof room === 'string').slice(0, RECENT) : [];
  } catch {
    return [];
  }
}

/** @param {string} room */
export function joinedRoom(room) {
  remember('recent', JSON.stringify([room, ...recentRooms().filter((other) => other !== room)].slice(0, RECENT)));
}

/** Bits of chance in a session's key: nobody can guess it. */
const KEY_BYTES = 16;

/**
 * Who this window is to the room, across reloads and lost connections.
 * @param {string} room
 */
export function sessionKey(room) {
  const known = recall(`session-${room}`, globalThis.sessionStorage);
  if (known) return known;
  const key = [...crypto.getRandomValues(new Uint8Array(KEY_BYTES))].map((byte) => byte.toString(16).padStart(2, '0')).join('');
  remember(`session-${room}`, key, globalThis.sessionStorage);
  return key;
}
