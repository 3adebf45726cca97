//! What can be asked of a room's task, and what it tells from outside.

use std::collections::BTreeMap;
use std::sync::Arc;

use tokio::sync::{mpsc, oneshot, watch};

use crate::id::{DisplayName, OutputId, ParticipantId, SessionKey};
use crate::media::{Layer, Layout, Quality, TopologyPolicy};
use crate::mix::plan::MixId;
use crate::peer;
use crate::room::inspect::Inside;
use crate::room::output::{Feed, Wish};
use crate::room::running::Costs;
use crate::room::state::{Change, MixPolicy, Settings, View};
use crate::room::talk::{Refusal, Say};
use crate::room::uplink::{Uplink, UplinkEvent};
use crate::room::wiring::MediaEvent;
use crate::signalling::{Message, Person, Signal};

/// What reaches a room.
pub enum Command {
    /// Somebody wants in.
    Join {
        /// Who they are.
        join: Join,
        /// What they get; dropped when the room is ending.
        reply: oneshot::Sender<Result<Answer, Refusal>>,
    },
    /// Somebody says something beside the picture.
    Say {
        /// Who.
        id: ParticipantId,
        /// What.
        say: Say,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody's connection is negotiated.
    Connect(ParticipantId, peer::Peer),
    /// Somebody's connection was negotiated anew: codec and directions may differ.
    Renegotiated(ParticipantId),
    /// The user muted or unmuted.
    Mute {
        /// Who.
        id: ParticipantId,
        /// Microphone on.
        audio: bool,
        /// Camera on.
        video: bool,
    },
    /// Somebody has another socket, and may have missed what was told on the one before.
    Resumed {
        /// Who.
        id: ParticipantId,
        /// Gets everybody; dropped if they are not here any more.
        reply: oneshot::Sender<Vec<Person>>,
    },
    /// Somebody is not told how much video they should send, other than by RTCP.
    Terse(ParticipantId),
    /// What somebody wishes to see.
    View(ParticipantId, View),
    /// How loud somebody wants to hear somebody, in percent; the reply is whether they are here.
    Volume {
        /// Who listens.
        id: ParticipantId,
        /// Whom.
        who: ParticipantId,
        /// Of what everybody hears.
        percent: u16,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody wants to take somebody's uplink as it is.
    Take {
        /// Who.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// It, or why not.
        reply: oneshot::Sender<Result<Arc<Uplink>, Refusal>>,
    },
    /// How large somebody is shown those whom they take.
    Sizes(ParticipantId, BTreeMap<ParticipantId, u32>),
    /// The largest copy of a picture that the line bears by which it is taken.
    TakenLine {
        /// Who takes.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
        /// The copy.
        bears: Layer,
    },
    /// They take it no longer.
    Drop {
        /// Who.
        id: ParticipantId,
        /// Whose.
        from: ParticipantId,
    },
    /// Somebody arranges a connection with somebody else.
    Relay {
        /// Who.
        id: ParticipantId,
        /// With whom.
        to: ParticipantId,
        /// What is to be brought.
        signal: Signal,
        /// Whether it was taken.
        reply: oneshot::Sender<Result<(), Refusal>>,
    },
    /// Somebody's video track carries their screen from now on, or their camera again.
    Share(ParticipantId, bool),
    /// Change the room's settings, and answer when that is announced.
    Configure(Change, oneshot::Sender<()>),
    /// So much of the processor's budget is in use.
    Load(f32),
    /// Somebody left.
    Leave(ParticipantId),
    /// Something came up from somebody.
    Uplink(ParticipantId, UplinkEvent),
    /// Something happened in a pipeline.
    Media(MediaEvent),
    /// Start this mix's encoder again.
    Restart(MixId),
    /// The operator has somebody go; the reply is whether they were here.
    Dismiss(ParticipantId, oneshot::Sender<bool>),
    /// Whether somebody whom nobody knows might come in now, as a host or not.
    Admits(bool, oneshot::Sender<Result<(), Refusal>>),
    /// Something listens from now on that is nobody here.
    Tap {
        /// Never used before in this process.
        id: OutputId,
        /// What it wants.
        wish: Wish,
        /// Its sending ends.
        feed: Feed,
        /// Said when it is so; dropped when the room is ending.
        reply: oneshot::Sender<()>,
    },
    /// An output wants nothing any more.
    Untap(OutputId),
    /// The operator has everybody go; the reply says that there was a meeting.
    End(oneshot::Sender<()>),
    /// The operator wants to look inside.
    Inspect(oneshot::Sender<Inside>),
    /// Somebody wants to know what the meeting costs.
    Costs(oneshot::Sender<Costs>),
    /// Whether somebody in here is a host.
    IsHost(ParticipantId, oneshot::Sender<bool>),
    /// Tell everybody this.
    Tell(Message),
    /// The server is stopping: tell everybody and end.
    Shutdown,
}

/// Who wants to come in, and how.
#[derive(Debug, Clone)]
pub struct Admission {
    /// Shown to the others.
    pub name: DisplayName,
    /// Only watches.
    pub view: bool,
    /// Microphone on.
    pub audio: bool,
    /// Camera on.
    pub video: bool,
    /// Wants a portrait picture.
    pub portrait: bool,
    /// Who this is across connections.
    pub session: Option<SessionKey>,
    /// May moderate.
    pub host: bool,
    /// Can lay their own picture over their own tile.
    pub overlay: bool,
    /// Agrees that media goes from person to person.
    pub direct: bool,
    /// Who they were while they waited to be let in.
    pub ticket: Option<ParticipantId>,
    /// What they wish to get at most.
    pub quality: Quality,
}

/// Somebody who wants in.
pub struct Join {
    /// Never used before in this process.
    pub id: ParticipantId,
    /// As whom.
    pub admission: Admission,
    /// Where messages to them go.
    pub notices: mpsc::Sender<Message>,
}

/// What somebody gets who wants in.
pub enum Answer {
    /// They are in.
    Welcome(Welcome),
    /// A host has to let them in; they are told when one does.
    Wait,
}

/// What somebody gets who comes in.
pub struct Welcome {
    /// What their connection reports to.
    pub uplink: Arc<Uplink>,
    /// Everybody, they too.
    pub people: Vec<Person>,
}

/// What is known of a room from outside.
#[derive(Debug, Clone, Default, PartialEq, serde::Serialize)]
pub struct Summary {
    /// People, without viewers.
    pub participants: usize,
    /// Those who only watch.
    pub viewers: usize,
    /// The people's names, in the order they came.
    pub names: Vec<DisplayName>,
    /// The people themselves, for the operator only.
    #[serde(skip)]
    pub people: Vec<Person>,
    /// Who gets a mix of their own.
    pub mix: MixPolicy,
    /// How mixes are arranged.
    pub layout: Layout,
    /// Tiles at most.
    pub stage_size: usize,
    /// Which way media is to go.
    pub topology: TopologyPolicy,
    /// Newcomers wait until a host lets them in.
    pub waiting: bool,
    /// Distinct pictures that are made for it, each by an encoder.
    pub encoders: usize,
    /// It is being recorded.
    pub recording: bool,
}

/// How others reach a room.
#[derive(Debug, Clone)]
pub struct Handle {
    /// The inbox.
    pub commands: mpsc::Sender<Command>,
    /// Who is in.
    pub summary: watch::Receiver<Summary>,
}

impl Summary {
    /// Of a room in which nobody is yet.
    pub(super) fn of(settings: &Settings) -> Self {
        Self {
            mix: settings.policy,
            layout: settings.layout,
            stage_size: settings.stage_size,
            topology: settings.topology,
            ..Self::default()
        }
    }
}
