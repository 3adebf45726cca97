//! The messages of the WebSocket at `/api/rooms/{room}/ws`, and their whole protocol.
//!
//! Every message is one JSON object in one text frame of at most [`MAX_FRAME`] bytes. A client
//! sends *commands*, each with a number of its choice in `id`; every command is answered by
//! exactly one `ack` or one `error` with that `id`. Unknown types, unknown fields and duplicate
//! keys are refused. In between the server sends *notices*, which carry no `id`.
//!
//! **The client offers, the server answers** (RFC 8829 terms). The browser knows its devices and
//! codecs, the same code then serves WHIP and WHEP (which are client-offers by definition), and
//! there is never glare: a mixed downlink needs no new m-line when people come and go, so the
//! server never has a reason to offer. An ICE restart or a changed device is just another `offer`.
//!
//! A conversation: `join` (once; a second one is an error), `offer` (again for renegotiation and
//! ICE restart), `candidate` (trickle, optional), `media` when a device is muted or unmuted, `view`
//! and `quality` when somebody wishes to see something else, `share` when the track becomes a
//! screen or the camera again, `leave`. `take` and
//! `drop` where somebody's uplink is wanted as it is, and `sizes` for how large those are shown. In
//! between `chat`, `react`, `hand`, and for hosts
//! `moderate`, `configure` and `record`: what the server makes of a host's word (nobody hears whom
//! they muted) holds whatever the page of the
//! other one does. The socket's end is a leave. The server pings every 5 s (WebSocket ping frames)
//! and takes 20 s without any frame for a leave.
//!
//! Where a host has newcomers wait, `join` is acknowledged with `waiting` and nothing else is told or
//! taken; an `admitted` says that another `join` will succeed now.
//!
//! A client whose network went away or changed opens another socket and says `resume` there, with
//! the key of its session: it has its place back, media goes on, nobody else notices. A `ping`
//! tells whether a socket still reaches the server; browsers do not show the frames of that name.
//!
//! Where a proxy refuses the WebSocket, the same messages go by HTTP: `POST /api/rooms/{room}/sessions`
//! opens a session and answers its address, whose `/events` are what the server says, as server-sent
//! events, and to whose `/messages` commands are posted, one a line. An event named `ping` stands for
//! the ping frame, any command is a sign of life, and whoever follows no events for 5 s has left.
//!
//! A client may offer a data channel named `talk`, ordered and reliable. What it says there is answered
//! there, under the same rules as on the socket, in messages of at most 16 KiB; chat goes by it in both
//! directions while it is open, and by the socket while it is not.
//!
//! After an `error` the socket stays open unless `closes` is true; then the close frame follows.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::id::{DisplayName, ParticipantId, RoomName, SessionKey};
use crate::media::{
    Because, Downlink, Layout, Quality, Tier, Topology, TopologyPolicy, VideoCodec,
};
use crate::strict_json;

/// Largest text frame either side sends, bytes. An SDP offer of a browser has 5-10 KB.
pub const MAX_FRAME: usize = 64 * 1024;

/// A command with its number. [`read`] is the way in: it is stricter than `Deserialize`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Request {
    /// Chosen by the client, repeated in the answer.
    pub id: u32,
    /// What is asked.
    #[serde(flatten)]
    pub command: Command,
}

/// What a client may ask.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase", deny_unknown_fields)]
pub enum Command {
    /// Enter the room. Acknowledged with [`Joined`].
    Join {
        /// Required unless `view`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        name: Option<DisplayName>,
        /// Only watch and listen; not in the list of people.
        #[serde(default)]
        view: bool,
        /// Preferred downlink codec; H.264 where the offer has it, else VP8, by default.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        codec: Option<VideoCodec>,
        /// Room token, where the server wants one.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        token: Option<String>,
        /// Whether the microphone starts unmuted.
        #[serde(default = "yes")]
        audio: bool,
        /// Whether the camera starts on.
        #[serde(default = "yes")]
        video: bool,
        /// The screen is taller than wide: send a portrait mix.
        #[serde(default)]
        portrait: bool,
        /// Who this is across lost connections and reloads: the same key takes the place of the
        /// connection that still has it, and what a host decided about it holds again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        session: Option<SessionKey>,
        /// The client can lay its own camera over its own tile (the tile map says where), so a
        /// mix that shows it is no harm.
        #[serde(default)]
        overlay: bool,
        /// It agrees that media goes from person to person where the room is a mesh: the others
        /// learn its addresses.
        #[serde(default)]
        direct: bool,
        /// See `quality`.
        #[serde(default)]
        quality: Quality,
    },
    /// Take one's place over from a socket that does not work any more, which is closed.
    /// Acknowledged with [`Joined`]; what may have been missed (people, tiles, chat) is sent again.
    Resume {
        /// What was joined with.
        session: SessionKey,
    },
    /// An SDP offer. Acknowledged with [`Answered`].
    Offer {
        /// RFC 8866 text.
        sdp: String,
    },
    /// A trickled ICE candidate (RFC 8838); an empty string ends them.
    Candidate {
        /// `candidate:…` as in RFC 8839.
        candidate: String,
        /// Which m-line it belongs to.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        mid: Option<String>,
    },
    /// Microphone and camera as the user set them.
    Media {
        /// Unmuted.
        audio: bool,
        /// Camera on.
        video: bool,
    },
    /// Writes something; it comes back as [`Message::Chat`].
    Chat {
        /// 1-2000 characters after trimming; of control characters only line ends and tabs.
        text: String,
        /// Only for them; for everybody without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<ParticipantId>,
    },
    /// Announces a file that is to be brought to the address that the acknowledgement carries, by
    /// PUT; then it comes back as a [`Message::Chat`], and those present may fetch it for ten minutes.
    File {
        /// What it is called; nothing but a name is left of it.
        name: String,
        /// Bytes, at most ten million.
        size: u64,
        /// Only for them; for everybody without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to: Option<ParticipantId>,
    },
    /// Shows a reaction to everybody.
    React {
        /// Which.
        reaction: Reaction,
    },
    /// Raises or lowers the own hand.
    Hand {
        /// Up.
        raised: bool,
    },
    /// A host's word.
    Moderate {
        /// What is to be.
        act: Act,
        /// About whom; everybody, or the room, without.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        who: Option<ParticipantId>,
    },
    /// How a host wishes the room to be. What is absent stays as it was.
    Configure {
        /// How mixes are arranged for who wishes nothing else.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        layout: Option<Layout>,
        /// Tiles at most, 1 to 49.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        stage_size: Option<usize>,
        /// Which way media goes.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        topology: Option<TopologyPolicy>,
    },
    /// Nothing but an acknowledgement is wanted; needs no `join`.
    Ping {},
    /// What this client wishes to see. What is absent stays as it was.
    View {
        /// How the mix is arranged where it is this client's alone. `Some(None)`, `null` in
        /// JSON: as the room's are.
        #[serde(
            default,
            deserialize_with = "given",
            skip_serializing_if = "Option::is_none"
        )]
        layout: Option<Option<Layout>>,
        /// See `join`. False while the page cannot, as in picture-in-picture.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        overlay: Option<bool>,
        /// See `join`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        portrait: Option<bool>,
        /// What this client gets of others; `mixed` to begin with.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        downlink: Option<Downlink>,
        /// See `join`.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        direct: Option<bool>,
    },
    /// Take what somebody sends as it is, by a connection of its own: an SDP offer to receive it.
    /// Again for the same person: another connection in its place. Acknowledged with [`Answered`].
    Take {
        /// Whose.
        from: ParticipantId,
        /// RFC 8866 text.
        sdp: String,
    },
    /// Do so no longer.
    Drop {
        /// Whose.
        from: ParticipantId,
    },
    /// How large those are shown who are taken as they are. Who is absent is shown as before; of whom
    /// nothing was ever said, the largest picture that there is comes.
    Sizes {
        /// Lines on the screen, by whose picture it is; 0: it is not on show.
        lines: BTreeMap<ParticipantId, u32>,
    },
    /// Bring this to somebody's page, to arrange a connection without the server; both have to
    /// agree to that, and the room to be a mesh.
    Relay {
        /// Whose.
        to: ParticipantId,
        /// What is to be brought.
        signal: Signal,
    },
    /// The most that this client wishes to get. With less, its picture is smaller and shows fewer
    /// people; with `audio` there is none. A line that carries less than was chosen gets less.
    Quality {
        /// What is chosen.
        quality: Quality,
    },
    /// What the video track carries from now on. A screen is a picture of its own, beside the
    /// sender's tile: shown before cameras and never cropped.
    Share {
        /// A screen instead of the camera.
        on: bool,
    },
    /// How loud somebody is to be for this client alone, which then has a sum of its own.
    Volume {
        /// Whom.
        who: ParticipantId,
        /// 0 to 2; 1 is as everybody hears them.
        gain: f32,
    },
    /// Begin to record the room, or end that; hosts only. Everybody is told by
    /// [`Message::Recording`].
    Record {
        /// Begin; harmless where it is recorded already.
        on: bool,
    },
    /// Say goodbye. The socket closes after the acknowledgement.
    Leave {},
}

/// A field that is there, be it `null`.
fn given<'de, D, T>(field: D) -> Result<Option<T>, D::Error>
where
    D: serde::Deserializer<'de>,
    T: Deserialize<'de>,
{
    T::deserialize(field).map(Some)
}

fn mcu() -> Topology {
    Topology::Mcu
}

fn yes() -> bool {
    true
}

/// Something shown for a moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Reaction {
    /// Thumbs up.
    Thumbs,
    /// Applause.
    Clap,
    /// A heart.
    Heart,
    /// Laughing.
    Laugh,
    /// Astonished.
    Wow,
    /// Celebrating.
    Party,
}

/// What a host can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Act {
    /// They are not heard until a host lets them; without `who`: everybody but hosts, those who
    /// come later too.
    Mute,
    /// They may speak again, once they turn their microphone on.
    Unmute,
    /// Lower a hand, or all.
    Lower,
    /// Make them a host.
    Host,
    /// Keep them on stage whether they speak or not.
    Pin,
    /// Do so no longer.
    Unpin,
    /// They must go, and their session does not come in again. Hosts cannot be removed.
    Remove,
    /// Nobody comes in who was not there before.
    Lock,
    /// Everybody comes in again.
    Unlock,
    /// Whoever was not here before waits until a host lets them in.
    Hold,
    /// Everybody comes in by themselves again, those who wait too.
    Unhold,
    /// Let somebody in who waits, or all.
    Admit,
    /// Do not let somebody in who waits, or nobody; their session is not asked for again.
    Refuse,
    /// The meeting is over for everybody.
    End,
}

/// What the server sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum Message {
    /// The command with this number was carried out.
    Ack {
        /// The command's number.
        id: u32,
        /// What it yields, if anything.
        #[serde(flatten)]
        result: AckResult,
    },
    /// Something was refused.
    Error {
        /// The command's number; none when the frame could not be read that far.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        id: Option<u32>,
        /// For programs.
        code: ErrorCode,
        /// For people: names what is wrong.
        text: String,
        /// The socket closes after this.
        closes: bool,
    },
    /// Who is in the room, sent whole after every change (without viewers).
    People {
        /// Everybody, in the order they came.
        people: Vec<Person>,
        /// How many only watch.
        viewers: usize,
        /// Nobody else comes in.
        #[serde(default)]
        locked: bool,
        /// Newcomers wait for a host.
        #[serde(default)]
        held: bool,
        /// How mixes are arranged for who wishes nothing else.
        #[serde(default)]
        layout: Layout,
        /// Tiles at most.
        #[serde(default)]
        stage_size: usize,
        /// Which way media goes at present.
        #[serde(default = "mcu")]
        topology: Topology,
    },
    /// Somebody's page has this to say, to arrange a connection without the server.
    Relay {
        /// Whose.
        from: ParticipantId,
        /// What was brought.
        signal: Signal,
    },
    /// Who waits to be let in; told to hosts, whole after every change.
    Waiting {
        /// In the order they came.
        waiting: Vec<Knocking>,
    },
    /// The wait is over: `join` again.
    Admitted {},
    /// Somebody wrote something. Newcomers get what was written to everybody before.
    Chat(ChatLine),
    /// Somebody shows a reaction.
    Reaction {
        /// Who.
        from: ParticipantId,
        /// Which.
        reaction: Reaction,
    },
    /// Who is where in the mix this client receives.
    Tiles(TileMap),
    /// How much of its video the client is to send from now on.
    Uplink(Uplink),
    /// What this client gets from now on: said once it is connected, and when that changes.
    Tier {
        /// The tier.
        tier: Tier,
        /// What was chosen.
        quality: Quality,
        /// Why it is this tier.
        because: Because,
        /// Bits a second of its picture, without the network's own.
        bitrate: u32,
    },
    /// Who is speaking now, by decoded energy; sent when it changes.
    Speaking {
        /// Those speaking, loudest first.
        speaking: Vec<ParticipantId>,
    },
    /// Whose connection is not good; sent when that changes.
    Links {
        /// All others' are good.
        links: BTreeMap<ParticipantId, LinkQuality>,
    },
    /// Whether the room is being recorded: sent when that changes, and to those who come or resume
    /// before their media flows.
    Recording {
        /// It is.
        on: bool,
        /// Since when, by the server's clock, in milliseconds since 1970.
        since: Option<u64>,
    },
    /// Keyframe, rate or codec trouble that the page can show; the meeting goes on.
    Notice {
        /// For programs.
        code: NoticeCode,
        /// For people.
        text: String,
    },
    /// The server ends this client's stay. The close frame follows.
    Bye {
        /// Why.
        reason: ByeReason,
    },
}

/// What two pages say to each other to meet without the server (RFC 8829). The server does not look
/// into it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "lowercase", deny_unknown_fields)]
pub enum Signal {
    /// A session description that asks.
    Offer {
        /// Another number for each offer to the same page. Whatever else is said of the connection
        /// carries it, and what is said of another one is not for this one.
        #[serde(default)]
        introduction: u32,
        /// RFC 8866 text.
        sdp: String,
    },
    /// A session description that answers.
    Answer {
        /// Of the offer.
        #[serde(default)]
        introduction: u32,
        /// RFC 8866 text.
        sdp: String,
    },
    /// An ICE candidate (RFC 8839); an empty string ends them.
    Candidate {
        /// Of the offer.
        #[serde(default)]
        introduction: u32,
        /// `candidate:…`.
        candidate: String,
        /// Which m-line it belongs to.
        mid: String,
    },
    /// An offer is missed: one that came before is not held any more, and nothing comes of its
    /// connection.
    Again {},
}

/// How good a connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LinkQuality {
    /// Nothing is missed.
    Good,
    /// Now and then something is.
    Fair,
    /// Sound breaks up, the picture freezes.
    Poor,
}

/// What an acknowledgement carries.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum AckResult {
    /// Of `join`.
    Joined(Joined),
    /// Of `offer`.
    Answered(Answered),
    /// Of `file`.
    Expected {
        /// Where to bring it.
        upload: String,
    },
    /// Of `join`, where newcomers wait: until [`Message::Admitted`] or [`Message::Bye`].
    Waiting {
        /// True.
        waiting: bool,
    },
    /// Of everything else.
    Done {},
}

/// Result of `join` and `resume`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joined {
    /// Who this client is from now on.
    pub participant: ParticipantId,
    /// Which room.
    pub room: RoomName,
    /// Everybody in it, this client too.
    pub people: Vec<Person>,
    /// STUN and TURN servers, as `RTCConfiguration.iceServers`.
    #[serde(rename = "iceServers")]
    pub ice_servers: Vec<IceServer>,
    /// Here STUN Binding requests are answered (RFC 8489), for pages that meet without the server.
    #[serde(default)]
    pub stun_port: u16,
}

/// Result of `offer`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Answered {
    /// The answer.
    pub sdp: String,
}

/// One entry of `RTCConfiguration.iceServers`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct IceServer {
    /// `stun:…` or `turn:…`.
    pub urls: String,
    /// TURN user.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// TURN password.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub credential: Option<String>,
}

/// One line of the list of people.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Person {
    /// Unique in the server.
    pub id: ParticipantId,
    /// Not unique; the page tells namesakes apart.
    pub name: DisplayName,
    /// Microphone on.
    pub audio: bool,
    /// Camera on.
    pub video: bool,
    /// May moderate.
    #[serde(default)]
    pub host: bool,
    /// Muted by a host: nobody hears them, whatever they send.
    #[serde(default)]
    pub silenced: bool,
    /// Their hand is up: its place in the order, from 1.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hand: Option<u32>,
    /// Kept on stage by a host.
    #[serde(default)]
    pub pinned: bool,
    /// Shows their screen.
    #[serde(default)]
    pub sharing: bool,
}

/// Somebody who waits to be let in.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Knocking {
    /// What `moderate` calls them.
    pub id: ParticipantId,
    /// As they call themselves.
    pub name: DisplayName,
}

/// Something written. Text, never markup.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatLine {
    /// By whom.
    pub from: ParticipantId,
    /// Their name then; they may have left.
    pub name: DisplayName,
    /// As it was written, or the name of the file.
    pub text: String,
    /// It is a file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<ChatFile>,
    /// When, by the server's clock, in milliseconds since 1970.
    pub at: u64,
    /// Only they and the sender get it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<ParticipantId>,
    /// Written before this client came.
    pub past: bool,
}

/// A file that can be fetched for some minutes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChatFile {
    /// Bytes.
    pub size: u64,
    /// Where, on this server. Nobody else is told.
    pub url: String,
}

/// What the largest tile needs that shows the client's video. All 0: nobody sees it, so nothing
/// but keeping the track is to be sent. Told when it grows at once, when it shrinks after 5 s.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Uplink {
    /// Lines of a landscape picture.
    pub height: u32,
    /// Pictures a second.
    pub fps: u32,
    /// Bits a second.
    pub bitrate: u32,
    /// A copy of it of half the size is wanted, too, whatever the rest says: a stream of its own with
    /// the RID `h` (RFC 8853), beside `f`, where the offer had both.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub half: bool,
    /// How it is to be encoded: what everybody can decode who takes it as it is. If that is not the
    /// first codec of the last answer, another `offer` is answered with it; none: as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub codec: Option<VideoCodec>,
}

/// Where everybody is in one mix, in fractions of the canvas.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct TileMap {
    /// Grows with every change.
    pub layout: u64,
    /// RTP timestamp, in this client's own downlink clock, of the first picture laid out so.
    #[serde(rename = "rtpTime")]
    pub rtp_time: u32,
    /// Canvas width in pixels.
    pub width: u32,
    /// Canvas height in pixels.
    pub height: u32,
    /// Who draws names.
    pub names: NamesIn,
    /// Whether this client's own tile is among them.
    #[serde(rename = "includesSelf")]
    pub includes_self: bool,
    /// In reading order.
    pub tiles: Vec<MapTile>,
}

/// Who draws names, so that none is drawn twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NamesIn {
    /// They are in the picture.
    Picture,
    /// The page draws them.
    Page,
}

/// One tile; `x`, `y`, `width`, `height` are fractions of the canvas, 0 to 1.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct MapTile {
    /// Whose.
    pub id: ParticipantId,
    /// As text, never markup.
    pub name: DisplayName,
    /// Left edge.
    pub x: f64,
    /// Top edge.
    pub y: f64,
    /// Width.
    pub width: f64,
    /// Height.
    pub height: f64,
    /// The tile shows moving pictures, not an avatar.
    pub live: bool,
    /// It is their screen.
    #[serde(default)]
    pub share: bool,
}

/// Why something was refused, for programs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ErrorCode {
    /// Not JSON, wrong types, unknown fields or types, duplicate keys. Closes if what came is not
    /// even a WebSocket's frame.
    BadMessage,
    /// Longer than [`MAX_FRAME`]; closes.
    TooLarge,
    /// A name outside the rules.
    BadName,
    /// The offer cannot be used; the text says why.
    BadSdp,
    /// The candidate cannot be parsed, or nobody can be at its address.
    BadCandidate,
    /// `join` or `resume` twice on one socket.
    AlreadyJoined,
    /// A command that needs `join` first.
    NotJoined,
    /// Nobody holds the place that `resume` asks for, in this room: `join` instead.
    NoSeat,
    /// Token missing, wrong, expired or too weak; closes.
    Forbidden,
    /// Commands come too fast; closes.
    RateLimited,
    /// Media does not go from person to person here, or not everybody agrees.
    NotDirect,
    /// The server is about to stop, stopping or full; closes.
    Unavailable,
    /// The processor's budget has no room for this join; closes. Try again when another meeting
    /// has ended.
    NoRoom,
    /// Nothing was heard for 20 s; closes.
    TimedOut,
    /// The room is locked; closes.
    Locked,
    /// A host removed this session; closes.
    Removed,
    /// A host did not let this session in; closes.
    NotAdmitted,
    /// Only hosts, or only those who do not just watch, may do this.
    NotHost,
    /// Whom it is about is not in the room.
    NotThere,
    /// The chat message is empty, too long or has control characters.
    BadText,
    /// A number is outside of what goes.
    BadValue,
    /// Chat or gestures come too fast; try again in a moment.
    SlowDown,
    /// The file is too large, or has no name.
    BadFile,
    /// Too many files are under way.
    FilesFull,
    /// There can be no recording; the text says why.
    CannotRecord,
    /// Quilt's fault.
    Internal,
}

/// Things worth telling while a meeting goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum NoticeCode {
    /// This client's uplink video cannot be decoded.
    UplinkVideoFailed,
    /// This client's uplink audio cannot be decoded.
    UplinkAudioFailed,
    /// The mix was restarted.
    MixRestarted,
    /// The server is about to stop: the meeting goes on for now, but nobody else can join, and
    /// who leaves cannot come back.
    Draining,
}

/// Why the server ends a stay.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ByeReason {
    /// The server is stopping.
    Shutdown,
    /// The media connection was lost for good.
    MediaLost,
    /// The room ended because of an internal failure.
    RoomFailed,
    /// A host removed them.
    Removed,
    /// A host ended the meeting, or it ended while one waited to be let in.
    Ended,
    /// A host did not let them in.
    Refused,
    /// The same session came in by another connection.
    Replaced,
    /// This client sent far more than video and audio can need.
    SendsTooMuch,
}

/// Why a frame could not be read as a command.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unreadable {
    /// The command's number, where that much could be read.
    pub id: Option<u32>,
    /// For programs.
    pub code: ErrorCode,
    /// For people.
    pub text: String,
}

/// Reads one frame strictly: see the module's text for what is refused.
pub fn read(text: &str) -> Result<Request, Unreadable> {
    let refuse = |id, text: String| Unreadable {
        id,
        code: ErrorCode::BadMessage,
        text,
    };
    let value =
        strict_json::parse(text).map_err(|error| refuse(None, format!("not JSON: {error}")))?;
    let serde_json::Value::Object(mut object) = value else {
        return Err(refuse(None, "not a JSON object".into()));
    };
    let id = match object.remove("id").as_ref().and_then(|id| id.as_u64()) {
        Some(id) if id <= u64::from(u32::MAX) => id as u32,
        _ => {
            return Err(refuse(
                None,
                "id: a number from 0 to 4294967295 is needed".into(),
            ));
        }
    };
    // A name is checked here rather than by its type, so that the refusal has a code of its own.
    if let Some(name) = object.get("name").and_then(|name| name.as_str())
        && let Err(error) = DisplayName::new(name)
    {
        return Err(Unreadable {
            id: Some(id),
            code: ErrorCode::BadName,
            text: error.to_string(),
        });
    }
    match serde_json::from_value(object.into()) {
        Ok(command) => Ok(Request { id, command }),
        Err(error) => Err(refuse(Some(id), error.to_string())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_are_read_as_documented() {
        let join = read(r#"{"id":1,"type":"join","name":" Ann ","codec":"vp8"}"#).unwrap();
        assert_eq!(
            join.command,
            Command::Join {
                name: Some(DisplayName::new("Ann").unwrap()),
                view: false,
                codec: Some(VideoCodec::Vp8),
                token: None,
                audio: true,
                video: true,
                portrait: false,
                session: None,
                overlay: false,
                direct: false,
                quality: Quality::Auto,
            }
        );
        let quality = read(r#"{"id":2,"type":"quality","quality":"low"}"#).unwrap();
        let chosen = Quality::Low;
        assert_eq!(quality.command, Command::Quality { quality: chosen });
        let moderate = read(r#"{"id":2,"type":"moderate","act":"mute","who":"p7"}"#).unwrap();
        assert_eq!(
            moderate.command,
            Command::Moderate {
                act: Act::Mute,
                who: Some(ParticipantId(7)),
            }
        );
        let view = |text| read(text).unwrap().command;
        let (overlay, portrait) = (None, None);
        for (text, layout) in [
            (
                r#"{"id":2,"type":"view","layout":"solo"}"#,
                Some(Some(Layout::Solo)),
            ),
            (r#"{"id":2,"type":"view","layout":null}"#, Some(None)),
            (r#"{"id":2,"type":"view"}"#, None),
        ] {
            let expected = Command::View {
                layout,
                overlay,
                portrait,
                downlink: None,
                direct: None,
            };
            assert_eq!(view(text), expected, "{text}");
        }
        assert_eq!(
            read(r#"{"type":"leave","id":7}"#).unwrap(),
            Request {
                id: 7,
                command: Command::Leave {}
            }
        );
    }

    #[test]
    fn whatever_else_is_refused_with_its_number() {
        for (frame, id) in [
            ("", None),
            ("[]", None),
            (r#"{"type":"leave"}"#, None),
            (r#"{"id":-1,"type":"leave"}"#, None),
            (r#"{"id":1,"id":1,"type":"leave"}"#, None),
            (r#"{"id":2,"type":"dance"}"#, Some(2)),
            (r#"{"id":3}"#, Some(3)),
            (r#"{"id":4,"type":"leave","why":"bored"}"#, Some(4)),
            (r#"{"id":5,"type":"offer","sdp":5}"#, Some(5)),
            (r#"{"id":5,"type":"resume","session":"12"}"#, Some(5)),
            (r#"{"id":6,"type":"join","name":"Ann","nmae":"x"}"#, Some(6)),
            (r#"{"id":7,"type":"join","session":"short"}"#, Some(7)),
            (r#"{"id":7,"type":"react","reaction":"<b>"}"#, Some(7)),
            (r#"{"id":7,"type":"moderate","act":"promote"}"#, Some(7)),
            (r#"{"id":7,"type":"quality","quality":"best"}"#, Some(7)),
        ] {
            let refused = read(frame).unwrap_err();
            assert_eq!(refused.id, id, "{frame}: {refused:?}");
            assert_eq!(refused.code, ErrorCode::BadMessage);
        }
        let refused = read(r#"{"id":8,"type":"join","name":"\u0007"}"#).unwrap_err();
        assert_eq!(refused.code, ErrorCode::BadName);
    }

    #[test]
    fn fuzz_commands() {
        let corpus: [&[u8]; 6] = [
            br#"{"id":1,"type":"join","name":"Ann","codec":"vp8","view":false}"#,
            br#"{"id":2,"type":"offer","sdp":"v=0\r\n"}"#,
            br#"{"id":3,"type":"candidate","candidate":"candidate:1 1 udp","mid":"0"}"#,
            br#"{"id":4,"type":"media","audio":true,"video":false}"#,
            br#"{"id":6,"type":"record","on":true}"#,
            br#"{"id":5,"type":"leave","a":[1,2.5,{"b":null}]}"#,
        ];
        let (mut commands, mut values) = (0, 0);
        for text in crate::fuzz::texts(&corpus) {
            if let Ok(value) = strict_json::parse(&text) {
                // Strict is stricter, and not otherwise different.
                let lax: serde_json::Value = serde_json::from_str(&text).unwrap();
                assert_eq!(lax, value, "{text}");
                values += 1;
            }
            match read(&text) {
                Ok(request) => {
                    let again = serde_json::to_string(&request).unwrap();
                    assert_eq!(read(&again), Ok(request), "{text}");
                    commands += 1;
                }
                Err(refused) => assert!(!refused.text.is_empty(), "{text}"),
            }
        }
        assert!(commands > 100 && values > commands, "{commands} {values}");
    }

    #[test]
    fn everybody_can_read_that_they_are_recorded() {
        let (on, since) = (true, Some(5));
        let text = serde_json::to_value(Message::Recording { on, since }).unwrap();
        let expected = serde_json::json!({"type": "recording", "on": true, "since": 5});
        assert_eq!(text, expected);
        let (on, since) = (false, None);
        let text = serde_json::to_value(Message::Recording { on, since }).unwrap();
        assert_eq!(text["since"], serde_json::Value::Null);
    }

    #[test]
    fn a_tier_is_told_in_words() {
        let tier = Message::Tier {
            tier: Tier::Low,
            quality: Quality::Auto,
            because: Because::Line,
            bitrate: 150_000,
        };
        let expected = serde_json::json!({
            "type": "tier", "tier": "low", "quality": "auto", "because": "line", "bitrate": 150_000,
        });
        assert_eq!(serde_json::to_value(&tier).unwrap(), expected);
    }

    #[test]
    fn answers_have_the_documented_shape() {
        let done = Message::Ack {
            id: 3,
            result: AckResult::Done {},
        };
        assert_eq!(
            serde_json::to_value(&done).unwrap(),
            serde_json::json!({"type": "ack", "id": 3})
        );
        let text = r#"{"type":"ack","id":2,"sdp":"v=0"}"#;
        assert_eq!(
            serde_json::from_str::<Message>(text).unwrap(),
            Message::Ack {
                id: 2,
                result: AckResult::Answered(Answered { sdp: "v=0".into() })
            }
        );
    }
}
