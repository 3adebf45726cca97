"""aiortc as a client: `with_aiortc.py send COLOUR URL` or `with_aiortc.py play URL`.

Tells what happens in lines of JSON, and leaves when its standard input ends."""

import asyncio
import fractions
import math
import struct
import sys
import time

from aiortc import MediaStreamTrack, RTCPeerConnection, RTCRtpSender, RTCSessionDescription
from aiortc.mediastreams import MediaStreamError
from av import AudioFrame, AudioResampler, VideoFrame

from senses import EYE, PEOPLE, RATE, levels, rgb, shares, tell
from session import Session

FPS = 15
SIZE = (640, 360)
# Samples of sound that are listened to at a time.
EAR = 4800


class Paced(MediaStreamTrack):
    """Something that is due so often a second."""

    rate = 1

    def __init__(self):
        super().__init__()
        self.began, self.count = None, 0

    async def turn(self):
        """Waits for its turn and says which it is."""
        now = time.monotonic()
        self.began = self.began or now
        self.count += 1
        await asyncio.sleep(max(0, self.began + self.count / self.rate - now))
        return self.count - 1


class Camera(Paced):
    """A colour, with a bar that walks."""

    kind, rate = "video", FPS

    def __init__(self, colour):
        super().__init__()
        self.row = bytes(rgb(colour)) * SIZE[0]

    async def recv(self):
        turn = await self.turn()
        picture = bytearray(self.row * SIZE[1])
        at = (SIZE[0] - 32) * (turn % FPS) // FPS * 3
        for y in range(SIZE[1] - 16, SIZE[1]):
            start = y * SIZE[0] * 3 + at
            picture[start : start + 96] = bytes([128]) * 96
        frame = VideoFrame(*SIZE, "rgb24")
        frame.planes[0].update(picture)
        frame = frame.reformat(format="yuv420p")
        frame.pts, frame.time_base = turn * 90000 // FPS, fractions.Fraction(1, 90000)
        return frame


class Microphone(Paced):
    """A tone at -14 dB of full scale."""

    kind, rate = "audio", 50

    def __init__(self, colour):
        super().__init__()
        self.hz = PEOPLE[colour][1]

    async def recv(self):
        turn = await self.turn()
        count = RATE // self.rate
        phase = lambda n: 2 * math.pi * self.hz * n / RATE
        samples = [round(6553 * math.sin(phase(n))) for n in range(turn * count, (turn + 1) * count)]
        frame = AudioFrame(format="s16", layout="mono", samples=count)
        frame.planes[0].update(struct.pack(f"<{count}h", *samples))
        frame.sample_rate, frame.pts, frame.time_base = RATE, turn * count, fractions.Fraction(1, RATE)
        return frame


async def watch(track, began):
    """Tells of pictures, the first one and two a second."""
    due = 0
    while True:
        frame = await track.recv()
        now = time.monotonic()
        if now >= due:
            due = now + 0.5
            small = frame.reformat(*EYE, format="rgb24")
            plane = small.planes[0]
            rows = bytes(plane)
            pixels = b"".join(
                rows[y * plane.line_size : y * plane.line_size + EYE[0] * 3] for y in range(EYE[1])
            )
            size = [frame.width, frame.height]
            tell("picture", after=round(now - began, 3), size=size, shares=shares(pixels))


async def hark(track):
    """Tells of sounds."""
    resampler = AudioResampler(format="s16", layout="mono", rate=RATE)
    samples, heard = [], 0
    while True:
        for frame in resampler.resample(await track.recv()):
            samples += struct.unpack(f"<{frame.samples}h", bytes(frame.planes[0])[: frame.samples * 2])
        if len(samples) >= EAR:
            heard += 1
            if heard % 5 == 0:
                tell("sound", levels=levels(samples[:EAR]))
            samples = []


async def ended(sense):
    try:
        await sense
    except MediaStreamError:
        tell("ended")


async def main(what, url, colour=None):
    peer = RTCPeerConnection()
    began = time.monotonic()
    senses = []

    @peer.on("track")
    def track(track):
        sense = watch(track, began) if track.kind == "video" else hark(track)
        senses.append(asyncio.ensure_future(ended(sense)))

    @peer.on("connectionstatechange")
    def state():
        tell("state", state=peer.connectionState)

    if what == "send":
        camera = peer.addTransceiver(Camera(colour), direction="sendonly")
        codecs = RTCRtpSender.getCapabilities("video").codecs
        camera.setCodecPreferences([one for one in codecs if one.mimeType in ("video/VP8", "video/rtx")])
        peer.addTransceiver(Microphone(colour), direction="sendonly")
    else:
        peer.addTransceiver("video", direction="recvonly")
        peer.addTransceiver("audio", direction="recvonly")
    await peer.setLocalDescription(await peer.createOffer())
    tell("asked", after=round(time.monotonic() - began, 3))
    session = await asyncio.to_thread(Session, url, peer.localDescription.sdp)
    await peer.setRemoteDescription(RTCSessionDescription(session.answer, "answer"))
    tell("answered", after=round(time.monotonic() - began, 3))
    await asyncio.to_thread(sys.stdin.read)
    await asyncio.to_thread(session.end)
    await peer.close()


asyncio.run(main(sys.argv[1], sys.argv[-1], sys.argv[2]))
