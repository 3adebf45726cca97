//! Names of files, from a pattern that a client may choose. Pure.
//!
//! Whatever the pattern is, the name is one plain file name: it is made of letters, digits, blanks,
//! `-` and `_` only. Without dots none is hidden, stands for a folder, or looks like one of the
//! endings that the files of a recording have.

use time::OffsetDateTime;

use crate::id::RoomName;
use crate::record::manifest::RecordingId;

/// The pattern of those who wish for none.
pub const PATTERN: &str = "{room}-{date}-{time}";
/// Longest name without its ending, bytes: file systems take 255.
const LONGEST: usize = 180;

/// What placeholders stand for.
#[derive(Debug, Clone, Copy)]
pub struct Facts<'a> {
    /// `{room}`.
    pub room: &'a RoomName,
    /// `{id}`.
    pub id: &'a RecordingId,
    /// `{date}` and `{time}`, in UTC: when it began, seconds since 1970.
    pub begun: u64,
}

/// What is wrong with a pattern.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// A placeholder that there is not, or a brace alone.
    #[error("name: the placeholders are {{room}}, {{date}}, {{time}} and {{id}}")]
    Placeholder,
    /// A sign that names do not have.
    #[error("name: {0:?} is not allowed; letters, digits, blanks, '-' and '_' are")]
    Character(char),
    /// Nothing, or a blank where nobody sees it.
    #[error("name: it must neither be empty nor begin or end with a blank")]
    Blank,
    /// Longer than file systems take.
    #[error("name: at most {LONGEST} characters")]
    TooLong,
}

/// The name that a pattern makes, without an ending.
pub fn expand(pattern: &str, facts: Facts) -> Result<String, Error> {
    if pattern.len() > LONGEST {
        return Err(Error::TooLong);
    }
    let mut name = String::new();
    let mut rest = pattern;
    while let Some(at) = rest.find(['{', '}']) {
        let (before, after) = rest.split_at(at);
        name.push_str(before);
        let inner = after
            .strip_prefix('{')
            .and_then(|text| text.split_once('}'));
        let (placeholder, behind) = inner.ok_or(Error::Placeholder)?;
        name.push_str(&match placeholder {
            "room" => facts.room.to_string(),
            "id" => facts.id.to_string(),
            "date" => date(facts.begun),
            "time" => time_of_day(facts.begun),
            _ => return Err(Error::Placeholder),
        });
        rest = behind;
    }
    name.push_str(rest);
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ' ');
    // Letters of other scripts are letters, too.
    let letter = |c: char| !c.is_ascii() && c.is_alphanumeric();
    if let Some(other) = name.chars().find(|c| !plain(*c) && !letter(*c)) {
        return Err(Error::Character(other));
    }
    if name.is_empty() || name.trim() != name {
        return Err(Error::Blank);
    }
    match name.len() <= LONGEST {
        true => Ok(name),
        false => Err(Error::TooLong),
    }
}

fn moment(seconds: u64) -> OffsetDateTime {
    let seconds = i64::try_from(seconds).unwrap_or(0);
    OffsetDateTime::from_unix_timestamp(seconds).unwrap_or(OffsetDateTime::UNIX_EPOCH)
}

fn date(seconds: u64) -> String {
    let at = moment(seconds);
    let month = u8::from(at.month());
    format!("{:04}-{month:02}-{:02}", at.year(), at.day())
}

fn time_of_day(seconds: u64) -> String {
    let (hour, minute, second) = moment(seconds).to_hms();
    format!("{hour:02}-{minute:02}-{second:02}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn made(pattern: &str) -> Result<String, Error> {
        let (room, id) = (RoomName::new("team_7").unwrap(), RecordingId::random());
        let facts = Facts {
            room: &room,
            id: &id,
            begun: 1_785_066_778,
        };
        expand(pattern, facts).map(|name| name.replace(&id.to_string(), "ID"))
    }

    #[test]
    fn placeholders_are_filled_in() {
        assert_eq!(made(PATTERN).unwrap(), "team_7-2026-07-26-11-52-58");
        assert_eq!(made("Minutes {id}").unwrap(), "Minutes ID");
        assert_eq!(made("회의 {date}").unwrap(), "회의 2026-07-26");
        assert_eq!(made("_{room}{room}").unwrap(), "_team_7team_7");
    }

    #[test]
    fn what_could_leave_the_folder_is_refused() {
        for (pattern, error) in [
            ("../{room}", Error::Character('.')),
            ("..", Error::Character('.')),
            (".hidden", Error::Character('.')),
            ("a.part", Error::Character('.')),
            (" a", Error::Blank),
            ("", Error::Blank),
            ("a/b", Error::Character('/')),
            ("a\\b", Error::Character('\\')),
            ("a\0b", Error::Character('\0')),
            ("a\nb", Error::Character('\n')),
            ("{host}", Error::Placeholder),
            ("{room", Error::Placeholder),
            ("room}", Error::Placeholder),
            ("{{room}}", Error::Placeholder),
        ] {
            assert_eq!(made(pattern), Err(error), "{pattern:?}");
        }
        assert_eq!(made(&"x".repeat(181)), Err(Error::TooLong));
        // The pattern is short enough, and what it makes is not.
        assert_eq!(made(&"{date}".repeat(18)).map(|name| name.len()), Ok(180));
        assert_eq!(made(&"{date}".repeat(19)), Err(Error::TooLong));
    }

    proptest! {
        #[test]
        fn whatever_is_asked_for_a_name_is_one_name(pattern in any::<String>()) {
            if let Ok(name) = made(&pattern) {
                let path = std::path::Path::new(&name);
                prop_assert_eq!(path.components().count(), 1);
                prop_assert_eq!(path.file_name(), Some(path.as_os_str()));
                prop_assert!(!name.starts_with('.') && name.len() <= LONGEST);
            }
        }
    }
}
