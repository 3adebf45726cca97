// What axe-core has to say of a page.

import assert from 'node:assert/strict';
import fs from 'node:fs';
import { createRequire } from 'node:module';

const source = fs.readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const TAGS = ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa', 'best-practice'];

// Fails unless axe-core finds nothing to complain of in the state that `person`'s page is in.
export async function accessible(person, state) {
  // By the debugger, which the page's own security policy does not concern.
  if (!(await person.page.evaluate(() => 'axe' in window))) await person.page.evaluate(source);
  const { violations, passes } = await person.page.evaluate((tags) => window.axe.run(document, { runOnly: tags }), TAGS);
  const told = violations.map(({ id, help, nodes }) => `${id}: ${help}\n${nodes.map((node) => `    ${node.html}\n    ${node.failureSummary}`).join('\n')}`);
  assert.deepEqual(told, [], `axe-core on ${state}`);
  assert.ok(passes.length > 10, 'it has looked at something');
}
