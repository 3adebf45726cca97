/** Addresses in a text, found so that a click on one cannot do harm. Pure. */

/**
 * Only the web's own addresses, and in them no blanks, quotes, brackets or characters that are
 * invisible or turn the direction of reading.
 */
const ADDRESS = /\bhttps?:\/\/[^\s<>"'\x60{}|\\^\p{Cc}\p{Cf}]+/giu;
/** What more likely ends the sentence than the address. */
const TAIL = /[.,;:!?…)\]]+$/;

/**
 * @typedef {{ text: string, href: string | null }} Piece
 */

/**
 * Cuts a text into addresses and what stands between them.
 * @param {string} text
 * @returns {Piece[]}
 */
export function pieces(text) {
  /** @type {Piece[]} */
  const result = [];
  let from = 0;
  for (const { 0: found, index } of text.matchAll(ADDRESS)) {
    const address = balanced(found);
    const href = safe(address);
    if (href === null) continue;
    if (index > from) result.push({ text: text.slice(from, index), href: null });
    result.push({ text: address, href });
    from = index + address.length;
  }
  if (from < text.length) result.push({ text: text.slice(from), href: null });
  return result;
}

/** @param {string} found */
function balanced(found) {
  const bare = found.replace(TAIL, '');
  const open = bare.split('(').length - bare.split(')').length;
  return open > 0 ? found.slice(0, bare.length + open).replace(/[.,;:!?…]+$/, '') : bare;
}

/** @param {string} address */
function safe(address) {
  try {
    const { protocol, username, href } = new URL(address);
    // `https://bank.example@evil.example` leads to the latter.
    return /^https?:$/.test(protocol) && username === '' ? href : null;
  } catch {
    return null;
  }
}

/**
 * The size of a file in a reader's units. Pure.
 * @param {number} size
 */
export function bytes(size) {
  if (size < 1000) return `${size} B`;
  return size < 1e6 ? `${Math.round(size / 1000)} kB` : `${(size / 1e6).toFixed(1)} MB`;
}
