/** How the video that this page sends is encoded: as small as what the others are shown. Pure. */

/**
 * @typedef {Pick<RTCRtpEncodingParameters, 'active' | 'maxBitrate' | 'maxFramerate' | 'scaleResolutionDownBy'>} Encoding
 * @typedef {import('./protocol.js').UplinkNotice} Wanted
 */

/**
 * At most, bit/s and pictures a second: for a camera of 640x360, and for the text of a whole
 * screen, of which the server shows ten.
 */
const MOST = { camera: { bitrate: 1_200_000, fps: 30 }, screen: { bitrate: 2_500_000, fps: 10 } };

/**
 * All of it, so that nothing is left of what was so before.
 * @param {'camera' | 'screen'} what
 * @param {Pick<Wanted, 'height' | 'fps' | 'bitrate'> | null} wanted What the server asked for; `null`: nothing yet.
 * @param {number} height Lines of what is captured, upright or not; 0 where that is not known.
 * @returns {Encoding}
 */
export function encoding(what, wanted, height) {
  const most = MOST[what];
  const shown = wanted === null || wanted.height > 0;
  return {
    active: shown,
    maxBitrate: Math.min(most.bitrate, wanted?.bitrate || most.bitrate),
    // Some more than are shown: the two are not in step.
    maxFramerate: Math.min(most.fps, Math.ceil((wanted?.fps ?? 0) * 1.2) || most.fps),
    // Never enlarged: the server does that better than a narrow line.
    scaleResolutionDownBy: wanted && shown && height > wanted.height ? height / wanted.height : 1,
  };
}

/** Lines and bit/s of the small copy, for those who show it small or have a narrow line. */
export const HALF = { lines: 180, bitrate: 250_000 };

/**
 * The same, and the small copy of it.
 * @param {'camera' | 'screen'} what
 * @param {(Pick<Wanted, 'height' | 'fps' | 'bitrate'> & Partial<Pick<Wanted, 'half'>>) | null} wanted
 * @param {number} height
 * @returns {[Encoding, Encoding]}
 */
export function encodings(what, wanted, height) {
  const whole = encoding(what, wanted, height);
  const half = {
    active: what === 'camera' && wanted?.half === true, // Text in half its size is none.
    maxBitrate: HALF.bitrate,
    maxFramerate: MOST.camera.fps,
    scaleResolutionDownBy: height > 0 ? Math.max(1, height / HALF.lines) : 2,
  };
  return [whole, half];
}

/**
 * Upright or not, it is the shorter side that fills a tile. Where nothing is captured, nothing says
 * how large it would be.
 * @param {MediaStreamTrack | null} track
 */
export function heightOf(track) {
  const { width = 0, height = 0 } = track?.getSettings() ?? {};
  return Math.min(width, height);
}
