/** Why a device cannot be had, for its user: in words, with the way out in the browser's own terms. */

import { t } from './i18n.js';

/**
 * @typedef {import('./media.js').Problem} Problem
 * @typedef {'chrome' | 'edge' | 'firefox' | 'safari' | 'ios' | 'android' | 'other'} Browser
 * @typedef {'camera' | 'microphone' | 'both'} Which
 */

/**
 * Whose settings to explain. Pure.
 * @param {string} agent `navigator.userAgent`.
 * @returns {Browser}
 */
export function browserOf(agent) {
  if (/iPhone|iPad|iPod/.test(agent)) return 'ios';
  if (/Firefox\//.test(agent)) return 'firefox';
  if (/Android/.test(agent)) return 'android';
  if (/Edg\//.test(agent)) return 'edge';
  if (/Chrom(e|ium)\//.test(agent)) return 'chrome';
  if (/Safari\//.test(agent)) return 'safari';
  return 'other';
}

/**
 * Why devices cannot be had: one text for each reason.
 * @param {Partial<Record<import('./media.js').Kind, Problem | null>>} problems
 * @param {string} [agent]
 * @returns {string[]}
 */
export function explain({ audio = null, video = null }, agent = globalThis.navigator?.userAgent ?? '') {
  const browser = browserOf(agent);
  if (audio && video && audio.reason === video.reason) return [explainOne(audio, 'both', browser)];
  return [video && explainOne(video, 'camera', browser), audio && explainOne(audio, 'microphone', browser)].filter((text) => text !== null);
}

/**
 * @param {Problem} problem
 * @param {Which} which
 * @param {Browser} browser
 * @returns {string}
 */
function explainOne({ reason, message }, which, browser) {
  const devices = t(`the_${which}`);
  switch (reason) {
    case 'NotAllowedError':
      return /system/i.test(message)
        ? t('trouble_system', { devices })
        : t('trouble_denied', { devices, help: t(`help_${browser}`, { devices }) });
    case 'NotFoundError':
    case 'OverconstrainedError':
      return t(`trouble_missing_${which}`);
    case 'NotReadableError':
    case 'AbortError':
      return t(`trouble_busy_${which}`);
    case 'InsecureContext':
      return t('trouble_insecure', { devices });
    case 'Ended':
      return t('trouble_ended', { devices });
    default:
      return t('trouble_other', { devices, reason });
  }
}
