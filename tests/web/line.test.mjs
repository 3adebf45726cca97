// By which way the page speaks to the server, as its network allows.
import assert from 'node:assert/strict';
import { afterEach, beforeEach, test } from 'node:test';

// What the network does with a socket: 'open', 'refuse' or 'ignore'; and whether requests pass.
let network;
let sockets;

class FakeSocket {
  static OPEN = 1;

  constructor() {
    sockets += 1;
    this.readyState = 0;
    queueMicrotask(() => {
      if (network.socket === 'open') {
        this.readyState = FakeSocket.OPEN;
        this.onopen?.();
      } else if (network.socket === 'refuse') this.onerror?.();
    });
  }

  close() {
    this.readyState = 3;
  }
}

class FakeSource extends EventTarget {
  static CLOSED = 2;

  constructor() {
    super();
    queueMicrotask(() => this.onopen?.());
  }

  close() {}
}

const real = { WebSocket: globalThis.WebSocket, EventSource: globalThis.EventSource, fetch: globalThis.fetch };
let fresh = 0;

beforeEach(() => {
  [network, sockets] = [{ socket: 'open', requests: true }, 0];
  globalThis.WebSocket = FakeSocket;
  globalThis.EventSource = FakeSource;
  globalThis.fetch = async () => {
    if (!network.requests) throw new TypeError('failed');
    return new Response('{"session":"/api/rooms/a/sessions/1"}', { status: 201 });
  };
});
afterEach(() => Object.assign(globalThis, real));

// As a page that was just loaded.
async function page() {
  const { openLine } = await import(`../../web/line.js?${++fresh}`);
  return async (patience = 5_000) => {
    const line = await openLine('ws://a.example/api/rooms/a/ws', new AbortController().signal, patience);
    line.close();
    return line.path;
  };
}

test('the socket where there is one', async () => {
  const open = await page();
  assert.equal(await open(), 'websocket');
});

test('requests where it is refused, and then at once', async () => {
  const open = await page();
  network.socket = 'refuse';
  assert.equal(await open(), 'http');
  assert.equal(await open(), 'http');
  assert.equal(sockets, 1);
  network.requests = false;
  await assert.rejects(open());
});

test('requests where it is never answered, after some seconds', async () => {
  const open = await page();
  network.socket = 'ignore';
  await assert.rejects(open(100), 'not in so short a time');
  assert.equal(await open(), 'http');
});

test('a server that is started anew refuses for a while; a network that goes on refusing is another one', async () => {
  const open = await page();
  assert.equal(await open(), 'websocket');
  network.socket = 'refuse';
  await assert.rejects(open());
  network.socket = 'open';
  assert.equal(await open(), 'websocket');
  network.socket = 'refuse';
  for (let n = 0; n < 3; n += 1) await assert.rejects(open());
  assert.equal(await open(), 'http');
  network.socket = 'open';
  assert.equal(await open(), 'websocket', 'it worked once, so it is tried again');
});
