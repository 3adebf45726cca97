// Programs of others send into a room by WHIP and watch it by WHEP: aiortc, GStreamer's
// webrtcbin, and a page with none of our code. Everybody looks and listens.

import { spawn } from 'node:child_process';
import readline from 'node:readline';
import assert from 'node:assert/strict';
import { fileURLToPath } from 'node:url';

import { meetings } from '../browser/lib/meeting.mjs';
import { PEOPLE } from '../browser/lib/media.mjs';
import { until } from '../browser/lib/wait.mjs';

const folder = fileURLToPath(new URL('.', import.meta.url));
// From the request to the first picture, seconds. (Before it a client gathers its candidates:
// libnice waits .2 s for a router that maps ports.)
const FIRST_PICTURE = 1.5;
// What a machine that is busy with all of them may add.
const BUSY = 1.5;

// A program of this folder, and what it says.
class Program {
  constructor(script, ...args) {
    this.name = `${script} ${args[0]}`;
    this.said = [];
    this.child = spawn(`${folder}.venv/bin/python`, [`${folder}${script}.py`, ...args], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    readline.createInterface({ input: this.child.stdout }).on('line', (line) => this.said.push(JSON.parse(line)));
    this.complaints = '';
    this.child.stderr.on('data', (data) => { this.complaints += data; });
    this.exited = new Promise((resolve) => this.child.once('exit', resolve));
  }

  // The newest it said of a kind.
  last(event) {
    return this.said.findLast((one) => one.event === event);
  }

  first(event) {
    return this.said.find((one) => one.event === event);
  }

  // Waits for the newest of a kind to be as wished.
  async says(event, wish, within = 20_000) {
    await until(`${this.name} says a fitting ${event}`, () => {
      if (this.child.exitCode !== null) assert.fail(`it has ended: ${this.complaints}`);
      assert.ok(this.last(event), `no ${event}; ${this.complaints}`);
      wish(this.last(event));
    }, within);
  }

  // Says goodbye.
  async leave() {
    this.child.stdin.end();
    const timer = setTimeout(() => this.child.kill('SIGKILL'), 10_000);
    const code = await this.exited;
    clearTimeout(timer);
    assert.equal(code, 0, `${this.name}: ${this.complaints}`);
  }

  kill() {
    this.child.kill('SIGKILL');
  }
}

// Fails unless each of `people` is seen at least this much, and nobody else.
function sees(share, people) {
  for (const name of Object.keys(PEOPLE)) {
    const seen = share[name] ?? 0;
    assert.ok(people.includes(name) ? seen > 0.1 : seen < 0.01, `${name}: ${JSON.stringify(share)}`);
  }
}

// Fails unless each of `people` is heard, and nobody else.
function hears(level, people) {
  for (const name of Object.keys(PEOPLE)) {
    assert.ok(people.includes(name) ? level[name] > -50 : level[name] < -60, `${name}: ${JSON.stringify(level)}`);
  }
}

// The whole of a WHEP player, for a page.
async function play(endpoint) {
  const began = performance.now();
  const peer = new RTCPeerConnection();
  const stream = new MediaStream();
  peer.ontrack = ({ track }) => stream.addTrack(track);
  for (const kind of ['video', 'audio']) peer.addTransceiver(kind, { direction: 'recvonly' });
  await peer.setLocalDescription();
  const headers = { 'Content-Type': 'application/sdp' };
  const response = await fetch(endpoint, { method: 'POST', headers, body: peer.localDescription.sdp });
  if (response.status !== 201) throw new Error(`${response.status} ${await response.text()}`);
  window.session = response.headers.get('Location');
  const video = document.createElement('video');
  Object.assign(video, { id: 'mix', autoplay: true, srcObject: stream });
  document.body.append(video);
  const first = new Promise((resolve) => video.requestVideoFrameCallback(resolve));
  await peer.setRemoteDescription({ type: 'answer', sdp: await response.text() });
  await first;
  return (performance.now() - began) / 1000;
}

// Media at all addresses, as by default: libnice ties its UDP sockets to an interface
// (IP_UNICAST_IF), and from one that is not the loopback nothing arrives at 127.0.0.1. Its ICE would
// try that in vain for two seconds before it settles on TCP.
const meeting = meetings('clients', ['--rtc-listen', '0.0.0.0:0']);

meeting('who sends by WHIP is seen and heard by whoever watches by WHEP', async (room) => {
  const [whip, whep] = ['whip', 'whep'].map((way) => `${room.url()}/${way}/${room.name}`);
  const programs = [];
  const start = (...args) => {
    programs.push(new Program(...args));
    return programs.at(-1);
  };
  try {
    // VP8 from one, H.264 from the other.
    const red = start('with_aiortc', 'send', 'red', `${whip}?name=Red`);
    const green = start('with_gstreamer', 'send', 'green', `${whip}?name=Green`);
    for (const one of [red, green]) await one.says('state', ({ state }) => assert.equal(state, 'connected'));

    const players = [start('with_aiortc', 'play', whep), start('with_gstreamer', 'play', whep)];
    for (const player of players) {
      await player.says('picture', ({ shares }) => sees(shares, ['red', 'green']));
      await player.says('sound', (said) => hears(said.levels, ['red', 'green']));
      const [asked, pictured] = ['asked', 'picture'].map((event) => player.first(event).after);
      const after = pictured - asked;
      console.log(`${player.name}: asked after ${asked} s, first picture ${after.toFixed(3)} s later`);
      assert.ok(after < FIRST_PICTURE + BUSY, `${after}`);
    }

    // Any page of the server will do: nothing on it is used.
    const blue = await room.visit('blue', '/healthz');
    const after = await blue.page.evaluate(play, `/whep/${room.name}`);
    console.log(`a page: first picture after ${after} s`);
    assert.ok(after < FIRST_PICTURE + BUSY);
    await until('the page sees both', async () => sees((await blue.look()).share, ['red', 'green']));
    await until('the page hears both', async () => hears(await blue.listen(), ['red', 'green']));

    // All three watch one picture, and who sends is mixed for nobody else.
    await until('there is one encoder', async () => assert.equal(await room.server.metric('quilt_encoders{kind="video"}'), 1));
    assert.equal(await room.server.metric('quilt_listeners'), 3);
    assert.equal(await room.server.metric('quilt_participants'), 2);

    await green.leave();
    for (const player of players) {
      await player.says('picture', ({ shares }) => sees(shares, ['red']));
      await player.says('sound', (said) => hears(said.levels, ['red']));
    }
    for (const one of [red, ...players]) await one.leave();
    const gone = await blue.page.evaluate(() => fetch(window.session, { method: 'DELETE' }).then((r) => r.status));
    assert.equal(gone, 200);
    await until('all have gone', async () => (await room.server.metric('quilt_rooms')) === 0);
  } catch (error) {
    for (const { name, said, complaints } of programs) {
      error.message += `\n${name}: ${JSON.stringify(said.slice(-3))} ${complaints}`;
    }
    throw error;
  } finally {
    for (const program of programs) program.kill();
  }
});
