/** Which camera, microphone and loudspeaker: lists to choose from, a level and a test sound. */

import { make } from './dom.js';
import { t } from './i18n.js';
import { Meter } from './meter.js';
import { QUALITIES, qualityOf } from './quality.js';
import { recall } from './store.js';

/** @typedef {import('./media.js').Devices} Devices */

/** Kinds of device, as browsers and as this page's memory call them. */
const KINDS = /** @type {const} */ ([['videoinput', 'camera'], ['audioinput', 'microphone'], ['audiooutput', 'speaker']]);

export class Pickers {
  #devices;
  #meter;
  #open = false;
  /** @type {Map<string, HTMLSelectElement>} */
  #selects = new Map();

  /**
   * @param {HTMLElement} root
   * @param {string} prefix Of the elements' ids.
   * @param {Devices} devices
   * @param {import('./speaker.js').Speaker} speaker
   */
  constructor(root, prefix, devices, speaker) {
    this.#devices = devices;
    const bar = make('div', { class: 'meter', role: 'meter', 'data-testid': 'level', 'aria-label': t('level'), 'aria-valuemin': '0', 'aria-valuemax': '100', 'aria-valuenow': '0' });
    this.#meter = new Meter(bar);
    const test = make('button', { type: 'button', 'data-testid': 'test-sound', 'aria-label': t('test_sound_label') }, t('test_sound'));
    test.addEventListener('click', async () => {
      test.disabled = true;
      await speaker.test();
      test.disabled = false;
    });
    for (const [kind, name] of KINDS) {
      const id = `${prefix}-${name}`;
      const select = make('select', { id, 'data-testid': `choose-${name}` });
      this.#selects.set(kind, select);
      const label = make('label', { for: id }, t(name));
      if (kind === 'audiooutput') {
        if (speaker.selectable) root.append(make('div', { class: 'row' }, label, make('div', { class: 'field' }, select, test)));
        else root.append(make('div', { class: 'row' }, make('span', {}, t(name)), test));
        select.addEventListener('change', () => void speaker.choose(select.value));
      } else {
        const row = make('div', { class: 'row' }, label, select);
        if (kind === 'audioinput') row.append(bar);
        root.append(row);
        select.addEventListener('change', () => void devices.choose(kind === 'audioinput' ? 'audio' : 'video', select.value));
      }
    }
    const quality = make('select', { id: `${prefix}-quality`, 'data-testid': 'quality', 'aria-describedby': `${prefix}-quality-note` });
    quality.append(...QUALITIES.map((value) => make('option', { value }, t(`quality_${value}`))));
    quality.value = devices.quality;
    quality.addEventListener('change', () => void devices.chooseQuality(qualityOf(quality.value) ?? 'auto'));
    this.#selects.set('quality', quality);
    root.append(make('div', { class: 'row' }, make('label', { for: `${prefix}-quality` }, t('quality')), quality,
      make('p', { id: `${prefix}-quality-note`, class: 'soft' }, t('quality_low_note'))));
    devices.addEventListener('change', () => this.#open && void this.#refresh());
  }

  /** Shown: lists are kept up to date and the level is measured only then. @param {boolean} open */
  show(open) {
    this.#open = open;
    if (open) void this.#refresh();
    else this.#meter.listen(null);
  }

  async #refresh() {
    const { track, on } = this.#devices.get('audio');
    this.#meter.listen(on ? track : null);
    const quality = this.#selects.get('quality');
    if (quality) quality.value = this.#devices.quality;
    const all = (await navigator.mediaDevices?.enumerateDevices().catch(() => [])) ?? [];
    for (const [kind, name] of KINDS) {
      // Before the user's permission devices have neither ids nor names.
      const found = all.filter((device) => device.kind === kind && device.deviceId !== '' && device.deviceId !== 'default');
      const select = this.#selects.get(kind);
      if (!select) continue;
      const options = found.map(({ deviceId, label }, i) => make('option', { value: deviceId }, label || t('device_nth', { kind: t(name), n: i + 1 })));
      const usual = make('option', { value: '' }, t('device_default'));
      const texts = [usual, ...options].map(({ value, text }) => `${value} ${text}`).join('\n');
      if (select.dataset.shown !== texts) {
        select.dataset.shown = texts;
        select.replaceChildren(usual, ...options);
      }
      const chosen = recall(name) ?? '';
      select.value = found.some(({ deviceId }) => deviceId === chosen) ? chosen : '';
      select.disabled = found.length === 0;
    }
  }
}
