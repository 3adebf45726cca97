// Beside the picture: chat, reactions, hands, and what hosts may do.

import assert from 'node:assert/strict';

import { accessible } from './lib/axe.mjs';
import { hears, meetings, sees, type } from './lib/meeting.mjs';
import { until } from './lib/wait.mjs';

const meeting = meetings('talk');

const connected = (person) => until(`${person.colour} is in`, async () => (await person.control('state').innerText()) === 'Connected');

async function write(person, text) {
  await person.control('chat-input').fill(text);
  await person.control('chat-input').press('Enter');
}

const lines = (person) => person.control('chat-line').locator('.chat-text').allInnerTexts();

// Opens the room in the lobby, as its host, and goes in.
async function open(room, colour) {
  const host = await room.visit(colour, '/');
  await host.control('room-name').fill(room.name);
  await host.control('create').click();
  await type(host, 'Host');
  await host.control('join').click();
  await connected(host);
  await until('the host is one', async () => (await host.page.locator('.person.host.me').count()) === 1);
  return host;
}

async function menu(person, name) {
  if (await person.page.locator('#people-panel').isHidden()) await person.control('people-toggle').click();
  await person.page.locator(`[data-testid="person"][data-name="${name}"] button`).click();
}

meeting('what is written reaches everybody as text, and newcomers too', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await connected(red);
  await connected(green);
  await red.control('chat').click();
  const nasty = '<img src=x onerror="document.title=1"> \u202ejavascript:alert(1)';
  await write(red, nasty);
  await write(red, 'see https://a.example/x, javascript:alert(1)');
  await until('green has two to read', async () => (await green.control('unread').innerText()).startsWith('2'));
  assert.match(await green.page.title(), /^\(2\) /);
  await until('green is told', async () => (await green.control('announcer').innerText()).includes('a.example'));
  await green.control('chat').click();
  assert.deepEqual(await lines(green), [nasty, 'see https://a.example/x, javascript:alert(1)']);
  assert.equal(await green.control('unread').isHidden(), true);
  const links = await green.page.locator('#chat-log a').evaluateAll((all) => all.map((a) => [a.href, a.rel]));
  assert.deepEqual(links, [['https://a.example/x', 'noopener noreferrer nofollow ugc']]);
  assert.equal(await green.page.locator('#chat-log img').count(), 0);
  await accessible(green, 'the chat');

  const blue = await room.enter('blue');
  await connected(blue);
  await blue.control('chat').click();
  await until('blue reads what was written before', async () => (await lines(blue)).length === 2);

  // A word for one only.
  await blue.control('chat-to').selectOption({ label: 'Green' });
  await write(blue, 'psst');
  await until('green has it', async () => (await lines(green)).includes('psst'));
  assert.match(await green.page.locator('.chat-line.direct .chat-head').innerText(), /^Blue to you/);
  await blue.control('chat-to').selectOption({ label: 'Everybody' });
  await write(blue, 'aloud');
  await until('red has the other', async () => (await lines(red)).includes('aloud'));
  assert.ok(!(await lines(red)).includes('psst'));
});

meeting('hands go up in order, and reactions are seen', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  await red.page.keyboard.press('r');
  await until('green sees a hand', async () => (await green.control('tile').innerText()).includes('number 1'));
  await until('green is told', async () => (await green.control('announcer').innerText()) === 'Red raised a hand');
  await green.control('react').click();
  await accessible(green, 'the menu of reactions');
  await green.control('hand').click();
  await until('both hands are up, in order', async () => {
    const hands = await red.page.locator('.person.raised').evaluateAll((all) => all.map(({ dataset, textContent }) => [dataset.name, /number (\d)/.exec(textContent)?.[1]]));
    assert.deepEqual(hands, [['Red', '1'], ['Green', '2']]);
  });
  await green.control('react').click();
  const shown = red.control('reaction').waitFor();
  await green.control('react-clap').click();
  await shown;
});

meeting('the host mutes: nobody hears them, whatever their page sends', async (room) => {
  const host = await open(room, 'red');
  const green = await room.enter('green');
  await hears(host, ['green']);
  await menu(host, 'Green');
  await accessible(host, 'the menu of a person');
  await host.control('mute-one').click();
  await until('green is told', async () => (await green.control('notice').innerText()).includes('muted you'));
  assert.equal(await green.control('mic').getAttribute('aria-pressed'), 'false');
  await green.control('mic').click();
  // A page that does not care what the host says: it sends, and says that it does.
  await green.page.evaluate(() => {
    for (const { track } of window.probe.peers.at(-1).getSenders()) if (track) track.enabled = true;
  });
  await hears(host, []);
  await menu(host, 'Green');
  await host.control('unmute-one').click();
  await until('green may speak', async () => (await green.control('notice').innerText()).includes('may speak'));
  await green.control('mic').click();
  await hears(host, ['green']);
});

meeting('the host locks, removes and ends', async (room) => {
  const host = await open(room, 'red');
  const green = await room.enter('green');
  await sees(host, ['green']);
  await host.control('people-toggle').click();
  await host.control('lock').click();
  await green.control('locked').waitFor();
  const blue = await room.enter('blue');
  await until('blue is told why', async () => (await blue.control('error').innerText()).includes('locked'));
  assert.equal(await blue.control('join').isVisible(), true, 'no dead end');
  // Who was in may come back, as the same person.
  await green.page.reload();
  await sees(host, ['green']);
  await until('green is there once', async () => (await host.control('person').count()) === 2);
  // Who is no host may not.
  await green.page.locator('#people-toggle').click();
  assert.equal(await green.control('host-tools').isHidden(), true);

  host.page.on('dialog', (dialog) => void dialog.accept());
  await menu(host, 'Green');
  await host.control('remove-one').click();
  await until('green is out', async () => (await green.page.locator('#goodbye-text').innerText()).includes('removed you'));
  await green.control('rejoin').click();
  await until('green stays out', async () => (await green.control('error').innerText()).includes('removed you'));
  await sees(host, []);
  await host.control('end-all').click();
  await until('it is over', async () => (await host.page.locator('#goodbye-text').innerText()).includes('ended the meeting'));
});

meeting('by keyboard alone: shortcuts, the menu of a tile, and both can be had without', async (room) => {
  const red = await room.enter('red');
  const green = await room.enter('green');
  await sees(red, ['green']);
  const { keyboard } = red.page;
  const mic = () => red.control('mic').getAttribute('aria-pressed');
  await keyboard.press('m');
  await until('muted', async () => (await mic()) === 'false');
  await keyboard.down('Space');
  await until('open while the key is held', async () => (await mic()) === 'true');
  await keyboard.up('Space');
  await until('muted again', async () => (await mic()) === 'false');
  await keyboard.press('c');
  await until('the chat has the cursor', async () => red.page.evaluate(() => document.activeElement.id === 'chat-input'));
  await keyboard.type('mvp?');
  assert.equal(await red.control('chat-input').inputValue(), 'mvp?', 'letters in a text are letters');
  await keyboard.press('Escape');
  await keyboard.press('?');
  await accessible(red, 'the list of keys');
  await keyboard.press('Escape');

  // The tiles come first in the order of Tab after the bar on top.
  await red.page.locator('#invite').focus();
  await keyboard.press('Tab');
  assert.equal(await red.page.evaluate(() => document.activeElement.closest('[data-testid="tile"]')?.dataset.name), 'Green');
  await keyboard.press('Enter');
  await keyboard.press('ArrowDown');
  await keyboard.press('ArrowUp');
  await keyboard.press('Enter');
  await red.control('show-all').waitFor();
  await until('the menu is gone', async () => (await red.page.locator('[popover]').count()) === 0);
  await keyboard.press('Escape');
  await until('everybody is shown again', async () => red.control('show-all').isHidden());
  await sees(red, ['green']);

  await red.control('more').click();
  await red.control('open-settings').click();
  await red.control('switch-use_shortcuts').uncheck();
  await keyboard.press('Escape');
  await keyboard.press('v');
  await keyboard.press('m');
  await red.page.waitForTimeout(300);
  assert.equal(await mic(), 'false');
  assert.equal(await red.control('camera').getAttribute('aria-pressed'), 'true');
  await accessible(red, 'the meeting');
});

meeting('by the accessibility tree alone: join, who is here, who speaks, mute, chat, leave', async (room) => {
  const green = await room.enter('green');
  await connected(green);
  const { page } = await room.visit('red', `/r/${room.name}?processing=0`);
  const button = (name, more = {}) => page.getByRole('button', { name, exact: true, ...more });
  await page.getByRole('textbox', { name: 'Your name' }).fill('Red');
  await button('Join').click();
  await page.getByRole('status').filter({ hasText: 'Connected' }).waitFor();
  await page.getByRole('list', { name: 'Who is in the picture' }).getByRole('button', { name: 'Green' }).waitFor();
  await button('People').click();
  const people = page.getByRole('complementary', { name: '2 people here' });
  await people.getByRole('button', { name: 'Red (you)' }).waitFor();
  await people.getByRole('button', { name: 'Green' }).waitFor();
  await page.getByText('Green speaks').waitFor();
  await button('Microphone', { pressed: true }).click();
  await button('Microphone', { pressed: false }).waitFor();
  await people.getByRole('button', { name: 'Red (you) Microphone off' }).waitFor();
  await button('Chat').click();
  await page.getByRole('textbox', { name: 'Write a message' }).fill('hello');
  await button('Send').click();
  await page.getByRole('log', { name: 'Chat' }).getByText('hello').waitFor();
  await button('Leave').click();
  await page.getByRole('heading', { name: 'You have left the room' }).waitFor();
});
