// A network of our own, made of namespaces: the server in one, a client in the other, and two
// cables between them, of which the client uses one. Needs root, iproute2 and nftables.

import { execFileSync } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';

// Where the server is reached, whichever cable leads there.
const SERVER = '10.77.9.1';

export class Network {
  // Without the rights or the tools, the network has a text `missing` that says so, and nothing else.
  constructor() {
    process.once('exit', () => this.remove());
    const name = `quilt-${process.pid}`;
    this.server = `${name}-s`;
    this.client = `${name}-c`;
    try {
      this.#make();
    } catch (error) {
      this.remove();
      this.missing = `no network namespaces here: ${String(error.stderr ?? error.message).trim()}`;
    }
  }

  #make() {
    for (const space of [this.server, this.client]) {
      ip('netns', 'add', space);
      // IPv6 would give each cable another address a second after it is up, and a browser that is
      // loading a page then gives up (ERR_NETWORK_CHANGED).
      this.#in(space, 'sh', '-c', 'for all in /proc/sys/net/ipv6/conf/*/disable_ipv6; do [ ! -e $all ] || echo 1 >$all; done');
      this.#in(space, 'ip', 'link', 'set', 'lo', 'up');
    }
    this.#in(this.server, 'ip', 'address', 'add', `${SERVER}/32`, 'dev', 'lo');
    for (const cable of [0, 1]) {
      this.#in(this.server, 'ip', 'link', 'add', `s${cable}`, 'type', 'veth', 'peer', 'name', `c${cable}`, 'netns', this.client);
      this.#in(this.server, 'ip', 'address', 'add', `10.77.${cable}.1/24`, 'dev', `s${cable}`);
      this.#in(this.server, 'ip', 'link', 'set', `s${cable}`, 'up');
      this.#in(this.client, 'ip', 'link', 'set', `c${cable}`, 'up');
    }
    this.plug(0);
    for (const space of [this.server, this.client]) {
      this.#rules(space, 'add table inet quilt', 'add chain inet quilt in { type filter hook input priority 0; }');
    }
  }

  // The client gets its address on this cable.
  plug(cable) {
    this.#in(this.client, 'ip', 'address', 'add', `10.77.${cable}.2/24`, 'dev', `c${cable}`);
    this.#in(this.client, 'ip', 'route', 'replace', 'default', 'via', `10.77.${cable}.1`);
  }

  // It loses that address, and nobody tells the connections that use it.
  unplug(cable) {
    this.#in(this.client, 'ip', 'address', 'flush', 'dev', `c${cable}`);
  }

  // Nothing gets from one side to the other any more, without a word to either; or nothing that
  // `what` describes.
  block(what = '') {
    for (const [space, iface] of [[this.server, 's'], [this.client, 'c']]) {
      this.#rules(space, `add rule inet quilt in iifname "${iface}*" ${what} drop`);
    }
  }

  unblock() {
    for (const space of [this.server, this.client]) this.#rules(space, 'flush chain inet quilt in');
  }

  // What the server sends on this cable gets through at no more than this rate (as tc writes it), or
  // waits for up to 300 ms, or is lost.
  narrow(cable, rate) {
    this.#in(this.server, 'tc', 'qdisc', 'replace', 'dev', `s${cable}`, 'root', 'tbf', 'rate', rate, 'burst', '6kb', 'latency', '300ms');
  }

  widen(cable) {
    this.#in(this.server, 'tc', 'qdisc', 'delete', 'dev', `s${cable}`, 'root');
  }

  remove() {
    for (const space of [this.server, this.client]) {
      try {
        ip('netns', 'delete', space);
      } catch {
        // It was not made.
      }
    }
  }

  // What `meetings` wants to know. Red is the client; all others are where the server is.
  world() {
    const port = (server) => new URL(server.url).port;
    const url = (colour, server) => `http://${colour === 'red' ? SERVER : '127.0.0.1'}:${port(server)}`;
    return {
      missing: this.missing,
      wrap: (command) => ['ip', 'netns', 'exec', this.server, ...command],
      url,
      browser: (colour, server, folder) => ({
        program: (program) => this.#starter(folder, colour === 'red' ? this.client : this.server, program),
        // Cameras are for secure pages only; this stands in for a certificate.
        args: [`--unsafely-treat-insecure-origin-as-secure=${url(colour, server)}`],
      }),
    };
  }

  // A program that starts `program` in a namespace: browsers are started by their path.
  #starter(folder, space, program) {
    const file = path.join(folder, `in-${space}`);
    fs.writeFileSync(file, `#!/bin/sh\nexec ip netns exec ${space} ${program} "$@"\n`, { mode: 0o755 });
    return file;
  }

  #in(space, ...command) {
    ip('netns', 'exec', space, ...command);
  }

  #rules(space, ...rules) {
    for (const rule of rules) this.#in(space, 'nft', rule);
  }
}

function ip(...args) {
  execFileSync('ip', args, { stdio: ['ignore', 'ignore', 'pipe'] });
}
