// Runs inside the page before its own scripts and gives the test eyes and ears there. It only
// looks at what the page shows and plays; the peer connections are noted for their statistics.

export function probe() {
  const peers = [];
  const Original = window.RTCPeerConnection;
  window.RTCPeerConnection = class extends Original {
    constructor(...args) {
      super(...args);
      peers.push(this);
      this.addEventListener('connectionstatechange', () => {
        if (this.connectionState === 'connected') window.probe.connectedAt ??= performance.now();
      });
    }
  };

  const mix = () => document.querySelector('video#mix');
  let ears;

  // Reads the picture at a quarter of its pixels: 640x360 of 1280x720.
  function picture(video) {
    const [width, height] = [video.videoWidth >> 1, video.videoHeight >> 1];
    const canvas = new OffscreenCanvas(width, height);
    const context = canvas.getContext('2d', { willReadFrequently: true });
    context.drawImage(video, 0, 0, width, height);
    return { width, height, data: context.getImageData(0, 0, width, height).data };
  }

  // The person whose hue is nearest and within 25 degrees, if the pixel is colourful at all and as bright as
  // their cameras are: an avatar may have anybody's hue, but is dark enough for white letters.
  function whose(hues, r, g, b, least) {
    const [max, min] = [Math.max(r, g, b), Math.min(r, g, b)];
    const span = max - min;
    if (max < least || span / max < 0.45) return undefined;
    const sector = max === r ? (g - b) / span : max === g ? 2 + (b - r) / span : 4 + (r - g) / span;
    const hue = (sector * 60 + 360) % 360;
    const apart = (other) => Math.min(Math.abs(hue - other), 360 - Math.abs(hue - other));
    let nearest;
    for (const one of hues) {
      if (apart(one[1]) < 25 && !(nearest && apart(nearest[1]) <= apart(one[1]))) nearest = one;
    }
    return nearest?.[0];
  }

  // The tiles of the page, with their boxes in fractions of the picture.
  function tilesOver(video) {
    const inside = content(video);
    return [...document.querySelectorAll('[data-testid="tile"]')].map((tile) => {
      const at = tile.getBoundingClientRect();
      const box = {
        x: (at.x - inside.x) / inside.width,
        y: (at.y - inside.y) / inside.height,
        width: at.width / inside.width,
        height: at.height / inside.height,
      };
      return { id: tile.dataset.id, name: tile.dataset.name, text: tile.textContent.trim(), box };
    });
  }

  // A box of fractions in whole pixels of the picture read.
  function pixels(seen, box) {
    return {
      left: Math.max(0, Math.round(box.x * seen.width)),
      top: Math.max(0, Math.round(box.y * seen.height)),
      right: Math.min(seen.width, Math.round((box.x + box.width) * seen.width)),
      bottom: Math.min(seen.height, Math.round((box.y + box.height) * seen.height)),
    };
  }

  // Where the picture lies inside the element, in the page's pixels (`object-fit: contain`).
  function content(video) {
    const box = video.getBoundingClientRect();
    const scale = Math.min(box.width / video.videoWidth, box.height / video.videoHeight);
    const [width, height] = [video.videoWidth * scale, video.videoHeight * scale];
    return { x: box.x + (box.width - width) / 2, y: box.y + (box.height - height) / 2, width, height };
  }

  // A box in fractions of the canvas, searched for colours and for white.
  function inspect(seen, hues, box, least = 205) {
    const { left, top, right, bottom } = pixels(seen, box);
    const count = {};
    const extent = {};
    const grow = (name, x, y) => {
      const e = (extent[name] ??= { left: x, right: x, top: y, bottom: y });
      e.left = Math.min(e.left, x);
      e.right = Math.max(e.right, x);
      e.top = Math.min(e.top, y);
      e.bottom = Math.max(e.bottom, y);
      count[name] = (count[name] ?? 0) + 1;
    };
    for (let y = top; y < bottom; y++) {
      for (let x = left; x < right; x++) {
        const at = (y * seen.width + x) * 4;
        const [r, g, b] = [seen.data[at], seen.data[at + 1], seen.data[at + 2]];
        const name = Math.min(r, g, b) > 190 ? 'white' : whose(hues, r, g, b, least);
        if (name) grow(name, x, y);
      }
    }
    const area = Math.max(1, (right - left) * (bottom - top)); // none of it may lie in the picture
    const share = Object.fromEntries(Object.entries(count).map(([name, n]) => [name, n / area]));
    // Extents in fractions of the canvas' *height*, so that shapes can be compared.
    const extents = Object.fromEntries(
      Object.entries(extent).map(([name, e]) => [
        name,
        {
          x: e.left / seen.height,
          y: e.top / seen.height,
          width: (e.right - e.left + 1) / seen.height,
          height: (e.bottom - e.top + 1) / seen.height,
        },
      ]),
    );
    return { share, extents };
  }

  // The tiles of those who do not come in one picture.
  const gallery = () => [...document.querySelectorAll('#gallery:not([hidden], .coming) > li')];
  const videoOf = (tile) => tile?.querySelector('video:not(.coming)');

  // What listens to what is heard.
  async function hark() {
    // What is on show: the mix, or a picture of each.
    const each = gallery().map(videoOf);
    const shown = (each.length ? each.filter((video) => video?.muted === false) : [mix()]).map((video) => video?.srcObject);
    const streams = shown.filter((stream) => stream?.getAudioTracks().length);
    if (!streams.length && !each.length) throw new Error('the mix has no audio track');
    if (!ears || ears.streams.length !== streams.length || streams.some((stream, n) => ears.streams[n] !== stream)) {
      await ears?.context.close();
      const context = new AudioContext({ sampleRate: 48000 });
      const analyser = new AnalyserNode(context, { fftSize: 16384, smoothingTimeConstant: 0 });
      for (const stream of streams) context.createMediaStreamSource(stream).connect(analyser);
      ears = { streams, context, analyser };
    }
    await ears.context.resume();
    return ears;
  }

  window.probe = {
    peers,

    look(hues) {
      const video = mix();
      if (!video?.videoWidth) return { width: 0, height: 0, share: {}, tiles: [] };
      const seen = picture(video);
      const tiles = tilesOver(video).map((tile) => {
        const { box } = tile;
        const middle = {
          x: box.x + box.width * 0.3,
          y: box.y + box.height * 0.3,
          width: box.width * 0.4,
          height: box.height * 0.4,
        };
        const { share, extents } = inspect(seen, hues, box);
        const shown = Object.entries(inspect(seen, hues, middle).share)
          .filter(([name, part]) => name !== 'white' && part > 0.4)
          .map(([name]) => name)[0];
        return { ...tile, shown, share, extents };
      });
      const { share } = inspect(seen, hues, { x: 0, y: 0, width: 1, height: 1 });
      return { width: video.videoWidth, height: video.videoHeight, share, tiles };
    },

    // Where pixels of this hue are in the whole picture, in the page's pixels; null without any.
    // Who is in the pictures that are on show one by one, and what colour each is.
    gallery(hues) {
      return gallery().map((tile) => {
        const video = videoOf(tile);
        if (!video?.videoWidth) return { name: tile.dataset.name };
        const { share } = inspect(picture(video), hues, { x: 0.3, y: 0.3, width: 0.4, height: 0.4 }, 180); // There are no avatars in here.
        const [shown] = Object.entries(share).filter(([name, part]) => name !== 'white' && part > 0.4).map(([name]) => name);
        return { name: tile.dataset.name, shown, off: tile.classList.contains('off') };
      });
    },

    // The track of somebody's picture where they come one by one.
    track(name) {
      const video = videoOf(gallery().find((tile) => tile.dataset.name === name));
      return video?.srcObject?.getVideoTracks()[0]?.id;
    },

    coloured(hue) {
      const video = mix();
      const seen = picture(video);
      const { extents } = inspect(seen, [['it', hue]], { x: 0, y: 0, width: 1, height: 1 });
      if (!extents.it) return null;
      const inside = content(video);
      const { x, y, width, height } = extents.it;
      const left = inside.x + x * inside.height;
      const top = inside.y + y * inside.height;
      return { left, top, right: left + width * inside.height, bottom: top + height * inside.height };
    },

    async motion() {
      const video = mix();
      const before = picture(video);
      await new Promise((resolve) => setTimeout(resolve, 500));
      const after = picture(video);
      const changed = ({ box }) => {
        const { left, top, right, bottom } = pixels(after, box);
        let count = 0;
        for (let y = top; y < bottom; y++) {
          for (let at = (y * after.width + left) * 4; at < (y * after.width + right) * 4; at += 4) {
            // Green carries most of the luma; coding noise stays below.
            if (Math.abs(before.data[at + 1] - after.data[at + 1]) > 16) count++;
          }
        }
        return count / ((right - left) * (bottom - top));
      };
      return Object.fromEntries(tilesOver(video).map((tile) => [tile.name, changed(tile)]));
    },

    // From now on notes the times (Date.now) at which the mix shows a new picture, and at which the
    // picture in the tile of this name has changed.
    watch(name) {
      const canvas = new OffscreenCanvas(96, 54);
      const context = canvas.getContext('2d', { willReadFrequently: true });
      const seen = { shown: [], changed: [] };
      let before;
      const look = () => {
        const video = mix();
        if (!video) return;
        video.requestVideoFrameCallback(look);
        seen.shown.push(Date.now());
        const tile = tilesOver(video).find((tile) => tile.name === name);
        if (!tile) return;
        const { x, y, width, height } = tile.box;
        const [w, h] = [video.videoWidth, video.videoHeight];
        context.drawImage(video, x * w, y * h, width * w, height * h, 0, 0, 96, 54);
        const { data } = context.getImageData(0, 0, 96, 54);
        // Green carries most of the luma; coding noise stays below.
        if (before?.some((green, n) => Math.abs(green - data[n * 4 + 1]) > 24)) seen.changed.push(Date.now());
        before = Array.from({ length: 96 * 54 }, (_, n) => data[n * 4 + 1]);
      };
      mix().requestVideoFrameCallback(look);
      window.probe.seen = seen;
    },

    // Resolves with the time (Date.now) at which the page no longer has a tile of this name.
    tileGone(name) {
      const there = () => document.querySelector(`[data-testid="tile"][data-name="${name}"]`);
      if (!there()) throw new Error(`there is no tile of ${name} to begin with`);
      return new Promise((resolve) => {
        const watch = new MutationObserver(() => {
          if (there()) return;
          watch.disconnect();
          resolve(Date.now());
        });
        watch.observe(document.body, { childList: true, subtree: true, attributes: true });
      });
    },

    async listen(tones) {
      const { context, analyser } = await hark();
      const bins = new Float32Array(analyser.frequencyBinCount);
      const hertz = context.sampleRate / analyser.fftSize;
      const power = Object.fromEntries(tones.map(([name]) => [name, 0]));
      // Whole windows that do not overlap, the first one thrown away: it may hold silence.
      const windows = 3;
      for (let n = 0; n <= windows; n++) {
        await new Promise((resolve) => setTimeout(resolve, (1000 * analyser.fftSize) / context.sampleRate));
        if (n === 0) continue;
        analyser.getFloatFrequencyData(bins);
        for (const [name, hz] of tones) {
          const at = Math.round(hz / hertz);
          const peak = Math.max(...bins.subarray(at - 2, at + 3));
          power[name] += 10 ** (peak / 10) / windows;
        }
      }
      // A digital silence would be minus infinity; nothing below -120 dB matters.
      return Object.fromEntries(
        Object.entries(power).map(([name, p]) => [name, Math.max(-120, 10 * Math.log10(p || 1e-20))]),
      );
    },

    async loudness() {
      const { context, analyser } = await hark();
      const samples = new Float32Array(analyser.fftSize);
      let peak = 0;
      for (let n = 0; n < 6; n++) {
        await new Promise((resolve) => setTimeout(resolve, (1000 * analyser.fftSize) / context.sampleRate));
        analyser.getFloatTimeDomainData(samples);
        for (const sample of samples) peak = Math.max(peak, Math.abs(sample));
      }
      return Math.max(-120, 20 * Math.log10(peak || 1e-20));
    },

    async stats() {
      const result = { video: [], audio: [], sent: {}, states: peers.map((p) => p.connectionState) };
      for (const peer of peers.filter((p) => p.connectionState !== 'closed')) {
        const report = await peer.getStats();
        for (const entry of report.values()) {
          const codec = report.get(entry.codecId)?.mimeType;
          if (entry.type === 'transport') {
            const pair = report.get(entry.selectedCandidatePairId);
            result.path = report.get(pair?.localCandidateId)?.protocol;
          }
          if (entry.type === 'inbound-rtp') {
            result[entry.kind].push({
              codec,
              framesDecoded: entry.framesDecoded,
              keyframes: entry.keyFramesDecoded,
              packetsReceived: entry.packetsReceived,
              bytesReceived: entry.bytesReceived,
              bytes: entry.bytesReceived,
              track: entry.trackIdentifier,
              freezeCount: entry.freezeCount,
              frozen: entry.totalFreezesDuration,
              width: entry.frameWidth,
              height: entry.frameHeight,
            });
          }
          if (entry.type === 'outbound-rtp') {
            // Of pictures that are sent in two sizes: both together, as large as the larger one.
            const { packets = 0, bytes = 0, width = 0, height = 0, ...before } = result.sent[entry.kind] ?? {};
            const larger = entry.active !== false && (entry.frameWidth ?? 0) > width;
            result.sent[entry.kind] = {
              codec: codec ?? before.codec,
              packets: packets + entry.packetsSent,
              bytes: bytes + entry.bytesSent,
              width: larger ? entry.frameWidth : width,
              height: larger ? entry.frameHeight : height,
              sizes: { ...before.sizes, [entry.rid ?? '']: { active: entry.active, bytes: entry.bytesSent, width: entry.frameWidth, limit: entry.qualityLimitationReason } },
            };
          }
        }
      }
      return result;
    },
  };

  // When the first picture of the mix was there, for the late joiner.
  const watch = new MutationObserver(() => {
    const video = mix();
    if (!video || video.dataset.probed) return;
    video.dataset.probed = 'yes';
    video.requestVideoFrameCallback((now) => {
      window.probe.firstPictureAt ??= now;
    });
  });
  watch.observe(document, { childList: true, subtree: true });
}
