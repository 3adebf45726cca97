// What the page decides without a browser: options, words, codecs, howling, statistics.
import assert from 'node:assert/strict';
import { test } from 'node:test';
import { described, digest, figures } from '../../web/admin.js';
import { ordered } from '../../web/connection.js';
import { Neighbours } from '../../web/howl.js';
import { backoff } from '../../web/meeting.js';
import { readOptions, roomOf } from '../../web/options.js';
import { whoIsIn } from '../../web/rooms.js';
import { judge } from '../../web/share.js';
import { computed } from '../../web/costs.js';
import { rate, sample, wire } from '../../web/stats.js';
import { browserOf, explain } from '../../web/trouble.js';

test('the address sets the options', () => {
  assert.deepEqual(readOptions(''), { name: '', join: false, audio: true, video: true, view: false, codec: null, processing: true, token: null, quality: null, downlink: null, topology: null, direct: null });
  assert.deepEqual(readOptions('?name=Ann%20B&join=1&video=0&audio=0&codec=VP8&processing=0&token=x.y'), {
    name: 'Ann B', join: true, audio: false, video: false, view: false, codec: 'vp8', processing: false, token: 'x.y', quality: null, downlink: null, topology: null, direct: null,
  });
  assert.equal(readOptions('?view=1').view, true);
  assert.equal(readOptions('?codec=av1').codec, null);
  assert.equal(readOptions('?quality=LOW').quality, 'low');
  assert.equal(readOptions('?quality=best').quality, null);
  const { downlink, topology, direct } = readOptions('?downlink=forwarded&topology=SFU&direct');
  assert.deepEqual([downlink, topology, direct], ['forwarded', 'sfu', true]);
  assert.deepEqual([readOptions('?direct=0').direct, readOptions('?downlink=direct').downlink], [false, null]);
});

test('the path names the room', () => {
  assert.equal(roomOf('/r/calm-otter-42'), 'calm-otter-42');
  assert.equal(roomOf('/r/a%20b'), 'a b');
  assert.equal(roomOf('/r/%E0%A4%A'), '%E0%A4%A');
  assert.equal(roomOf('/'), '');
});

test('the wanted codec leads, constrained baseline leads H.264, and none is left out', () => {
  const codecs = [
    { mimeType: 'video/VP8' }, { mimeType: 'video/rtx' }, { mimeType: 'video/VP9' },
    { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=64001f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=0;profile-level-id=42e01f' },
    { mimeType: 'video/H264', sdpFmtpLine: 'packetization-mode=1;profile-level-id=42e01f' },
    { mimeType: 'video/AV1' }, { mimeType: 'video/ulpfec' },
  ];
  const short = (list) => list.map(({ mimeType, sdpFmtpLine = '' }) => [mimeType.slice(6), /mode=(.)/.exec(sdpFmtpLine)?.[1], /id=(..)/.exec(sdpFmtpLine)?.[1]].filter(Boolean).join(' '));
  const others = ['rtx', 'VP9', 'AV1', 'ulpfec'];
  assert.deepEqual(short(ordered(codecs, 'h264')), ['H264 1 42', 'H264 1 64', 'H264 0 42', 'VP8', ...others]);
  assert.deepEqual(short(ordered(codecs, 'vp8')), ['VP8', 'H264 1 42', 'H264 1 64', 'H264 0 42', ...others]);
});

test('attempts come ever more seldom, but never more than 6.25 s apart', () => {
  assert.equal(backoff(0, 0.5), 500);
  assert.equal(backoff(3, 0.5), 4000);
  assert.equal(backoff(50, 1), 6_250);
});

test('every failure of a device has words, and two alike have one text', () => {
  const problem = (reason, message = '') => ({ reason, message });
  assert.deepEqual(explain({}), []);
  assert.match(explain({ video: problem('NotFoundError') })[0], /^No camera was found/);
  assert.match(explain({ audio: problem('NotReadableError') })[0], /microphone is busy/);
  assert.match(explain({ audio: problem('NotAllowedError', 'Permission denied by system') })[0], /system’s privacy settings/);
  assert.equal(explain({ audio: problem('NotAllowedError'), video: problem('NotAllowedError') }).length, 1);
  assert.match(explain({ audio: problem('NotFoundError'), video: problem('NotFoundError') })[0], /No camera and no microphone/);
  assert.equal(explain({ audio: problem('NotFoundError'), video: problem('NotAllowedError') }).length, 2);
  assert.match(explain({ video: problem('OddError') })[0], /OddError/);
});

test('a refused permission is explained in the words of the browser that refused it', () => {
  const agents = {
    chrome: 'Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36',
    edge: 'Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Safari/537.36 Edg/156.0.0.0',
    firefox: 'Mozilla/5.0 (X11; Linux x86_64; rv:153.0) Gecko/20100101 Firefox/153.0',
    safari: 'Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1.15',
    ios: 'Mozilla/5.0 (iPhone; CPU iPhone OS 26_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Mobile/15E148 Safari/604.1',
    android: 'Mozilla/5.0 (Linux; Android 16) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/156.0.0.0 Mobile Safari/537.36',
    other: '',
  };
  const texts = new Set();
  for (const [browser, agent] of Object.entries(agents)) {
    assert.equal(browserOf(agent), browser);
    texts.add(explain({ video: { reason: 'NotAllowedError', message: '' } }, agent)[0]);
  }
  assert.equal(texts.size, Object.keys(agents).length);
  assert.match(explain({ video: { reason: 'NotAllowedError', message: '' } }, agents.safari)[0], /Settings for This Website/);
});

test('windows howl when a microphone of one hears the loudspeaker of the other', () => {
  const here = new Neighbours('red');
  const word = { window: 'w2', room: 'red', mic: false, sound: true };
  const open = { mic: true, sound: true };
  assert.ok(!here.howls(open, 0), 'alone');
  here.hear({ ...word, room: 'blue' }, 0);
  assert.ok(!here.howls(open, 0), 'another room');
  here.hear(word, 0);
  assert.ok(here.howls(open, 1));
  assert.ok(!here.howls({ mic: false, sound: true }, 1), 'nobody has a microphone open');
  here.hear({ ...word, mic: true, sound: false }, 2);
  assert.ok(!here.howls({ mic: true, sound: false }, 3), 'nobody has a loudspeaker on');
  assert.ok(here.howls(open, 15_001), 'still fresh');
  assert.ok(!here.howls(open, 15_003), 'killed windows are forgotten');
  here.hear(word, 20_000);
  here.hear({ ...word, gone: true }, 20_001);
  assert.ok(!here.howls(open, 20_002), 'gone');
});

test('a room is described in a few words', () => {
  assert.equal(whoIsIn({ name: 'x', participants: 0, viewers: 2 }), 'no people; 2 watching');
  assert.equal(whoIsIn({ name: 'x', participants: 1, viewers: 0, names: ['Ann'] }), '1 person: Ann');
  assert.equal(whoIsIn({ name: 'x', participants: 3, viewers: 0, names: ['Ann', 'Bob', 'Eve'] }), '3 people: Ann, Bob and Eve');
  assert.equal(whoIsIn({ name: 'x', participants: 6, viewers: 1, names: ['A', 'B', 'C', 'D', 'E', 'F'] }), '6 people: A, B, C and 3 more; 1 watching');
});

test('rates and losses come out of two reports', () => {
  const report = (bytes, packets, lost) => [
    { id: 'C', type: 'codec', mimeType: 'video/H264' },
    { id: 'I', type: 'inbound-rtp', kind: 'video', codecId: 'C', bytesReceived: bytes, packetsReceived: packets, packetsLost: lost, framesPerSecond: 25, frameWidth: 1280, frameHeight: 720, freezeCount: 1 },
    { id: 'T', type: 'transport', selectedCandidatePairId: 'P' },
    { id: 'P', type: 'candidate-pair', currentRoundTripTime: 0.012, localCandidateId: 'L' },
    { id: 'L', type: 'local-candidate', protocol: 'udp' },
  ];
  const before = sample([['', report(1000, 100, 0)]], 0);
  const after = sample([['', report(376_000, 190, 10)]], 2000);
  assert.deepEqual(rate(before, after, 'received video'), { kbps: 1500, lossPercent: 10, streams: 1 });
  assert.deepEqual(rate(before, after, 'sent video'), { kbps: 0, lossPercent: 0, streams: 0 });
  const streams = new Map([[' I', { bytes: 376_000, packets: 190, lost: 10 }]]);
  assert.deepEqual(after.flows['received video'], { streams, fps: 25, size: '1280×720', codec: 'H264' });
  assert.deepEqual([after.roundTrip, after.path, after.freezes], [0.012, 'UDP', 1]);
  assert.deepEqual(wire(before, after), { up: 0, down: 1500 }, 'without a count of all there is media');
});

test('all connections count, whoever comes and goes, and what stands still does not', () => {
  const report = (bytes, trip, width = 640) => [
    { id: 'I', type: 'inbound-rtp', kind: 'video', bytesReceived: bytes, packetsReceived: bytes / 1000, framesPerSecond: width === 640 ? 25 : 0, frameWidth: width, frameHeight: 360, framesDecoded: 10 },
    { id: 'O', type: 'outbound-rtp', kind: 'video', bytesSent: bytes / 2, packetsSent: bytes / 1000 },
    { id: 'T', type: 'transport', selectedCandidatePairId: 'P', bytesSent: bytes, bytesReceived: bytes + 100 },
    { id: 'P', type: 'candidate-pair', currentRoundTripTime: trip },
  ];
  const before = sample([['', report(50_000, 0.01, 1280)], ['a', report(900_000, 0.02)], ['b', report(100_000, 0.02)]], 0);
  // The main connection rests, the large one went, another came.
  const after = sample([['', report(50_000, 0.01, 1280)], ['b', report(200_000, 0.04)], ['c', report(25_000, 0.02)]], 1000);
  assert.deepEqual(rate(before, after, 'received video'), { kbps: 1000, lossPercent: 0, streams: 2 });
  assert.deepEqual(rate(before, after, 'sent video'), { kbps: 500, lossPercent: 0, streams: 2 });
  const { up, down } = wire(before, after);
  assert.deepEqual([up, Math.round(down)], [1000, 1001]);
  assert.equal(after.flows['received video'].size, '640×360');
  assert.deepEqual([after.roundTrip, after.shown.decoded], [0.04, 30]);
  assert.deepEqual(wire(after, after), { up: 0, down: 0 });
});

test('in a mesh it is this page’s own streams from which it is computed what others would need', () => {
  const need = { uplinks: 1, downlinks: 3, client_kbps_up: null, client_kbps_down: null, server_kbps_in: null, server_kbps_out: null };
  const mcu = { ...need, topology: 'mcu', downlinks: 1, client_kbps_down: 1200, server_kbps_out: 4800 };
  const told = { topology: 'mesh', computed: [{ ...need, topology: 'sfu' }, mcu] };
  const mine = { up: 900, down: 800, streams: { up: 3, down: 3 } };
  const [sfu, mixed] = computed(told, mine);
  assert.deepEqual([sfu.client_kbps_up, sfu.client_kbps_down, sfu.server_kbps_in, sfu.server_kbps_out], [300, 900, 1200, 3600]);
  assert.deepEqual([mixed.client_kbps_up, mixed.client_kbps_down, mixed.server_kbps_in, mixed.server_kbps_out], [300, 1200, 1200, 4800]);
  assert.deepEqual(computed({ ...told, topology: 'sfu' }, mine), told.computed, 'elsewhere the server knows');
  assert.deepEqual(computed(told, { ...mine, streams: { up: 0, down: 3 } }), told.computed, 'nothing is sent');
});

test('what others miss is judged from how the page came and what is set', () => {
  const reach = { tls: false, local: true, rtc_local: false, rtc_port: 40000, public_ip: false, turn: false };
  const verdicts = (more, from) => Object.fromEntries(judge({ ...reach, ...more }, from).map(({ key, verdict }) => [key, verdict]));
  const home = { protocol: 'http:', hostname: '127.0.0.1' };
  assert.deepEqual(verdicts({}, home), { https: 'missing', listen: 'missing', media: 'fine', public: 'perhaps', turn: 'perhaps' });
  const proxied = { protocol: 'https:', hostname: 'meet.example' };
  assert.deepEqual(verdicts({}, proxied), { https: 'fine', listen: 'fine', media: 'fine', public: 'missing', turn: 'perhaps' });
  assert.deepEqual(verdicts({ tls: true, local: false, public_ip: true, turn: true, rtc_local: true }, proxied), { https: 'fine', listen: 'fine', media: 'missing', public: 'fine', turn: 'fine' });
});

test('the operator’s figures are what changed between two looks', () => {
  const before = figures('# HELP x y\nprocess_cpu_seconds_total 10\nquilt_mix_ticks_total 1000\nquilt_mix_late_ticks_total 5\n');
  const now = figures('process_cpu_seconds_total 11\nquilt_mix_ticks_total 1100\nquilt_mix_late_ticks_total 6\nquilt_encoders{kind="video"} 4\nprocess_resident_memory_bytes 2e8\n# EOF');
  assert.deepEqual(digest(now, before, 2), { cpuPercent: 50, megabytes: 200, encoders: 4, decoders: 0, listeners: 0, latePercent: 1 });
  assert.equal(digest(now, now, 0).cpuPercent, 0);
});

test('the operator is told who shares an encoder', () => {
  const all = [{ id: 'p1', name: 'Ann' }, { id: 'p2', name: 'Bob' }];
  const encoder = { codec: 'h264', size: { width: 1280, height: 720 }, layout: 'grid', without: null, people: ['p1', 'p2', 'p9'], outputs: 1 };
  assert.equal(described(encoder, all), 'H264 1280×720, grid: Ann, Bob, 1 watching and 1 recording or stream');
  assert.equal(described({ ...encoder, without: 'p1', people: ['p1'], outputs: 0 }, all), 'H264 1280×720, grid, without Ann: Ann');
});
