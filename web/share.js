/** What is missing for others to join this very server: checked where a page can, said where not. */

import { Connection } from './connection.js';
import { find, make } from './dom.js';
import { learn, t, translate } from './i18n.js';
import { privateRoomName } from './names.js';
import { Signalling } from './signalling.js';

await learn();

/**
 * @typedef {object} Reach What the server knows of itself.
 * @property {boolean} tls
 * @property {boolean} local
 * @property {boolean} rtc_local
 * @property {number} rtc_port
 * @property {boolean} public_ip
 * @property {boolean} turn
 *
 * @typedef {'fine' | 'missing' | 'perhaps'} Verdict
 * @typedef {{ key: 'https' | 'listen' | 'media' | 'public' | 'turn', verdict: Verdict, setting: string }} Check
 */

/** How long media may take to get through, ms. */
const PATIENCE_MS = 10_000;

/**
 * What can be said without trying. Pure.
 * @param {Reach} reach
 * @param {{ protocol: string, hostname: string }} here Where the page was loaded from.
 * @returns {Check[]}
 */
export function judge(reach, { protocol, hostname }) {
  const secure = protocol === 'https:';
  // A proxy on this machine that speaks HTTPS passes pages on; ours may then be local.
  const proxied = secure && !reach.tls;
  const near = /^(localhost|127\.|\[::1\]|10\.|192\.168\.|172\.(1[6-9]|2\d|3[01])\.)/.test(hostname);
  return [
    { key: 'https', verdict: secure ? 'fine' : 'missing', setting: '--tls self-signed' },
    { key: 'listen', verdict: reach.local && !proxied ? 'missing' : 'fine', setting: '--listen 0.0.0.0:8080' },
    { key: 'media', verdict: reach.rtc_local ? 'missing' : 'fine', setting: `--rtc-listen 0.0.0.0:${reach.rtc_port}` },
    { key: 'public', verdict: reach.public_ip ? 'fine' : near ? 'perhaps' : 'missing', setting: '--public-ip 203.0.113.7' },
    { key: 'turn', verdict: reach.turn ? 'fine' : 'perhaps', setting: '--ice-server turn:turn.example.org:3478,user,password' },
  ];
}

/**
 * Whether media gets through between this browser and the server, by a room for nobody else.
 * @returns {Promise<boolean>}
 */
async function mediaPasses() {
  const url = new URL(`/api/rooms/${privateRoomName('check')}/ws`, location.href);
  url.protocol = url.protocol.replace('http', 'ws');
  const signalling = await Signalling.open(url.href, AbortSignal.timeout(PATIENCE_MS));
  try {
    /** @type {import('./protocol.js').Joined} */
    const { iceServers } = await signalling.request({ type: 'join', view: true, audio: false, video: false, portrait: false, overlay: false, direct: false });
    return await new Promise((resolve) => {
      const connection = new Connection({
        iceServers, codec: 'h264', view: true, stream: new MediaStream(),
        send: (command) => signalling.request(command),
        onhealth(health) {
          if (health !== 'connected' && health !== 'failed') return;
          resolve(health === 'connected');
          connection.close();
        },
      });
      setTimeout(() => resolve(false), PATIENCE_MS);
      connection.negotiate().catch(() => resolve(false));
    });
  } finally {
    signalling.close();
  }
}

/**
 * @param {Verdict | 'trying'} verdict
 * @param {string} text
 * @param {string} [setting]
 */
function line(verdict, text, setting) {
  const mark = { fine: '✓', missing: '✗', perhaps: '?', trying: '…' }[verdict];
  const item = make('li', { class: `check-line ${verdict}`, 'data-testid': 'check', 'data-verdict': verdict },
    make('span', { class: 'mark', 'aria-hidden': 'true' }, mark),
    make('div', {}, make('p', {}, make('span', { class: 'unseen' }, `${t(`share_${verdict}`)}: `), text)));
  if (setting && verdict !== 'fine') item.lastElementChild?.append(make('code', { dir: 'ltr' }, setting));
  return item;
}

async function start() {
  translate();
  document.title = `${t('share_title')} · Quilt`;
  const list = find('#checks', HTMLElement);
  /** @type {Reach} */
  const reach = await fetch('/api/reach', { cache: 'no-store' }).then((answer) => answer.json());
  for (const { key, verdict, setting } of judge(reach, location)) {
    list.append(line(verdict, t(`share_${key}_${verdict === 'fine' ? 'fine' : 'not'}`), setting));
  }
  const trying = line('trying', t('share_try'));
  list.append(trying);
  const passes = await mediaPasses().catch(() => false);
  trying.replaceWith(line(passes ? 'fine' : 'missing', t(passes ? 'share_try_fine' : 'share_try_not', { port: String(reach.rtc_port) })));
}

if (globalThis.document) void start();
