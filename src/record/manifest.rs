//! What is written down beside a recording, and what the API tells of it.

use std::fmt;
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::id::{DisplayName, ParticipantId, RoomName};
use crate::media::{Layout, Tier};
use crate::room::actor::Summary;

/// Events that are written down at most: a room in which more happens is told of in part.
const MOST_EVENTS: usize = 10_000;

/// Names a recording: twelve digits and letters from a to f.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RecordingId(String);

/// Text that names no recording.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a recording: expected twelve digits and letters from a to f")]
pub struct RecordingIdError;

impl RecordingId {
    /// A new one.
    pub fn random() -> Self {
        Self(format!("{:012x}", rand::random::<u64>() >> 16))
    }
}

impl FromStr for RecordingId {
    type Err = RecordingIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let digit = |c: char| c.is_ascii_digit() || matches!(c, 'a'..='f');
        match text.len() == 12 && text.chars().all(digit) {
            true => Ok(Self(text.into())),
            false => Err(RecordingIdError),
        }
    }
}

impl TryFrom<String> for RecordingId {
    type Error = RecordingIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<RecordingId> for String {
    fn from(id: RecordingId) -> String {
        id.0
    }
}

impl fmt::Display for RecordingId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// How the sound of a file is encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize, clap::ValueEnum)]
#[serde(rename_all = "lowercase")]
pub enum Sound {
    /// Plays everywhere; encoded once more.
    #[default]
    Aac,
    /// As the meeting has it; players of recent years know it in such files.
    Opus,
}

/// What is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Options {
    /// How the pictures are arranged; none: as the room's.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub layout: Option<Layout>,
    /// Pictures that are taller than wide.
    #[serde(default)]
    pub portrait: bool,
    /// How good the pictures are.
    #[serde(default)]
    pub tier: Tier,
    /// No pictures.
    #[serde(default)]
    pub audio_only: bool,
    /// How the sound is encoded.
    #[serde(default)]
    pub audio: Sound,
}

/// What became of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum State {
    /// It goes on.
    Recording,
    /// It ended as it should.
    Finished,
    /// The server ended in the middle of it; what there is plays.
    Interrupted,
    /// It had to end; the reason says why. What there is plays.
    Failed,
}

/// Where a copy in a store is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum UploadState {
    /// On its way, or to be tried again.
    Pending,
    /// There.
    Done,
    /// Not there, and only the next start tries again.
    Failed,
}

/// What became of the copy in a store.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upload {
    /// Where it is.
    pub state: UploadState,
    /// Why the last attempt failed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Attempts that failed.
    #[serde(default)]
    pub failures: u32,
}

impl Upload {
    /// Nothing was tried so far.
    pub const PENDING: Self = Self {
        state: UploadState::Pending,
        reason: None,
        failures: 0,
    };

    /// Whether the copy is still wanted.
    pub fn is_open(&self) -> bool {
        self.state != UploadState::Done
    }
}

/// Something that happened meanwhile.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "lowercase")]
pub enum What {
    /// Somebody came, or was there when it began.
    Joined {
        /// Who.
        id: ParticipantId,
        /// As they are called.
        name: DisplayName,
    },
    /// Somebody left.
    Left {
        /// Who.
        id: ParticipantId,
        /// As they were called.
        name: DisplayName,
    },
    /// Somebody began to share their screen, or ceased to.
    Shares {
        /// Who.
        id: ParticipantId,
        /// Began.
        on: bool,
    },
    /// The room is arranged in another way.
    Layout {
        /// Which.
        layout: Layout,
    },
}

/// The same with its time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// Milliseconds since the recording began.
    pub at_ms: u64,
    /// What.
    #[serde(flatten)]
    pub what: What,
}

/// All that is known of a recording.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Manifest {
    /// Which one.
    pub id: RecordingId,
    /// Of which room.
    pub room: RoomName,
    /// What became of it.
    pub state: State,
    /// Why it had to end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When it began, milliseconds since 1970.
    pub begun: u64,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<u64>,
    /// How long the film is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub duration_ms: Option<u64>,
    /// The file that plays, in the folder of this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// How large it is.
    pub bytes: u64,
    /// Its copy in a store, if there is to be one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub upload: Option<Upload>,
    /// What is recorded.
    pub options: Options,
    /// What happened, in order.
    pub events: Vec<Event>,
}

impl Manifest {
    /// Writes down what is different in a room; `now` is in milliseconds since 1970. Whether
    /// anything was.
    pub fn note(&mut self, now: u64, before: Option<&Summary>, after: &Summary) -> bool {
        let at_ms = now.saturating_sub(self.begun);
        let nobody = Vec::new();
        let were = before.map_or(&nobody, |before| &before.people);
        let mut news = Vec::new();
        for one in were {
            if after.people.iter().all(|other| other.id != one.id) {
                let (id, name) = (one.id, one.name.clone());
                news.push(What::Left { id, name });
            }
        }
        for one in &after.people {
            let known = were.iter().find(|other| other.id == one.id);
            if known.is_none() {
                let (id, name) = (one.id, one.name.clone());
                news.push(What::Joined { id, name });
            }
            if known.is_some_and(|known| known.sharing) != one.sharing {
                let (id, on) = (one.id, one.sharing);
                news.push(What::Shares { id, on });
            }
        }
        if before.is_none_or(|before| before.layout != after.layout) {
            let layout = after.layout;
            news.push(What::Layout { layout });
        }
        news.truncate(MOST_EVENTS.saturating_sub(self.events.len()));
        let any = !news.is_empty();
        let events = news.into_iter().map(|what| Event { at_ms, what });
        self.events.extend(events);
        any
    }

    /// Writes it to `path` so that there is a whole one at any time.
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let text = serde_json::to_vec_pretty(self)?;
        let new = path.with_extension("json.new");
        let mut options = File::options();
        let mut file = options
            .write(true)
            .create(true)
            .truncate(true)
            .mode(0o600)
            .open(&new)?;
        let written = file.write_all(&text).and_then(|()| file.sync_all());
        let saved = written.and_then(|()| fs::rename(&new, path));
        if saved.is_err() {
            let _ = fs::remove_file(&new);
        }
        saved
    }

    /// Reads one.
    pub fn load(path: &Path) -> io::Result<Self> {
        Ok(serde_json::from_slice(&fs::read(path)?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::signalling::Person;

    fn person(id: u32, sharing: bool) -> Person {
        Person {
            id: ParticipantId(id),
            name: DisplayName::new("Ann").unwrap(),
            audio: true,
            video: true,
            host: false,
            silenced: false,
            hand: None,
            pinned: false,
            sharing,
        }
    }

    fn summary(people: Vec<Person>) -> Summary {
        Summary {
            people,
            ..Summary::default()
        }
    }

    pub(crate) fn manifest() -> Manifest {
        Manifest {
            id: RecordingId::random(),
            room: RoomName::new("a").unwrap(),
            state: State::Recording,
            reason: None,
            begun: 1_000,
            ended: None,
            duration_ms: None,
            file: None,
            bytes: 0,
            upload: None,
            options: Options::default(),
            events: vec![],
        }
    }

    #[test]
    fn who_came_and_went_is_written_down() {
        let mut manifest = manifest();
        let first = summary(vec![person(1, false)]);
        assert!(manifest.note(1_000, None, &first));
        assert!(!manifest.note(1_500, Some(&first), &first));
        let second = summary(vec![person(2, true)]);
        assert!(manifest.note(4_000, Some(&first), &second));
        let text = serde_json::to_value(&manifest).unwrap();
        assert_eq!(
            text["events"],
            serde_json::json!([
                {"at_ms": 0, "type": "joined", "id": "p1", "name": "Ann"},
                {"at_ms": 0, "type": "layout", "layout": "grid"},
                {"at_ms": 3000, "type": "left", "id": "p1", "name": "Ann"},
                {"at_ms": 3000, "type": "joined", "id": "p2", "name": "Ann"},
                {"at_ms": 3000, "type": "shares", "id": "p2", "on": true},
            ])
        );
        let folder = std::env::temp_dir().join(format!("quilt-manifest-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let path = folder.join("a.json");
        manifest.save(&path).unwrap();
        assert_eq!(Manifest::load(&path).unwrap(), manifest);
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1);
        fs::remove_dir_all(&folder).unwrap();
        assert!(manifest.save(&path).is_err());
    }

    #[test]
    fn ids_are_plain() {
        let id = RecordingId::random();
        assert_eq!(id.to_string().parse(), Ok(id));
        for bad in ["", "../../../etc", "0123456789AB", "0123456789abc"] {
            assert_eq!(bad.parse::<RecordingId>(), Err(RecordingIdError), "{bad}");
        }
    }
}
