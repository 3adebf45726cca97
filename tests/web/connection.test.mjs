import assert from 'node:assert/strict';
import { test } from 'node:test';

import { settledOn } from '../../web/connection.js';

test('what video is sent in is what the answer has first', () => {
  const answer = [
    'v=0', 'm=audio 9 UDP/TLS/RTP/SAVPF 111', 'a=rtpmap:111 opus/48000/2',
    'm=video 9 UDP/TLS/RTP/SAVPF 96 102 103 97', 'a=rtpmap:102 H264/90000', 'a=rtpmap:96 VP8/90000', '',
  ].join('\r\n');
  assert.equal(settledOn(answer), 'vp8');
  assert.equal(settledOn(answer.replace('96 102', '102 96')), 'h264');
  assert.equal(settledOn(answer.replace('m=video', 'm=application')), '');
  assert.equal(settledOn(''), '');
});
