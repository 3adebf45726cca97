// The words of every language: none is missing, all have the same gaps and every plural form.
import assert from 'node:assert/strict';
import fs from 'node:fs';
import { test } from 'node:test';
import { choose, fill, isolate, LANGUAGES, t } from '../../web/i18n.js';

const web = new URL('../../web/', import.meta.url);
const languages = Object.fromEntries(await Promise.all(Object.keys(LANGUAGES).map(async (language) => {
  const { words } = await import(`../../web/words/${language}.js`);
  const all = { ...words };
  for (const part of ['operator', 'costs']) {
    const { words: more } = await import(`../../web/words/${part}/${language}.js`);
    for (const key of Object.keys(more)) assert.ok(!(key in all), `${language}.${key} is there twice`);
    Object.assign(all, more);
  }
  return [language, all];
})));
const forms = (entry) => (typeof entry === 'string' ? [entry] : Object.values(entry));
const gaps = (text) => [...text.matchAll(/\{(\w+)\}/g)].map(([, name]) => name);

test('every language has every text, with the same gaps', () => {
  const { en } = languages;
  for (const [language, words] of Object.entries(languages)) {
    assert.deepEqual(Object.keys(words).sort(), Object.keys(en).sort(), language);
    for (const [key, entry] of Object.entries(words)) {
      const wanted = new Set(forms(en[key]).flatMap(gaps));
      for (const form of forms(entry)) {
        assert.notEqual(form.trim(), '', `${language}.${key}`);
        // A form for one or two may say the number as a word; no form has a gap that nobody fills.
        for (const gap of gaps(form)) assert.ok(wanted.has(gap), `${language}.${key}: {${gap}}`);
      }
      const own = new Set(forms(entry).flatMap(gaps));
      assert.deepEqual(own, wanted, `${language}.${key}`);
    }
  }
});

test('a text with a number has every plural form of its language, or needs only one', () => {
  for (const [language, words] of Object.entries(languages)) {
    for (const [key, entry] of Object.entries(words)) {
      if (typeof entry === 'string') continue;
      for (let n = 0; n < 120; n += 1) assert.ok(fill(entry, { n }, language).length > 0, `${language}.${key} for ${n}`);
      assert.ok('other' in entry, `${language}.${key}`);
    }
  }
  assert.equal(fill(languages.ar.people_n, { n: 2 }, 'ar'), 'شخصان');
  assert.equal(fill(languages.en.people_n, { n: 1 }, 'en'), '1 person');
  assert.equal(fill(languages.de.people_n, { n: 1000 }, 'de'), '1.000 Personen');
});

test('the pages ask only for words that there are', () => {
  for (const page of ['index.html', 'room.html', 'share.html', 'admin.html', 'tradeoff.html']) {
    const html = fs.readFileSync(new URL(page, web), 'utf8');
    const keys = [...html.matchAll(/data-t(?:-label|-title|-placeholder)?="(\w+)"/g)].map(([, key]) => key);
    assert.ok(keys.length > 2, page);
    for (const key of keys) assert.ok(key in languages.en, `${page}: ${key}`);
  }
});

test('no word is kept that no file asks for', () => {
  const sources = fs.readdirSync(web).filter((name) => /\.(js|html)$/.test(name)).map((name) => fs.readFileSync(new URL(name, web), 'utf8')).join('\n');
  const built = /^(state_|layout_(grid|speaker|solo|presentation)|bye_|help_|trouble_missing_|trouble_busy_|the_(camera|microphone|both)|share_(fine|missing|perhaps|trying|[a-z]+_(fine|not))|key_|stats_(received|sent)_|quality_|costs_(mesh|sfu|mcu|way_|seen_)|because_|way_|come_|thumbs|clap|heart|laugh|wow|party)/;
  for (const key of Object.keys(languages.en)) {
    if (!built.test(key)) assert.match(sources, new RegExp(`['"]${key}['"]`), key);
  }
});

test('the browser’s first known language is chosen', () => {
  assert.equal(choose(['fr-FR', 'ko-KR', 'en']), 'ko');
  assert.equal(choose(['AR']), 'ar');
  assert.equal(choose(['de-AT']), 'de');
  assert.equal(choose(['toString', 'xx']), 'en');
  assert.equal(choose([]), 'en');
});

test('names that would turn the sentence around are kept apart', () => {
  assert.equal(isolate('Ann'), 'Ann');
  assert.equal(isolate('a\u202eb'), '\u2068a\u202eb\u2069');
  assert.equal(t('came', { name: 'أحمد' }), '\u2068أحمد\u2069 came in');
  assert.equal(t('came', { name: '{other} $& \\' }), '{other} $& \\ came in', 'text stays text');
});
