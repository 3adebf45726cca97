/** The page in place of a report that nobody has made yet. */

import { find } from './dom.js';
import { learn, t, translate } from './i18n.js';

await learn('costs');
translate();
document.title = t('tradeoff_title');
find('#quick', HTMLElement).textContent = t('tradeoff_quick', { command: 'make tradeoff' });
