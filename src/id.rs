//! Names and numbers that stand for rooms and people, checked once at the door.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

/// Longest room name and display name, in characters (Unicode scalar values).
pub const NAME_MAX_CHARS: usize = 64;

/// A room's name: 1-64 characters of ASCII letters, digits, `-` and `_`.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct RoomName(Arc<str>);

/// A display name: 1-64 characters after trimming, no control characters. Not unique.
#[derive(Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct DisplayName(Arc<str>);

/// What a client chose to be recognised by when it comes again: 16-64 letters, digits, `-` and `_`
/// that nobody can guess. Whoever knows it takes that client's place, so it is never shown.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct SessionKey(Arc<str>);

/// Fewest characters of a [`SessionKey`]: what a guess has to find.
const SESSION_KEY_MIN_CHARS: usize = 16;

/// Text that is no session key.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a session key: expected 16 to 64 letters, digits, '-' and '_'")]
pub struct SessionKeyError;

impl SessionKey {
    /// Checks and wraps a key.
    pub fn new(key: &str) -> Result<Self, SessionKeyError> {
        let fits = (SESSION_KEY_MIN_CHARS..=NAME_MAX_CHARS).contains(&key.len());
        let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_');
        match fits && key.chars().all(plain) {
            true => Ok(Self(key.into())),
            false => Err(SessionKeyError),
        }
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKey(…)")
    }
}

impl TryFrom<String> for SessionKey {
    type Error = SessionKeyError;
    fn try_from(key: String) -> Result<Self, Self::Error> {
        Self::new(&key)
    }
}

impl From<SessionKey> for String {
    fn from(key: SessionKey) -> String {
        key.0.to_string()
    }
}

/// What is wrong with a name, in words a person can act on.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NameError {
    /// Nothing is left after trimming.
    #[error("{what} is empty")]
    Empty {
        /// Which name: "room name" or "display name".
        what: &'static str,
    },
    /// Longer than [`NAME_MAX_CHARS`].
    #[error("{what} has {chars} characters; at most {NAME_MAX_CHARS} are allowed")]
    TooLong {
        /// Which name.
        what: &'static str,
        /// How many characters it has.
        chars: usize,
    },
    /// A character outside the allowed set.
    #[error("{what} contains {found:?}; {allowed}")]
    Character {
        /// Which name.
        what: &'static str,
        /// The first offending character.
        found: char,
        /// What would be allowed.
        allowed: &'static str,
    },
}

impl RoomName {
    /// Checks and wraps a room name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let what = "room name";
        length(what, name)?;
        match name
            .chars()
            .find(|c| !(c.is_ascii_alphanumeric() || matches!(c, '-' | '_')))
        {
            Some(found) => Err(NameError::Character {
                what,
                found,
                allowed: "letters, digits, '-' and '_' are allowed",
            }),
            None => Ok(Self(name.into())),
        }
    }

    /// Whether the room is private: in no list, for those only who know its name. Such a name
    /// begins with `_`, so it stays private wherever and whenever the room is opened.
    pub fn is_private(&self) -> bool {
        self.0.starts_with('_')
    }

    /// The name as text; safe in a path segment and in a URL.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl DisplayName {
    /// Trims, checks and wraps a display name.
    pub fn new(name: &str) -> Result<Self, NameError> {
        let what = "display name";
        let name = name.trim();
        length(what, name)?;
        match name.chars().find(|c| c.is_control()) {
            Some(found) => Err(NameError::Character {
                what,
                found,
                allowed: "control characters are not allowed",
            }),
            None => Ok(Self(name.into())),
        }
    }

    /// The name as text: to be escaped wherever it meets markup.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

fn length(what: &'static str, name: &str) -> Result<(), NameError> {
    // A cheap bound first, so that a megabyte of name is not counted character by character.
    let chars = if name.len() > NAME_MAX_CHARS * 4 {
        name.len()
    } else {
        name.chars().count()
    };
    match chars {
        0 => Err(NameError::Empty { what }),
        1..=NAME_MAX_CHARS => Ok(()),
        chars => Err(NameError::TooLong { what, chars }),
    }
}

macro_rules! text_like {
    ($name:ident) => {
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.0)
            }
        }
        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
        impl TryFrom<String> for $name {
            type Error = NameError;
            fn try_from(name: String) -> Result<Self, NameError> {
                Self::new(&name)
            }
        }
        impl From<$name> for String {
            fn from(name: $name) -> String {
                name.0.to_string()
            }
        }
        impl FromStr for $name {
            type Err = NameError;
            fn from_str(name: &str) -> Result<Self, NameError> {
                Self::new(name)
            }
        }
    };
}
text_like!(RoomName);
text_like!(DisplayName);

/// A participant or viewer, unique for the life of the process; written `p17`.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct ParticipantId(pub u32);

/// Something that gets what a room makes and is nobody in it: a recording, a stream. Unique for the
/// life of the process.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OutputId(pub u32);

impl fmt::Display for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "o{}", self.0)
    }
}

impl fmt::Debug for OutputId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Text that is not `p` and a number.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not a participant id: expected 'p' and a number")]
pub struct ParticipantIdError;

/// One moving picture of somebody: their camera, or the screen that they share.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Source {
    /// Whose.
    pub who: ParticipantId,
    /// A shared screen: never cropped, and shown before cameras.
    pub share: bool,
}

impl Source {
    /// Somebody's camera, or the avatar in its place.
    pub const fn camera(who: ParticipantId) -> Self {
        Self { who, share: false }
    }

    /// Somebody's screen.
    pub const fn screen(who: ParticipantId) -> Self {
        Self { who, share: true }
    }
}

impl fmt::Display for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "p{}", self.0)
    }
}

impl fmt::Debug for ParticipantId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for ParticipantId {
    type Err = ParticipantIdError;
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.strip_prefix('p')
            .and_then(|n| n.parse().ok())
            .map(Self)
            .ok_or(ParticipantIdError)
    }
}

impl TryFrom<String> for ParticipantId {
    type Error = ParticipantIdError;
    fn try_from(text: String) -> Result<Self, Self::Error> {
        text.parse()
    }
}

impl From<ParticipantId> for String {
    fn from(id: ParticipantId) -> String {
        id.to_string()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn room_names_are_plain_ascii() {
        assert!(RoomName::new("team-7_x").is_ok());
        assert!(RoomName::new("").is_err());
        assert!(RoomName::new("a/b").is_err());
        assert!(RoomName::new("..").is_err());
        assert!(RoomName::new(&"a".repeat(64)).is_ok());
        assert!(RoomName::new(&"a".repeat(65)).is_err());
    }

    #[test]
    fn display_names_are_trimmed_and_counted_in_characters() {
        assert_eq!(DisplayName::new("  Ann ").unwrap().as_str(), "Ann");
        assert!(DisplayName::new(&"한".repeat(64)).is_ok());
        assert!(DisplayName::new(&"한".repeat(65)).is_err());
        assert!(DisplayName::new("a\u{7}b").is_err());
        assert!(DisplayName::new("   ").is_err());
    }

    #[test]
    fn session_keys_are_long_and_never_shown() {
        let key = SessionKey::new("0123456789abcdef").unwrap();
        assert_eq!(format!("{key:?}"), "SessionKey(…)");
        for bad in ["", "0123456789abcde", "0123456789abcde!", &"a".repeat(65)] {
            assert!(SessionKey::new(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn participant_ids_read_back() {
        assert_eq!("p17".parse(), Ok(ParticipantId(17)));
        assert!("17".parse::<ParticipantId>().is_err());
    }
}
