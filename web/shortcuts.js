/** Keys that do what buttons do. */

/**
 * @typedef {'mic' | 'camera' | 'chat' | 'people' | 'hand' | 'layout' | 'share' | 'full' | 'stats' | 'help' | 'talk'} Action
 */

/** @type {ReadonlyMap<string, Action>} */
const BY_CODE = new Map([
  ['KeyM', 'mic'], ['KeyV', 'camera'], ['KeyC', 'chat'], ['KeyP', 'people'], ['KeyR', 'hand'], ['KeyW', 'layout'], ['KeyS', 'share'], ['KeyF', 'full'], ['KeyI', 'stats'], ['Space', 'talk'],
]);

/** For the list of keys: what is printed on them. @type {readonly (readonly [Action, string])[]} */
export const KEYS = [['mic', 'M'], ['camera', 'V'], ['talk', ''], ['hand', 'R'], ['chat', 'C'], ['people', 'P'], ['layout', 'W'], ['share', 'S'], ['full', 'F'], ['stats', 'I'], ['help', '?']];

/**
 * What a key is to do. By its place on the keyboard, so that it works in every alphabet; not with
 * Control, Alt or the like, which are the browser's and the screen reader's, and not where
 * somebody is typing. Pure.
 * @param {{ key: string, code: string, ctrlKey: boolean, altKey: boolean, metaKey: boolean }} event
 * @param {string} focus Tag and role of what has the focus, such as `BUTTON`.
 * @returns {Action | null}
 */
export function actionOf({ key, code, ctrlKey, altKey, metaKey }, focus) {
  if (ctrlKey || altKey || metaKey || /^(INPUT|TEXTAREA|SELECT)/.test(focus)) return null;
  if (key === '?') return 'help';
  const action = BY_CODE.get(code) ?? null;
  // Space is how the keyboard presses a button.
  return action === 'talk' && /^(BUTTON|A|SUMMARY)/.test(focus) ? null : action;
}

/**
 * @param {(action: Action, down: boolean) => void} act `down` is false only for the end of `talk`.
 * @param {() => boolean} enabled
 */
export function listen(act, enabled) {
  let talking = false;
  document.addEventListener('keydown', (event) => {
    const { activeElement } = document;
    if (!enabled() || event.defaultPrevented || document.querySelector('dialog[open]')) return;
    const action = actionOf(event, activeElement?.tagName ?? '');
    if (!action) return;
    event.preventDefault();
    if (event.repeat) return;
    if (action === 'talk') talking = true;
    act(action, true);
  });
  const stop = () => {
    if (talking) act('talk', false);
    talking = false;
  };
  document.addEventListener('keyup', ({ code }) => code === 'Space' && stop());
  window.addEventListener('blur', stop); // The key's end would be told to somebody else.
}
