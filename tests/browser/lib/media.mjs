// What the test participants show and say: a colour and a tone each, as files for Chromium's
// fake camera (YUV4MPEG2, I420) and fake microphone (WAV), which play them in a loop.

import { randomBytes } from 'node:crypto';
import fs from 'node:fs';
import path from 'node:path';

// Hues lie 60 degrees apart or more; no tone is a harmonic or a low-order mixture of others.
export const PEOPLE = {
  red: { hue: 0, hz: 430 },
  green: { hue: 120, hz: 1010 },
  blue: { hue: 240, hz: 2290 },
  yellow: { hue: 60, hz: 3370 },
};

export const LANDSCAPE = { width: 640, height: 360 };
export const PORTRAIT = { width: 360, height: 640 };

const FPS = 25;
const RATE = 48000;

// Writes the camera's file and returns its path. A flat colour with a white square of a quarter
// of the shorter side in the middle (it shows stretching) and a grey bar that walks along the
// bottom (so that encoders and freeze detectors see a camera, not a still). `grain` is noise in its
// brightness, up to so much, as of a camera at night: it fills whatever line there is.
export function camera(folder, colour, { width, height, grain = 0 } = LANDSCAPE) {
  const file = path.join(folder, `${colour}-${width}x${height}-${grain}.y4m`);
  if (fs.existsSync(file)) return file;
  const [y, u, v] = yuv(PEOPLE[colour].hue);
  const out = [Buffer.from(`YUV4MPEG2 W${width} H${height} F${FPS}:1 Ip A1:1 C420jpeg\n`)];
  const side = even(Math.min(width, height) / 4);
  const square = { x: even((width - side) / 2), y: even((height - side) / 2), w: side, h: side };
  for (let frame = 0; frame < FPS; frame++) {
    const planes = [
      Buffer.alloc(width * height, y),
      Buffer.alloc((width * height) / 4, u),
      Buffer.alloc((width * height) / 4, v),
    ];
    const bar = { x: even(((width - 32) * frame) / FPS), y: height - 16, w: 32, h: 16 };
    if (grain > 0) {
      const noise = randomBytes(width * height);
      for (let n = 0; n < noise.length; n++) planes[0][n] += ((noise[n] - 128) * grain) / 128;
    }
    paint(planes, width, square, 235);
    paint(planes, width, bar, 128);
    out.push(Buffer.from('FRAME\n'), ...planes);
  }
  fs.writeFileSync(file, Buffer.concat(out));
  return file;
}

// Writes the microphone's file and returns its path: one second of a sine at -14 dBFS. Whole
// hertz, so that the loop has no seam.
export function microphone(folder, colour) {
  const file = path.join(folder, `${colour}.wav`);
  if (fs.existsSync(file)) return file;
  const data = Buffer.alloc(RATE * 2);
  for (let n = 0; n < RATE; n++) {
    const sample = 0.2 * Math.sin((2 * Math.PI * PEOPLE[colour].hz * n) / RATE);
    data.writeInt16LE(Math.round(sample * 32767), n * 2);
  }
  const head = Buffer.alloc(44);
  head.write('RIFF', 0);
  head.writeUInt32LE(36 + data.length, 4);
  head.write('WAVEfmt ', 8);
  head.writeUInt32LE(16, 16);
  head.writeUInt16LE(1, 20); // PCM
  head.writeUInt16LE(1, 22); // mono
  head.writeUInt32LE(RATE, 24);
  head.writeUInt32LE(RATE * 2, 28);
  head.writeUInt16LE(2, 32);
  head.writeUInt16LE(16, 34);
  head.write('data', 36);
  head.writeUInt32LE(data.length, 40);
  fs.writeFileSync(file, Buffer.concat([head, data]));
  return file;
}

function even(value) {
  return Math.floor(value / 2) * 2;
}

function paint([luma, ...chroma], width, { x, y, w, h }, grey) {
  for (let row = y; row < y + h; row++) luma.fill(grey, row * width + x, row * width + x + w);
  for (const plane of chroma) {
    for (let row = y / 2; row < (y + h) / 2; row++) {
      plane.fill(128, (row * width) / 2 + x / 2, (row * width) / 2 + (x + w) / 2);
    }
  }
}

// A strong colour of this hue in limited-range BT.601, which is what a camera of this size has.
function yuv(hue) {
  const channel = (n) => {
    const k = (n + hue / 60) % 6;
    return 0.9 - 0.8 * Math.max(0, Math.min(k, 4 - k, 1));
  };
  const [r, g, b] = [channel(5), channel(3), channel(1)];
  return [
    16 + 65.48 * r + 128.55 * g + 24.97 * b,
    128 - 37.8 * r - 74.2 * g + 112 * b,
    128 + 112 * r - 93.79 * g - 18.21 * b,
  ].map(Math.round);
}
