/**
 * QR codes (ISO/IEC 18004): text as bytes, error correction M, versions 1 to 9, which is 180 bytes
 * and so every address of a room. Pure.
 */

/** Error correction bytes in each block, and how many blocks, by version. */
const CHECK_BYTES = [0, 10, 16, 26, 18, 24, 16, 18, 22, 22];
const BLOCKS = [0, 1, 1, 1, 2, 2, 4, 4, 4, 5];
const VERSIONS = 9;

/**
 * @param {string} text
 * @returns {boolean[][] | null} Rows of modules, dark where true; `null` if the text is too long.
 */
export function qr(text) {
  const bytes = [...new TextEncoder().encode(text)];
  for (let version = 1; version <= VERSIONS; version += 1) {
    const room = dataBytes(version);
    if (4 + 8 + bytes.length * 8 <= room * 8) return best(version, interleave(version, pad(bytes, room)));
  }
  return null;
}

/** @param {number} version */
function allBytes(version) {
  let modules = (16 * version + 128) * version + 64;
  if (version >= 2) {
    const n = Math.floor(version / 7) + 2;
    modules -= (25 * n - 10) * n - 55;
  }
  if (version >= 7) modules -= 36;
  return Math.floor(modules / 8);
}

/** @param {number} version */
function dataBytes(version) {
  return allBytes(version) - at(CHECK_BYTES, version) * at(BLOCKS, version);
}

/**
 * Mode "bytes", their number, they themselves, and what fills the rest.
 * @param {number[]} bytes
 * @param {number} room
 */
function pad(bytes, room) {
  const bits = [0, 1, 0, 0, ...bitsOf(bytes.length), ...bytes.flatMap(bitsOf)];
  bits.push(...Array.from({ length: Math.min(4, room * 8 - bits.length) }, () => 0));
  while (bits.length % 8 > 0) bits.push(0);
  const data = Array.from({ length: bits.length / 8 }, (_, i) => bits.slice(i * 8, i * 8 + 8).reduce((byte, bit) => byte * 2 + bit, 0));
  for (let filler = 0xec; data.length < room; filler ^= 0xec ^ 0x11) data.push(filler);
  return data;
}

/** @param {number} byte */
function bitsOf(byte) {
  return [7, 6, 5, 4, 3, 2, 1, 0].map((i) => (byte >> i) & 1);
}

/**
 * Cuts the data into blocks, adds the check bytes of each and deals them out in turn.
 * @param {number} version
 * @param {number[]} data
 */
function interleave(version, data) {
  const [count, check] = [at(BLOCKS, version), at(CHECK_BYTES, version)];
  const all = allBytes(version);
  const short = count - (all % count);
  const length = Math.floor(all / count) - check;
  /** @type {number[][]} */
  const blocks = [];
  for (let i = 0, from = 0; i < count; i += 1) {
    const size = length + (i < short ? 0 : 1);
    blocks.push(data.slice(from, from + size));
    from += size;
  }
  const checks = blocks.map((block) => remainder(block, check));
  /** @type {(lists: number[][], longest: number) => number[]} */
  const deal = (lists, longest) =>
    Array.from({ length: longest }, (_, i) => lists.flatMap((items) => items.slice(i, i + 1))).flat();
  return [...deal(blocks, length + 1), ...deal(checks, check)];
}

/**
 * Reed-Solomon check bytes over GF(256) with the polynomial 0x11d.
 * @param {number[]} data
 * @param {number} degree
 */
function remainder(data, degree) {
  let divisor = [1];
  for (let i = 0, root = 1; i < degree; i += 1, root = times(root, 2)) {
    const shifted = [...divisor, 0];
    divisor = shifted.map((value, k) => value ^ (k > 0 ? times(at(divisor, k - 1), root) : 0));
  }
  let rest = Array.from({ length: degree }, () => 0);
  for (const byte of data) {
    const factor = byte ^ at(rest, 0);
    rest = [...rest.slice(1), 0].map((value, k) => value ^ times(at(divisor, k + 1), factor));
  }
  return rest;
}

/**
 * @param {number} a
 * @param {number} b
 */
function times(a, b) {
  let product = 0;
  for (let i = 7; i >= 0; i -= 1) product = (product << 1) ^ ((product >> 7) * 0x11d) ^ (((b >> i) & 1) * a);
  return product;
}

/**
 * The code under the mask that leaves the fewest patterns which confuse a reader.
 * @param {number} version
 * @param {number[]} bytes
 */
function best(version, bytes) {
  const codes = MASKS.map((_, mask) => draw(version, bytes, mask));
  const scores = codes.map(penalty);
  return at(codes, scores.indexOf(Math.min(...scores)));
}

/** @type {((x: number, y: number) => number)[]} */
const MASKS = [
  (x, y) => (x + y) % 2,
  (_, y) => y % 2,
  (x) => x % 3,
  (x, y) => (x + y) % 3,
  (x, y) => (Math.floor(x / 3) + Math.floor(y / 2)) % 2,
  (x, y) => ((x * y) % 2) + ((x * y) % 3),
  (x, y) => (((x * y) % 2) + ((x * y) % 3)) % 2,
  (x, y) => (((x + y) % 2) + ((x * y) % 3)) % 2,
];

/**
 * @param {number} version
 * @param {number[]} bytes
 * @param {number} mask
 * @returns {boolean[][]}
 */
function draw(version, bytes, mask) {
  const size = version * 4 + 17;
  /** Fixed patterns; holes where data goes. @type {(boolean | undefined)[][]} */
  const code = Array.from({ length: size }, () => Array.from({ length: size }, () => undefined));
  /** @type {(x: number, y: number, dark: boolean) => void} */
  const set = (x, y, dark) => {
    const row = code[y];
    if (row && x >= 0 && x < size) row[x] = dark;
  };
  for (let i = 0; i < size; i += 1) {
    set(6, i, i % 2 === 0);
    set(i, 6, i % 2 === 0);
  }
  const [near, far] = [3, size - 4];
  for (const [x, y] of /** @type {[number, number][]} */ ([[near, near], [far, near], [near, far]])) {
    square(4, (dx, dy, ring) => set(x + dx, y + dy, ring !== 2 && ring !== 4));
  }
  const marks = alignment(version, size);
  for (const x of marks) {
    for (const y of marks) {
      const corner = (x === 6 && y === 6) || (x === 6 && y === size - 7) || (x === size - 7 && y === 6);
      if (!corner) square(2, (dx, dy, ring) => set(x + dx, y + dy, ring !== 1));
    }
  }
  format(size, mask, set);
  if (version >= 7) {
    const bits = (version << 12) | division(version, 12, 0x1f25);
    for (let i = 0; i < 18; i += 1) {
      const [a, b] = [size - 11 + (i % 3), Math.floor(i / 3)];
      set(a, b, ((bits >> i) & 1) === 1);
      set(b, a, ((bits >> i) & 1) === 1);
    }
  }
  fill(code, bytes, at(MASKS, mask));
  return code.map((row) => row.map((dark) => dark === true));
}

/**
 * @param {number} reach
 * @param {(dx: number, dy: number, ring: number) => void} each
 */
function square(reach, each) {
  for (let dy = -reach; dy <= reach; dy += 1) {
    for (let dx = -reach; dx <= reach; dx += 1) each(dx, dy, Math.max(Math.abs(dx), Math.abs(dy)));
  }
}

/**
 * @param {number} version
 * @param {number} size
 */
function alignment(version, size) {
  if (version === 1) return [];
  const count = Math.floor(version / 7) + 2;
  const step = Math.ceil((version * 4 + 4) / (count * 2 - 2)) * 2;
  return [6, ...Array.from({ length: count - 1 }, (_, i) => size - 7 - step * (count - 2 - i))];
}

/**
 * @param {number} value
 * @param {number} degree
 * @param {number} polynomial
 */
function division(value, degree, polynomial) {
  let rest = value;
  for (let i = 0; i < degree; i += 1) rest = (rest << 1) ^ ((rest >> (degree - 1)) * polynomial);
  return rest;
}

/**
 * Error correction and mask, twice.
 * @param {number} size
 * @param {number} mask
 * @param {(x: number, y: number, dark: boolean) => void} set
 */
function format(size, mask, set) {
  const bits = ((mask << 10) | division(mask, 10, 0x537)) ^ 0x5412; // M is 0.
  /** @param {number} i */
  const bit = (i) => ((bits >> i) & 1) === 1;
  for (let i = 0; i < 6; i += 1) set(8, i, bit(i));
  set(8, 7, bit(6));
  set(8, 8, bit(7));
  set(7, 8, bit(8));
  for (let i = 9; i < 15; i += 1) set(14 - i, 8, bit(i));
  for (let i = 0; i < 8; i += 1) set(size - 1 - i, 8, bit(i));
  for (let i = 8; i < 15; i += 1) set(8, size - 15 + i, bit(i));
  set(8, size - 8, true);
}

/**
 * Up and down in columns of two, from the right.
 * @param {(boolean | undefined)[][]} code
 * @param {number[]} bytes
 * @param {(x: number, y: number) => number} mask
 */
function fill(code, bytes, mask) {
  const size = code.length;
  let i = 0;
  for (let right = size - 1; right >= 1; right -= 2) {
    if (right === 6) right = 5;
    for (let step = 0; step < size; step += 1) {
      for (const x of [right, right - 1]) {
        const y = ((right + 1) & 2) === 0 ? size - 1 - step : step;
        const row = code[y];
        if (!row || row[x] !== undefined) continue;
        const bit = ((bytes[i >> 3] ?? 0) >> (7 - (i & 7))) & 1;
        i += 1;
        row[x] = (bit === 1) !== (mask(x, y) === 0);
      }
    }
  }
}

/** @param {boolean[][]} code */
function penalty(code) {
  const columns = code.map((_, x) => code.map((row) => row[x] === true));
  let score = 0;
  for (const line of [...code, ...columns]) {
    for (const run of line.map((dark) => (dark ? '1' : '0')).join('').match(/(.)\1{4,}/g) ?? []) score += run.length - 2;
  }
  let dark = 0;
  for (const [y, row] of code.entries()) {
    for (const [x, here] of row.entries()) {
      dark += here ? 1 : 0;
      const below = code[y + 1];
      if (below && x + 1 < row.length && here === row[x + 1] && here === below[x] && here === below[x + 1]) score += 3;
    }
  }
  return score + Math.abs(Math.round((20 * dark) / code.length ** 2 - 10)) * 10;
}

/**
 * An item that is known to be there.
 * @template T
 * @param {readonly T[]} items
 * @param {number} index
 * @returns {T}
 */
function at(items, index) {
  return /** @type {T} */ (items[index]);
}
