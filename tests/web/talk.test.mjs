// What the chat makes of texts, what keys do, and what the QR code says.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import jsQR from 'jsqr';
import { magnified } from '../../web/geometry.js';
import { pieces } from '../../web/links.js';
import { share } from '../../web/meter.js';
import { inOrder } from '../../web/people.js';
import { qr } from '../../web/qr.js';
import { actionOf } from '../../web/shortcuts.js';

const links = (text) => pieces(text).filter(({ href }) => href !== null).map(({ text: shown }) => shown);

test('addresses of the web become links, without the sentence around them', () => {
  assert.deepEqual(pieces('see https://a.example/x?y=1#z, then'), [
    { text: 'see ', href: null }, { text: 'https://a.example/x?y=1#z', href: 'https://a.example/x?y=1#z' }, { text: ', then', href: null },
  ]);
  assert.deepEqual(links('(https://a.example) https://b.example/w_(x)! http://c.example.'), ['https://a.example', 'https://b.example/w_(x)', 'http://c.example']);
  assert.deepEqual(pieces('no link'), [{ text: 'no link', href: null }]);
  assert.deepEqual(pieces(''), []);
});

test('nothing else does', () => {
  for (const text of [
    'javascript:alert(1)', 'JaVaScRiPt:alert(1)', 'data:text/html,<script>', 'ftp://a.example', 'https://', 'https:///',
    'https://bank.example@evil.example/', '<a href="javascript:alert(1)">', 'vbscript:x', 'file:///etc/passwd', 'xhttps://a.example',
  ]) assert.deepEqual(links(text), [], text);
  assert.deepEqual(links('https://a.example/\u202ecod.exe'), ['https://a.example/'], 'ends where reading would turn');
  assert.deepEqual(links('<img src=https://a.example/onerror="x">'), ['https://a.example/onerror=']);
});

test('whatever is written comes out again, letter by letter', () => {
  for (const text of ['a https://b.example/ c', '🧵 https://x.example🧵', '\n\n', 'x'.repeat(1e6), 'https://a.example '.repeat(1000)]) {
    assert.equal(pieces(text).map((piece) => piece.text).join(''), text);
  }
});

test('keys work by their place, and never where somebody types', () => {
  const key = (code, more = {}) => ({ key: '', code, ctrlKey: false, altKey: false, metaKey: false, ...more });
  assert.equal(actionOf(key('KeyM', { key: 'ㅡ' }), 'BODY'), 'mic', 'on a Korean keyboard');
  assert.equal(actionOf(key('Slash', { key: '?' }), 'BODY'), 'help');
  assert.equal(actionOf(key('KeyM'), 'TEXTAREA'), null);
  assert.equal(actionOf(key('KeyC', { ctrlKey: true }), 'BODY'), null, 'copying is the browser’s');
  assert.equal(actionOf(key('Space'), 'BUTTON'), null, 'presses the button');
  assert.equal(actionOf(key('Space'), 'BODY'), 'talk');
  assert.equal(actionOf(key('KeyZ'), 'BODY'), null);
  assert.equal(actionOf(key('toString'), 'BODY'), null);
});

test('raised hands come first, in their order', () => {
  const person = (id, hand) => ({ id, name: id, audio: true, video: true, ...(hand ? { hand } : {}) });
  const order = inOrder([person('a'), person('b', 2), person('c'), person('d', 1)]).map(({ id }) => id);
  assert.deepEqual(order, ['d', 'b', 'a', 'c']);
});

test('one tile fills the stage, in its middle and whole', () => {
  const { scale, left, top } = magnified({ width: 1000, height: 500 }, { left: 100, top: 50, width: 200, height: 200 });
  assert.deepEqual([scale, left, top], [2.5, 0, -125]);
  assert.equal(left + scale * (100 + 200 / 2), 500);
  assert.equal(top + scale * (50 + 200 / 2), 250);
});

test('the level bar is empty in silence and full at a shout', () => {
  assert.equal(share(0), 0);
  assert.equal(share(1), 1);
  assert.ok(share(0.03) > 0.4 && share(0.03) < 0.8);
});

// Reads a code as a telephone would: as a picture.
function read(code) {
  const [scale, margin] = [4, 4];
  const size = (code.length + 2 * margin) * scale;
  const pixels = new Uint8ClampedArray(size * size * 4);
  for (let y = 0; y < size; y += 1) {
    for (let x = 0; x < size; x += 1) {
      const dark = code[Math.floor(y / scale) - margin]?.[Math.floor(x / scale) - margin] === true;
      pixels.set([dark ? 0 : 255, dark ? 0 : 255, dark ? 0 : 255, 255], (y * size + x) * 4);
    }
  }
  return jsQR.default(pixels, size, size)?.data;
}

test('a QR code of every length says what it should', () => {
  for (let length = 1; length <= 180; length += 1) {
    const text = `https://meet.example/r/${'calm-otter-42_'.repeat(13)}`.slice(0, length);
    const code = qr(text);
    assert.ok(code, `${length} characters fit`);
    assert.equal(read(code), text);
  }
  assert.equal(read(qr('https://größe.example/r/x')), 'https://größe.example/r/x');
  assert.equal(qr('x'.repeat(181)), null);
});
