/** The own camera on the page: in a corner, or over the own tile, where the mix brings it late. */

import { find } from './dom.js';
import { filled } from './geometry.js';
import { prefers } from './preferences.js';

/**
 * @typedef {import('./geometry.js').Box} Box
 *
 * @typedef {object} Parts
 * @property {import('./media.js').Devices} devices
 * @property {import('./sharing.js').Sharing} sharing
 * @property {import('./view.js').View} view
 * @property {() => boolean} inMeeting
 * @property {() => void} place Has the own tile looked up anew.
 */

const SIDES = /** @type {const} */ (['left', 'top', 'width', 'height']);
/** Of the mix: it is shown elsewhere than on this page, or no longer. */
const ELSEWHERE = ['enterpictureinpicture', 'leavepictureinpicture', 'webkitbeginfullscreen', 'webkitendfullscreen'];

export class SelfView {
  #parts;
  #video = find('#self', HTMLVideoElement);
  #figure = find('.self', HTMLElement);
  #stage = find('.stage', HTMLElement);
  #mix = find('#mix', HTMLVideoElement);

  /** @param {Parts} parts */
  constructor(parts) {
    this.#parts = parts;
    this.#video.addEventListener('resize', () => parts.place());
    for (const event of ELSEWHERE) this.#mix.addEventListener(event, () => this.#tell());
    document.addEventListener('fullscreenchange', () => this.#tell());
  }

  /** Something about the camera, the screen or the settings changed. */
  show() {
    const { devices, inMeeting } = this.#parts;
    const { track } = devices.get('video');
    const shown = track ? devices.stream : null;
    if (this.#video.srcObject !== shown) this.#video.srcObject = shown;
    document.body.classList.toggle('self-live', track !== null);
    document.body.classList.toggle('self-hidden', inMeeting() && !prefers('show_self'));
    this.#tell();
  }

  /**
   * Lies over the own tile, with as much of the camera as the mix shows of it.
   * @param {Box | null} box px in the stage; `null`: there is no such tile.
   * @returns {boolean} Whether it covers it.
   */
  place(box) {
    const { devices, view } = this.#parts;
    const { offsetLeft, offsetTop } = this.#stage;
    const inside = box && filled({ width: this.#video.videoWidth, height: this.#video.videoHeight }, box);
    this.#figure.classList.toggle('in-tile', box !== null);
    const place = box && { ...box, left: box.left + offsetLeft, top: box.top + offsetTop };
    for (const side of SIDES) {
      this.#figure.style[side] = place ? `${place[side]}px` : '';
      this.#video.style[side] = inside ? `${inside[side]}px` : '';
    }
    return inside !== null && view.wish.overlay === true && devices.get('video').track !== null;
  }

  /**
   * Says whether it can lie there. Elsewhere than on this page it cannot; and of a screen that is
   * shared, a picture with oneself would show itself in itself.
   */
  #tell() {
    const { sharing, view, place } = this.#parts;
    const elsewhere = document.pictureInPictureElement !== null || document.fullscreenElement === this.#mix || Reflect.get(this.#mix, 'webkitDisplayingFullscreen') === true;
    view.overlay = !elsewhere && sharing.track === null && prefers('show_self') && !document.body.classList.contains('viewing');
    place();
  }
}
