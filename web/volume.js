/** How loud one person is, for this page alone. */

import { find, make } from './dom.js';
import { t } from './i18n.js';

/** A slide sends many values; so many ms after the last one it is told. */
const SETTLED_MS = 120;

/**
 * Shows a slider beside a button.
 * @param {HTMLElement} button
 * @param {string} name
 * @param {number} gain 0 to 2.
 * @param {(gain: number) => void} set
 */
export function openVolume(button, name, gain, set) {
  const range = make('input', { type: 'range', id: 'person-volume', min: '0', max: '200', step: '5', value: String(Math.round(gain * 100)), 'data-testid': 'person-volume', 'aria-describedby': 'person-volume-note' });
  const percent = make('output', { for: 'person-volume' });
  const show = () => {
    percent.textContent = t('percent', { n: Number(range.value) });
    range.setAttribute('aria-valuetext', percent.textContent);
  };
  const reset = make('button', { type: 'button', 'data-testid': 'person-volume-reset' }, t('volume_reset'));
  const box = make(
    'div',
    { class: 'menu volume', role: 'dialog', popover: 'auto', 'aria-label': t('volume_of', { name }), 'data-testid': 'volume-dialog' },
    make('label', { for: 'person-volume' }, t('volume_of', { name })),
    make('div', { class: 'field' }, range, percent),
    make('p', { class: 'soft', id: 'person-volume-note' }, t('volume_note')),
    reset,
  );
  /** @type {number | undefined} */
  let settled;
  range.addEventListener('input', () => {
    show();
    clearTimeout(settled);
    settled = setTimeout(() => set(Number(range.value) / 100), SETTLED_MS);
  });
  reset.addEventListener('click', () => {
    range.value = '100';
    range.dispatchEvent(new Event('input'));
    range.focus();
  });
  box.addEventListener('toggle', (event) => {
    if (/** @type {ToggleEvent} */ (event).newState !== 'closed') return;
    const inside = box.contains(document.activeElement) || document.activeElement === document.body;
    box.remove();
    if (inside) button.focus();
  });
  show();
  find('main', HTMLElement).append(box);
  box.showPopover();
  const at = button.getBoundingClientRect();
  box.style.left = `${Math.max(8, Math.min(at.left + at.width / 2 - box.offsetWidth / 2, innerWidth - box.offsetWidth - 8))}px`;
  box.style.top = `${Math.max(8, Math.min(at.top + at.height / 2 - box.offsetHeight / 2, innerHeight - box.offsetHeight - 8))}px`;
  range.focus();
}
