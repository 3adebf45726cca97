/** The dialog that brings others in: the room's address to copy, to share and to scan. */

import { make } from './dom.js';
import { t } from './i18n.js';
import { qr } from './qr.js';

/** How long "Copied" stands, ms. */
const COPIED_MS = 2_000;

/** @param {string} room */
export function invite(room) {
  const href = new URL(`/r/${encodeURIComponent(room)}`, location.href).href;
  const field = make('input', { id: 'invite-link', 'data-testid': 'invite-link', readonly: '', value: href, dir: 'ltr' });
  field.addEventListener('focus', () => field.select());
  const copy = make('button', { type: 'button', class: 'primary', 'data-testid': 'copy' }, t('copy'));
  copy.addEventListener('click', async () => {
    try {
      await navigator.clipboard.writeText(href);
      copy.textContent = t('copied');
    } catch {
      copy.textContent = t('copy_by_hand');
      field.focus();
    }
    setTimeout(() => {
      copy.textContent = t('copy');
    }, COPIED_MS);
  });
  const close = make('button', { type: 'button', class: 'plain close', 'aria-label': t('close') }, '×');
  const dialog = make(
    'dialog',
    { 'aria-labelledby': 'invite-heading', 'data-testid': 'invite-dialog', class: 'invite' },
    make('div', { class: 'panel-head' }, make('h2', { id: 'invite-heading' }, t('invite_title')), close),
    make('label', { for: 'invite-link' }, t('invite_link')),
    make('div', { class: 'field' }, field, copy),
  );
  if (typeof navigator.share === 'function') {
    const share = make('button', { type: 'button', class: 'quiet' }, t('invite_share'));
    share.addEventListener('click', () => void navigator.share({ title: room, url: href }).catch(() => {}));
    dialog.append(share);
  }
  const code = qr(href);
  if (code) dialog.append(picture(code), make('p', { class: 'soft' }, t('invite_scan')));
  close.addEventListener('click', () => dialog.close());
  dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
  dialog.addEventListener('close', () => dialog.remove());
  document.body.append(dialog);
  dialog.showModal();
  copy.focus();
}

/** Quiet modules around the code that readers need. */
const MARGIN = 4;

/** @param {boolean[][]} code */
function picture(code) {
  const size = code.length + 2 * MARGIN;
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  const path = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  const dark = code.flatMap((row, y) => row.flatMap((on, x) => (on ? [`M${x + MARGIN} ${y + MARGIN}h1v1h-1z`] : [])));
  path.setAttribute('d', dark.join(''));
  svg.setAttribute('viewBox', `0 0 ${size} ${size}`);
  svg.setAttribute('role', 'img');
  svg.setAttribute('aria-label', t('invite_qr'));
  svg.setAttribute('class', 'qr');
  svg.setAttribute('data-testid', 'qr');
  svg.append(path);
  return svg;
}
