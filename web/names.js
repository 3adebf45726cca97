/**
 * The rules for names of rooms and people, as the server has them, and how namesakes are told
 * apart. Pure.
 */

import { t } from './i18n.js';

/** Longest name of a room or a person, in characters. */
export const NAME_MAX = 64;

/**
 * What is wrong with a room name, in words; `null` if nothing is.
 * @param {string} name
 * @returns {string | null}
 */
export function roomNameProblem(name) {
  if (name === '') return t('room_empty');
  const odd = [...name].find((char) => !/[A-Za-z0-9_-]/.test(char));
  if (odd === ' ') return t('room_space');
  if (odd !== undefined) return t('room_odd', { char: odd });
  if (name.length > NAME_MAX) return t('room_long', { max: NAME_MAX, length: name.length });
  return null;
}

/**
 * What is wrong with a person's name, in words; `null` if nothing is.
 * @param {string} name
 * @returns {string | null}
 */
export function displayNameProblem(name) {
  const chars = [...name.trim()];
  if (chars.length === 0) return t('name_empty');
  if (chars.length > NAME_MAX) return t('name_long', { max: NAME_MAX, length: chars.length });
  if (chars.some((char) => /\p{Cc}/u.test(char))) return t('name_control');
  return null;
}

const ADJECTIVES = [
  'amber', 'bold', 'bright', 'calm', 'clever', 'cosy', 'crisp', 'dotted', 'early', 'fine',
  'gentle', 'golden', 'happy', 'indigo', 'kind', 'lucky', 'mellow', 'merry', 'neat', 'olive',
  'plaid', 'plucky', 'quiet', 'rosy', 'round', 'silver', 'soft', 'spry', 'sunny', 'warm',
];
const NOUNS = [
  'badger', 'basket', 'bobbin', 'button', 'canvas', 'cedar', 'clover', 'cotton', 'felt', 'finch',
  'garden', 'harbour', 'heron', 'kettle', 'lantern', 'linen', 'maple', 'meadow', 'needle', 'otter',
  'patch', 'pebble', 'river', 'robin', 'spindle', 'stitch', 'thimble', 'thread', 'willow', 'wool',
];

/**
 * A room name that can be read out on the telephone, such as `calm-otter-42`.
 * @param {() => number} random Like `Math.random`.
 */
export function randomRoomName(random = Math.random) {
  /** @param {string[]} words */
  const pick = (words) => words[Math.floor(random() * words.length)];
  return `${pick(ADJECTIVES)}-${pick(NOUNS)}-${10 + Math.floor(random() * 90)}`;
}

/** Rooms whose name begins so are in no list; the server holds to the same rule. */
const PRIVATE = '_';
/** Letters and digits that nobody takes for each other. */
const TAIL = 'abcdefghjkmnpqrstuvwxyz23456789';
const TAIL_LENGTH = 10;

/**
 * The name of a private room: none is ever listed, and the end cannot be guessed.
 * @param {string} name
 * @param {() => number} random Like `Math.random`.
 */
export function privateRoomName(name, random = Math.random) {
  const tail = Array.from({ length: TAIL_LENGTH }, () => TAIL[Math.floor(random() * TAIL.length)]).join('');
  return `${PRIVATE}${name.replace(/^_+/, '').slice(0, NAME_MAX - TAIL_LENGTH - 2)}-${tail}`;
}

/**
 * A label for everybody, no two alike: the second Ann is "Ann (2)". Whoever has a label keeps it
 * while they stay, so that nobody turns into somebody else when a namesake leaves.
 * @param {{ id: string, name: string }[]} people In the order they came.
 * @param {ReadonlyMap<string, string>} [before] The labels so far.
 * @returns {Map<string, string>} From id to label.
 */
export function tellApart(people, before = new Map()) {
  /** @type {Map<string, string>} */
  const labels = new Map();
  const taken = new Set();
  for (const { id, name } of people) {
    const label = before.get(id);
    if (label !== undefined && (label === name || label.startsWith(`${name} (`))) {
      labels.set(id, label);
      taken.add(alike(label));
    }
  }
  for (const { id, name } of people) {
    if (labels.has(id)) continue;
    let label = name;
    for (let n = 2; taken.has(alike(label)); n += 1) label = `${name} (${n})`;
    labels.set(id, label);
    taken.add(alike(label));
  }
  return new Map(people.map(({ id }) => [id, labels.get(id) ?? '']));
}

/**
 * Equal for names that look the same to a reader.
 * @param {string} name
 */
function alike(name) {
  return name.normalize('NFKC').toLowerCase();
}
