/** The operator's list of pipelines, and how each is joined together. */

import { find, make, reconcile, say } from './dom.js';
import { t } from './i18n.js';

/**
 * @typedef {object} Pipeline
 * @property {number} number
 * @property {string} name
 * @property {'built' | 'playing' | 'failed'} stage
 * @property {number} seconds
 */

const STAGES = /** @type {const} */ ({ built: 'admin_built', playing: 'admin_playing', failed: 'admin_failed' });

/**
 * @param {Pipeline[]} pipelines
 * @param {(path: string) => Promise<Response>} ask
 */
export function showPipelines(pipelines, ask) {
  find('#pipelines-empty', HTMLElement).hidden = pipelines.length > 0;
  reconcile(find('#admin-pipelines', HTMLElement), pipelines, ({ number }) => String(number), (pipeline) => {
    const graph = make('button', { type: 'button', class: 'plain', 'data-testid': 'graph', 'aria-label': `${t('admin_graph')}: ${pipeline.name} ${pipeline.number}` }, t('admin_graph'));
    graph.addEventListener('click', () => void showGraph(pipeline, ask));
    return make('li', { class: 'admin-pipeline', 'data-testid': 'admin-pipeline', 'data-name': pipeline.name },
      make('code', {}, pipeline.name), make('span', { class: 'soft' }), graph);
  }, (item, { stage, seconds }) => {
    item.classList.toggle('failed', stage === 'failed');
    say(item.querySelector('.soft'), t('admin_since', { stage: t(STAGES[stage]), n: seconds }));
  });
}

/**
 * @param {Pipeline} pipeline
 * @param {(path: string) => Promise<Response>} ask
 */
async function showGraph({ number, name }, ask) {
  const answer = await ask(`/api/admin/pipelines/${number}`).catch(() => null);
  const text = answer?.ok ? await answer.text() : t('admin_gone');
  const dialog = find('#graph', HTMLDialogElement);
  say(dialog.querySelector('h2'), `${t('admin_graph')}: ${name}`);
  say(dialog.querySelector('pre'), text);
  const save = find('#graph-save', HTMLAnchorElement);
  save.hidden = !answer?.ok;
  const url = URL.createObjectURL(new Blob([text], { type: 'text/vnd.graphviz' }));
  save.href = url;
  save.download = `${name}-${number}.dot`;
  dialog.addEventListener('close', () => URL.revokeObjectURL(url), { once: true });
  dialog.showModal();
}
