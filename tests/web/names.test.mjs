// Names: the rules of the server, and namesakes told apart.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { displayNameProblem, privateRoomName, randomRoomName, roomNameProblem, tellApart } from '../../web/names.js';

test('room names are plain ASCII of 1 to 64 characters', () => {
  for (const good of ['a', 'team-7_x', 'A'.repeat(64)]) assert.equal(roomNameProblem(good), null, good);
  for (const bad of ['', 'a b', 'a/b', '..', 'größe', 'a'.repeat(65), '<b>', '🧵']) assert.ok(roomNameProblem(bad), bad);
  assert.match(roomNameProblem('a🧵') ?? '', /“🧵”/, 'names the whole character, not half of it');
});

test('display names are trimmed, counted in characters, and free of control characters', () => {
  for (const good of ['Ann', '  Ann ', '한'.repeat(64), '🧵'.repeat(64), '<script>']) assert.equal(displayNameProblem(good), null, good);
  for (const bad of ['', '   ', '한'.repeat(65), 'a\u0007b', 'a\u0085b']) assert.ok(displayNameProblem(bad), bad);
});

test('every suggestion is a good room name', () => {
  for (const chance of [0, 0.3, 0.999999]) assert.equal(roomNameProblem(randomRoomName(() => chance)), null);
  assert.equal(randomRoomName(() => 0), 'amber-badger-10');
});

test('private names are good names, marked, and end in what nobody guesses', () => {
  for (const name of ['calm-otter-42', '_calm', 'x'.repeat(64)]) {
    const secret = privateRoomName(name);
    assert.equal(roomNameProblem(secret), null, secret);
    assert.match(secret, /^_[^_].*-[a-z0-9]{10}$/);
    assert.notEqual(secret, privateRoomName(name));
  }
});

test('namesakes get numbers in the order they came', () => {
  const labels = tellApart([{ id: 'p1', name: 'Ann' }, { id: 'p2', name: 'Bob' }, { id: 'p3', name: 'Ann' }, { id: 'p4', name: 'ann' }]);
  assert.deepEqual([...labels], [['p1', 'Ann'], ['p2', 'Bob'], ['p3', 'Ann (2)'], ['p4', 'ann (3)']]);
});

test('a label stays when a namesake leaves, and a free one is used again', () => {
  const before = tellApart([{ id: 'p1', name: 'Ann' }, { id: 'p2', name: 'Ann' }]);
  const after = tellApart([{ id: 'p2', name: 'Ann' }, { id: 'p3', name: 'Ann' }], before);
  assert.deepEqual([...after], [['p2', 'Ann (2)'], ['p3', 'Ann']]);
});

test('nobody can take the label of a numbered namesake', () => {
  const people = [{ id: 'p1', name: 'Ann (2)' }, { id: 'p2', name: 'Ann' }, { id: 'p3', name: 'Ann' }, { id: 'p4', name: 'Ａnn' }];
  const labels = [...tellApart(people).values()];
  assert.equal(new Set(labels.map((label) => label.normalize('NFKC'))).size, people.length, labels.join());
  assert.deepEqual(labels.slice(0, 3), ['Ann (2)', 'Ann', 'Ann (3)']);
});
