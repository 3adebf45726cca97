/** The way to the server: a WebSocket, or where a proxy refuses it, requests and an event stream. */

/**
 * @typedef {object} Line
 * @property {'websocket' | 'http'} path
 * @property {boolean} open
 * @property {(text: string) => void} onmessage
 * @property {() => void} onclose Called once, if the other side or the network ends it.
 * @property {(text: string) => void} send
 * @property {() => void} close
 */

/** How long the socket may take before the other way is tried beside it, ms: some proxies neither pass it on nor refuse it. */
const TRY_OTHER_MS = 2_500;
/** A socket that worked before and fails so often in a row is refused on this network. */
const REFUSALS = 3;

/** What this page has learnt about its network: `null` nothing yet. @type {Line['path'] | null} */
let works = null;
let refusals = 0;

/** @implements {Line} */
class Socket {
  path = /** @type {const} */ ('websocket');
  /** @type {(text: string) => void} */
  onmessage = () => {};
  onclose = () => {};
  #socket;

  /** @param {WebSocket} socket Open. */
  constructor(socket) {
    this.#socket = socket;
    socket.onmessage = ({ data }) => this.onmessage(String(data));
    socket.onerror = null;
    socket.onclose = () => this.onclose();
  }

  get open() {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  /** @param {string} text */
  send(text) {
    this.#socket.send(text);
  }

  close() {
    this.#socket.onclose = null;
    this.#socket.close();
  }
}

/**
 * @param {string} url
 * @param {AbortSignal} signal
 * @returns {Promise<Line>}
 */
function openSocket(url, signal) {
  return new Promise((resolve, reject) => {
    const socket = new WebSocket(url);
    const fail = () => {
      signal.removeEventListener('abort', fail);
      socket.close();
      reject(new Error('no socket'));
    };
    if (signal.aborted) fail();
    socket.onerror = fail;
    signal.addEventListener('abort', fail, { once: true });
    socket.onopen = () => {
      signal.removeEventListener('abort', fail);
      resolve(new Socket(socket));
    };
  });
}

/**
 * Opens a line: the socket, and the other way if that is refused, takes long, or has worked before
 * where the socket had not. Whichever is open first is the one.
 * @param {string} url Of the socket; the room's address is beside it.
 * @param {AbortSignal} signal Gives up.
 * @param {number} patience How long it may take, ms.
 * @returns {Promise<Line>}
 */
export async function openLine(url, signal, patience) {
  const done = new AbortController();
  const stop = () => done.abort();
  signal.addEventListener('abort', stop, { once: true });
  const timer = setTimeout(stop, patience);
  /** @type {Promise<Line>[]} */
  const tried = [];
  const other = async () => {
    const room = url.replace(/^ws/, 'http').replace(/\/ws$/, '');
    const { Events } = await import('./events.js'); // Few need it.
    return Events.open(room, done.signal);
  };
  try {
    if (works !== 'http') tried.push(openSocket(url, done.signal));
    if (await enough(tried[0])) tried.push(other());
    const line = await Promise.any(tried);
    // A socket that worked once is worth being tried again.
    if (works === null || line.path === 'websocket') works = line.path;
    if (line.path === 'websocket') refusals = 0;
    for (const attempt of tried) attempt.then((opened) => opened !== line && opened.close(), () => {});
    return line;
  } finally {
    signal.removeEventListener('abort', stop);
    clearTimeout(timer);
    stop();
  }
}

/**
 * Waits until the other way should be tried, or need not be.
 * @param {Promise<Line> | undefined} socket
 * @returns {Promise<boolean>}
 */
async function enough(socket) {
  if (!socket) return true;
  // A server that is being started anew refuses everything; what worked works again then.
  const trusted = works === 'websocket' && refusals < REFUSALS;
  const patience = works === 'websocket' && !trusted ? 0 : TRY_OTHER_MS;
  const slow = new Promise((resolve) => setTimeout(resolve, patience, true));
  const refused = () => {
    refusals += 1;
    return !trusted;
  };
  return Promise.race([socket.then(() => false, refused), slow]);
}
