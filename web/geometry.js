/** Where the picture is inside its element. Pure. */

/**
 * @typedef {{ width: number, height: number }} Size
 * @typedef {{ left: number, top: number, width: number, height: number }} Box
 */

/**
 * Where `object-fit: contain` shows a picture, in the unit of `element`.
 * @param {Size} element
 * @param {Size} picture Of any unit; only its shape matters.
 * @returns {Box | null} `null` while either has no size.
 */
export function contained(element, picture) {
  if (!(element.width > 0 && element.height > 0 && picture.width > 0 && picture.height > 0)) return null;
  const scale = Math.min(element.width / picture.width, element.height / picture.height);
  const width = picture.width * scale;
  const height = picture.height * scale;
  return { left: (element.width - width) / 2, top: (element.height - height) / 2, width, height };
}

/** Most of a side that the server cuts away from a camera; `src/mix/place.rs` has the same. */
const MOST_CROPPED = 0.2;

/**
 * Where inside its tile the server shows a camera: all over it if cropping the camera's middle
 * does it, else with bars. The camera's middle fills the answer, as `object-fit: cover` does it.
 * @param {Size} camera
 * @param {Size} tile Of any unit, which is the answer's.
 * @returns {Box | null} `null` while either has no size.
 */
export function filled(camera, tile) {
  const shape = (camera.width * tile.height) / (camera.height * tile.width);
  const least = 1 - MOST_CROPPED;
  if (shape >= least && shape <= 1 / least) return { left: 0, top: 0, width: tile.width, height: tile.height };
  const cut = shape > 1 ? { ...camera, width: camera.width * least } : { ...camera, height: camera.height * least };
  return contained(tile, cut);
}

/**
 * How to move and scale a stage, from its own corner, so that one box of it fills it.
 * @param {Size} stage
 * @param {Box} box
 * @returns {{ scale: number, left: number, top: number }}
 */
export function magnified(stage, box) {
  const scale = Math.min(stage.width / box.width, stage.height / box.height);
  return {
    scale,
    left: stage.width / 2 - scale * (box.left + box.width / 2),
    top: stage.height / 2 - scale * (box.top + box.height / 2),
  };
}

/**
 * A fraction of the canvas as a CSS length.
 * @param {number} fraction
 */
export function percent(fraction) {
  return `${Number((fraction * 100).toFixed(4))}%`;
}
