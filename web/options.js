/** What the address of the meeting page asks for. Pure. */

import { qualityOf } from './quality.js';

/**
 * @typedef {object} Options
 * @property {string} name Empty if the address has none.
 * @property {boolean} join Skip the pre-join screen.
 * @property {boolean} audio Start with the microphone on.
 * @property {boolean} video Start with the camera on.
 * @property {boolean} view Only watch and listen.
 * @property {import('./protocol.js').VideoCodec | null} codec Wanted first, in both directions.
 * @property {boolean} processing Echo cancellation, noise suppression and gain control.
 * @property {string | null} token Room token.
 * @property {import('./protocol.js').Quality | null} quality Asked for; `null` where the address says nothing.
 * @property {'mixed' | 'forwarded' | null} downlink How the others are to come, whatever the room's way is.
 * @property {import('./protocol.js').Topology | 'auto' | null} topology What the room is to be, if this page may say so.
 * @property {boolean | null} direct Whether media may go from person to person.
 */

/**
 * @param {string} search Such as `?name=Ann&join=1`.
 * @returns {Options}
 */
export function readOptions(search) {
  const query = new URLSearchParams(search);
  const codec = query.get('codec')?.toLowerCase();
  return {
    name: query.get('name') ?? '',
    join: flag(query.get('join'), false),
    audio: flag(query.get('audio'), true),
    video: flag(query.get('video'), true),
    view: flag(query.get('view'), false),
    codec: codec === 'h264' || codec === 'vp8' ? codec : null,
    processing: flag(query.get('processing'), true),
    token: query.get('token'),
    quality: qualityOf(query.get('quality')),
    downlink: one(query.get('downlink'), /** @type {const} */ (['mixed', 'forwarded'])),
    topology: one(query.get('topology'), /** @type {const} */ (['mesh', 'sfu', 'mcu', 'auto'])),
    direct: query.has('direct') ? flag(query.get('direct'), true) : null,
  };
}

/**
 * The room's name in a path such as `/r/{room}`.
 * @param {string} path
 */
export function roomOf(path) {
  const segment = /^\/r\/([^/]*)\/?$/.exec(path)?.[1] ?? '';
  try {
    return decodeURIComponent(segment);
  } catch {
    return segment; // Not an encoding at all: the name check will say so.
  }
}

/**
 * @template {string} T
 * @param {string | null} text
 * @param {readonly T[]} known
 * @returns {T | null}
 */
function one(text, known) {
  return known.find((word) => word === text?.toLowerCase()) ?? null;
}

/**
 * @param {string | null} text
 * @param {boolean} otherwise Where the address says nothing.
 */
function flag(text, otherwise) {
  if (text === null) return otherwise;
  return !['0', 'false', 'no', 'off'].includes(text.toLowerCase());
}
