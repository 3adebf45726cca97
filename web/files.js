/** Sending a file: it is announced, brought, and offered to those present for some minutes. */

import { make } from './dom.js';
import { t } from './i18n.js';
import { bytes } from './links.js';

/** @typedef {(name: string, size: number, to: string | undefined) => Promise<string>} Announce Resolves with where to bring it. */

/** The largest, bytes; `src/server/parcels.rs` says the same. */
const LARGEST = 10_000_000;

/**
 * @param {File} file
 * @param {string | undefined} to Whose id; everybody without.
 * @param {string} whom The same in words.
 * @param {Announce} announce
 * @returns {{ line: HTMLElement, done: Promise<void> }} What shows how far it is, and can stop it; when it is over.
 */
export function send(file, to, whom, announce) {
  const stop = make('button', { type: 'button', class: 'plain', 'data-testid': 'file-stop' }, t('file_stop'));
  const text = t('file_sending', { name: file.name, whom });
  const progress = make('progress', { max: '1', value: '0', 'aria-label': text });
  const line = make('div', { class: 'chat-line sending', 'data-testid': 'sending' }, make('p', { dir: 'auto' }, text), progress, stop);
  return { line, done: bring(file, to, announce, progress, stop) };
}

/**
 * @param {File} file
 * @param {string | undefined} to
 * @param {Announce} announce
 * @param {HTMLProgressElement} progress
 * @param {HTMLButtonElement} stop
 */
async function bring(file, to, announce, progress, stop) {
  if (file.size > LARGEST) throw new Error(t('file_large', { size: bytes(file.size), most: bytes(LARGEST) }));
  let stopped = false;
  stop.addEventListener('click', () => (stopped = true));
  const url = await announce(file.name, file.size, to);
  if (stopped) return;
  // Only this tells how far it is.
  const request = new XMLHttpRequest();
  request.open('PUT', url);
  request.upload.onprogress = ({ loaded, total }) => (progress.value = total > 0 ? loaded / total : 1);
  stop.addEventListener('click', () => request.abort());
  const status = await new Promise((resolve) => {
    request.onloadend = () => resolve(request.status);
    request.send(file);
  });
  if (!stopped && status !== 204) throw new Error(t('file_failed'));
}
