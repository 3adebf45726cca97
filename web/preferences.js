/** The settings dialog: devices, volume, and switches that are remembered. */

import { find, make } from './dom.js';
import { t } from './i18n.js';
import { KEYS } from './shortcuts.js';
import { recall, remember } from './store.js';

/** Switches and how they stand at first. */
const SWITCHES = { use_shortcuts: true, announce_speakers: true, show_self: true, meet_directly: false };

/** @typedef {keyof typeof SWITCHES} Switch */

/**
 * @param {Switch} name
 * @returns {boolean}
 */
export function prefers(name) {
  const kept = recall(name);
  return kept === null ? SWITCHES[name] : kept === 'on';
}

export class Preferences {
  #dialog = find('#settings', HTMLDialogElement);
  #help = find('#help', HTMLDialogElement);

  /**
   * @param {import('./speaker.js').Speaker} speaker
   * @param {import('./pickers.js').Pickers} pickers
   * @param {() => void} changed A switch was turned.
   */
  constructor(speaker, pickers, changed) {
    const volume = find('#volume', HTMLInputElement);
    volume.value = String(Math.round(speaker.volume * 100));
    volume.addEventListener('input', () => {
      speaker.volume = Number(volume.value) / 100;
    });
    const switches = find('#switches', HTMLElement);
    for (const name of /** @type {Switch[]} */ (Object.keys(SWITCHES))) {
      const box = make('input', { type: 'checkbox', 'data-testid': `switch-${name}` });
      box.checked = prefers(name);
      box.addEventListener('change', () => {
        remember(name, box.checked ? 'on' : 'off');
        changed();
      });
      switches.append(make('label', { class: 'check' }, box, ` ${t(name)}`));
    }
    const keys = KEYS.flatMap(([action, key]) => [make('dt', {}, make('kbd', {}, key || t('key_talk_name'))), make('dd', {}, t(`key_${action}`))]);
    find('#keys', HTMLElement).append(...keys);
    this.#dialog.addEventListener('close', () => pickers.show(false));
    this.open = () => {
      this.#dialog.showModal();
      pickers.show(true);
    };
    for (const dialog of [this.#dialog, this.#help]) {
      dialog.addEventListener('click', (event) => event.target === dialog && dialog.close());
    }
  }

  /** @type {() => void} */
  open;

  help() {
    this.#help.showModal();
  }
}
