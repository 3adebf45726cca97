"""GStreamer's webrtcbin as a client: `with_gstreamer.py send COLOUR URL` or `... play URL`.

The elements that speak WHIP and WHEP by themselves (whipclientsink, whepclientsrc) are of the
Rust plugins, which Debian 12 has not; they use this element. Tells what happens in lines of JSON,
and leaves when its standard input ends."""

import struct
import sys
import threading
import time

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

from senses import EYE, PEOPLE, RATE, levels, rgb, shares, tell  # noqa: E402
from session import Session, value  # noqa: E402

BIN = "webrtcbin name=peer bundle-policy=max-bundle "
SEND = """
    videotestsrc is-live=true pattern=solid-color foreground-color={argb}
    ! video/x-raw,width=640,height=360,framerate=15/1
    ! x264enc tune=zerolatency speed-preset=ultrafast bitrate=500 key-int-max=150
    ! video/x-h264,profile=constrained-baseline ! rtph264pay config-interval=-1 aggregate-mode=zero-latency
    ! application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000 ! queue ! peer.
    audiotestsrc is-live=true freq={hz} volume=0.2 ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay
    ! application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000 ! queue ! peer.
"""
VIDEO = (
    "application/x-rtp,media=video,encoding-name=H264,payload=96,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f,"
    "rtcp-fb-nack-pli=(boolean)true,rtcp-fb-nack=(boolean)true"
)
AUDIO = "application/x-rtp,media=audio,encoding-name=OPUS,payload=97,clock-rate=48000,encoding-params=(string)2"
EYES = (
    f"videoconvert ! videoscale ! video/x-raw,format=RGB,width={EYE[0]},height={EYE[1]} "
    "! appsink name=sink emit-signals=true max-buffers=1 drop=true sync=false"
)
EARS = (
    f"audioconvert ! audioresample ! audio/x-raw,format=S16LE,rate={RATE},channels=1 "
    "! appsink name=sink emit-signals=true sync=false"
)


class Client:
    """A pipeline, its connection and its session."""

    def __init__(self, what, url, colour):
        self.url, self.session, self.began, self.due = url, None, time.monotonic(), 0
        self.samples, self.heard = [], 0
        if what == "send":
            (_, hz), (r, g, b) = PEOPLE[colour], rgb(colour)
            argb = 0xFF000000 | r << 16 | g << 8 | b
            self.pipeline = Gst.parse_launch(BIN + SEND.format(argb=argb, hz=hz))
        else:
            self.pipeline = Gst.Pipeline.new()
            self.pipeline.add(Gst.parse_launch(BIN.replace("name=peer ", "name=peer latency=40 ")))
        self.peer = self.pipeline.get_by_name("peer")
        self.peer.connect("notify::ice-gathering-state", lambda *_: self.gathered())
        self.peer.connect("notify::connection-state", lambda *_: self.state())
        self.peer.connect("pad-added", lambda _, pad: self.decode(pad))
        way = GstWebRTC.WebRTCRTPTransceiverDirection
        if what == "send":
            # When it is known what there is to be sent.
            self.peer.connect("on-negotiation-needed", lambda _: self.offer())
            for n in range(2):
                self.peer.emit("get-transceiver", n).set_property("direction", way.SENDONLY)
        self.pipeline.set_state(Gst.State.PLAYING)
        if what == "play":
            for caps in (VIDEO, AUDIO):
                self.peer.emit("add-transceiver", way.RECVONLY, Gst.Caps.from_string(caps))
            self.offer()

    def offer(self):
        """Makes the offer; it is sent when all candidates are in it."""

        def made(promise):
            # What is in a reply lives as long as the reply does.
            reply = promise.get_reply()
            self.peer.emit("set-local-description", reply.get_value("offer"), None)

        self.peer.emit("create-offer", None, Gst.Promise.new_with_change_func(made))

    def gathered(self):
        """Sends the offer and takes the answer."""
        if self.peer.get_property("ice-gathering-state") != GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            return
        threading.Thread(target=self.negotiate).start()

    def negotiate(self):
        offer = self.peer.get_property("local-description").sdp.as_text()
        tell("asked", after=round(time.monotonic() - self.began, 3))
        self.session = Session(self.url, offer)
        _, answer = GstSdp.SDPMessage.new_from_text(self.session.answer)
        answer = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, answer)
        self.peer.emit("set-remote-description", answer, None)
        tell("answered", after=round(time.monotonic() - self.began, 3))
        candidates = [line[2:] for line in offer.splitlines() if line.startswith("a=candidate:")]
        self.session.trickle(candidates, value(offer, "ice-ufrag"), value(offer, "ice-pwd"))

    def state(self):
        state = self.peer.get_property("connection-state").value_nick
        tell("state", state=state, after=round(time.monotonic() - self.began, 3))

    def decode(self, pad):
        """Looks at, or listens to, what comes in."""
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        video = "video" in pad.get_current_caps().to_string()
        chain = "rtph264depay ! avdec_h264" if video else "rtpopusdepay ! opusdec plc=true"
        part = Gst.parse_bin_from_description(f"queue ! {chain} ! {EYES if video else EARS}", True)
        sink = part.get_by_name("sink")
        sink.connect("new-sample", self.see if video else self.hear)
        self.pipeline.add(part)
        part.sync_state_with_parent()
        pad.link(part.get_static_pad("sink"))

    def see(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        now = time.monotonic()
        if now >= self.due:
            self.due = now + 0.5
            pixels = buffer.extract_dup(0, buffer.get_size())
            tell("picture", after=round(now - self.began, 3), shares=shares(pixels))
        return Gst.FlowReturn.OK

    def hear(self, sink):
        buffer = sink.emit("pull-sample").get_buffer()
        data = buffer.extract_dup(0, buffer.get_size())
        self.samples += struct.unpack(f"<{len(data) // 2}h", data)
        if len(self.samples) >= 4800:
            self.heard += 1
            if self.heard % 5 == 0:
                tell("sound", levels=levels(self.samples[:4800]))
            self.samples = []
        return Gst.FlowReturn.OK


Gst.init(None)
client = Client(sys.argv[1], sys.argv[-1], sys.argv[2])
loop = GLib.MainLoop()


def failed(_, message):
    error, debug = message.parse_error()
    print(error, debug, file=sys.stderr)
    loop.quit()


bus = client.pipeline.get_bus()
bus.add_signal_watch()
bus.connect("message::error", failed)


def until_told():
    sys.stdin.read()
    loop.quit()


threading.Thread(target=until_told, daemon=True).start()
loop.run()
if client.session:
    client.session.end()
client.pipeline.set_state(Gst.State.NULL)
