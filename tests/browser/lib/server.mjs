// A Quilt server of our own, on free ports of the loopback.

import { spawn } from 'node:child_process';
import fs from 'node:fs';
import path from 'node:path';
import readline from 'node:readline';
import { fileURLToPath } from 'node:url';

const top = fileURLToPath(new URL('../../..', import.meta.url));
export const program = path.resolve(top, process.env.CARGO_TARGET_DIR ?? 'target', 'release', 'quilt');

// Issue 2: "SIGTERM: clients are told, exit within 5 s".
const EXIT_WITHIN = 5_000;

// Starts the server and waits for the line that says where it listens. What it logs goes to
// `server.log` in `folder`. `wrap` makes a command of the program and its arguments.
export async function startServer(folder, args = [], wrap = (command) => command) {
  const log = path.join(folder, 'server.log');
  const env = Object.fromEntries(
    Object.entries(process.env).filter(([name]) => !name.startsWith('QUILT_')),
  );
  const [command, ...rest] = wrap([program, 'serve', ...listen(args), ...args]);
  const child = spawn(command, rest, { env, stdio: ['ignore', 'pipe', fs.openSync(log, 'a')] });
  const exited = new Promise((resolve) => {
    child.once('exit', (code, signal) => resolve({ code, signal }));
    child.once('error', (error) => resolve({ code: null, signal: null, error }));
  });
  const lines = readline.createInterface({ input: child.stdout });
  const first = new Promise((resolve) => lines.once('line', resolve));
  const line = await Promise.race([
    first,
    exited.then(({ code, signal, error }) => {
      throw new Error(
        `${program} ended before it listened (${error?.message ?? code ?? signal}):\n${fs.readFileSync(log, 'utf8')}`,
      );
    }),
  ]);
  const { http } = JSON.parse(line);
  return new Server(child, exited, http.startsWith('http') ? http : `http://${http}`, log);
}

// Free ports of the loopback, and room for every meeting and a mix for each however small and busy
// the machine is, unless something else is asked for.
function listen(args) {
  const usual = [['--listen', '127.0.0.1:0'], ['--rtc-listen', '127.0.0.1:0'], ['--cpu-budget', '64'], ['--mix', 'personal']];
  return usual.filter(([option]) => !args.includes(option)).flat();
}

class Server {
  constructor(child, exited, url, log) {
    this.child = child;
    this.exited = exited;
    this.url = url;
    this.log = log;
  }

  // One number from /metrics, by its name and labels as they stand there.
  async metric(name) {
    const text = await (await fetch(new URL('/metrics', this.url))).text();
    const line = text.split('\n').find((row) => row.startsWith(`${name} `));
    if (!line) throw new Error(`/metrics has no ${name}`);
    return Number(line.slice(name.length + 1));
  }

  // Asks the server to end and fails if it takes longer than promised or ends with an error.
  async stop() {
    this.child.kill('SIGTERM');
    let timer;
    const late = new Promise((resolve) => {
      timer = setTimeout(resolve, EXIT_WITHIN, 'late');
    });
    const end = await Promise.race([this.exited, late]);
    clearTimeout(timer);
    if (end === 'late') {
      this.child.kill('SIGKILL');
      throw new Error(`the server did not end within ${EXIT_WITHIN} ms of SIGTERM`);
    }
    if (end.code !== 0) throw new Error(`the server ended with ${end.code ?? end.signal}`);
  }
}
