/** Whether the server is still reached, and if not, by another socket. */

import { t } from './i18n.js';
import { Lost, Refused, Signalling } from './signalling.js';

/**
 * How long the server may take to answer a `ping`, ms, after another socket is open. That takes two
 * round trips: whoever has not answered by then is not on the other end any more.
 */
const PING_MS = 100;
/**
 * How long another socket may take to open, ms. TCP repeats itself only after a second, so a new
 * attempt is the quicker one when a network comes back.
 */
const OPEN_MS = 1_000;

/**
 * Asks by the socket there is. A browser is not told that its address is gone: TCP goes on trying
 * for minutes. So another socket is opened meanwhile, and takes the place in the room over if the
 * old one does not answer.
 * @param {Signalling | null} old
 * @param {string} url
 * @param {string} session What the place was joined with.
 * @param {(notice: import('./protocol.js').Notice) => void} onnotice Of the new socket.
 * @param {AbortSignal} signal Gives up.
 * @returns {Promise<Signalling | null>} The one by which the server is reached, if it is.
 * @throws {Lost} The place is lost.
 */
export async function reach(old, url, session, onnotice, signal) {
  let answers = false;
  const answer = old?.request({ type: 'ping' }).then(() => (answers = true), () => {});
  /** @type {Signalling} */
  let fresh;
  try {
    fresh = await Signalling.open(url, signal, OPEN_MS);
  } catch {
    return answers ? old : null;
  }
  await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, PING_MS))]);
  if (answers || signal.aborted) {
    fresh.close();
    return old;
  }
  fresh.onnotice = onnotice;
  try {
    await fresh.request({ type: 'resume', session });
  } catch (error) {
    fresh.close();
    if (error instanceof Refused) throw new Lost(t('no_server'));
    return null;
  }
  return fresh;
}
