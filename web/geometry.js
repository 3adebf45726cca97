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
