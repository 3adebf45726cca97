/** Sends no more of the own picture than anybody sees: the server knows the largest tile of it. */

/** @typedef {import('./protocol.js').Uplink} Uplink */

/**
 * What an encoding has to be for what is asked.
 * @param {Uplink} uplink
 * @param {{ width?: number, height?: number }} track What the camera gives.
 * @param {number} most Bit/s of a picture smaller than its tile.
 * @returns {Partial<RTCRtpEncodingParameters>}
 */
export function encodingFor({ height, fps, bitrate }, track, most) {
  if (bitrate === 0) return { active: false };
  // Upright or not, it is the shorter side that fills the tile.
  const lines = Math.min(track.width ?? height, track.height ?? height);
  return {
    active: true,
    maxBitrate: lines < height ? Math.min(most, bitrate) : bitrate,
    // Some more than are shown: the two are not in step.
    maxFramerate: Math.ceil(fps * 1.2),
    scaleResolutionDownBy: Math.max(1, lines / height),
  };
}

/**
 * @param {RTCRtpSender} sender
 * @param {Uplink} uplink
 * @param {number} most
 */
export async function fit(sender, uplink, most) {
  const parameters = sender.getParameters();
  const [encoding] = parameters.encodings;
  if (!encoding) return; // Receives only.
  Object.assign(encoding, encodingFor(uplink, sender.track?.getSettings() ?? {}, most));
  await sender.setParameters(parameters);
}
