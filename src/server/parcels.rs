//! Files on their way from one to the others: taken in whole, offered to those present for some
//! minutes, and gone. They are in memory only, are never looked into, and have an address that only
//! those know who were told.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use axum::body::Bytes;

use crate::id::{ParticipantId, RoomName};
use crate::room::talk::{Refusal, refuse};
use crate::signalling::ErrorCode;

/// The largest file, bytes.
pub const LARGEST: u64 = 10_000_000;
/// How long one may take to come in; ten megabytes do in two minutes at 700 kbit/s.
pub const ARRIVAL: Duration = Duration::from_secs(120);
/// How long it is offered then.
const OFFERED: Duration = Duration::from_secs(600);
/// What one person, one room and all of them may have under way at a time, bytes.
const OF_PERSON: u64 = 2 * (LARGEST + ENTRY);
const OF_ROOM: u64 = 6 * (LARGEST + ENTRY);
const OF_ALL: u64 = 24 * (LARGEST + ENTRY);
/// What a file counts besides its own bytes: many small ones are no way around the quotas.
const ENTRY: u64 = 64 * 1024;
/// Longest name, characters.
const NAME: usize = 120;

/// All files under way.
#[derive(Clone, Default)]
pub struct Parcels(Arc<Mutex<HashMap<u128, Parcel>>>);

/// One file.
#[derive(Debug, Clone)]
pub struct Parcel {
    /// Where it is offered.
    pub room: RoomName,
    /// Who sends it.
    pub from: ParticipantId,
    /// To whom; to everybody without.
    pub to: Option<ParticipantId>,
    /// As a name of a file may be.
    pub name: String,
    /// Bytes, as announced.
    pub size: u64,
    stage: Stage,
    until: Instant,
}

#[derive(Debug, Clone)]
enum Stage {
    Expected,
    Arriving,
    Here(Bytes),
}

/// A file that comes in now; it is forgotten if it does not come whole.
pub struct Arrival {
    parcels: Parcels,
    secret: u128,
    whole: bool,
    /// What is known of it.
    pub parcel: Parcel,
}

impl Parcels {
    /// Makes room for a file that somebody wants to send.
    pub fn expect(
        &self,
        room: &RoomName,
        from: ParticipantId,
        to: Option<ParticipantId>,
        name: &str,
        size: u64,
        now: Instant,
    ) -> Result<u128, Refusal> {
        let Some(name) = file_name(name) else {
            let text = "this cannot be a file's name";
            return Err(refuse(ErrorCode::BadFile, text));
        };
        if size > LARGEST {
            let text = format!("the file has {size} bytes; at most {LARGEST} go");
            return Err(refuse(ErrorCode::BadFile, &text));
        }
        let mut parcels = self.lock();
        parcels.retain(|_, parcel| parcel.until > now);
        let taken = |by: &dyn Fn(&Parcel) -> bool| -> u64 {
            let theirs = parcels.values().filter(|parcel| by(parcel));
            theirs.map(|parcel| parcel.size + ENTRY).sum()
        };
        let of_room = |parcel: &Parcel| parcel.room == *room;
        let room_left = [
            (OF_PERSON, taken(&|parcel| parcel.from == from)),
            (OF_ROOM, taken(&of_room)),
            (OF_ALL, taken(&|_| true)),
        ];
        if room_left
            .iter()
            .any(|(most, taken)| taken + size + ENTRY > *most)
        {
            let text = "too many files are under way; try again in some minutes";
            return Err(refuse(ErrorCode::FilesFull, text));
        }
        // From a generator made for secrets.
        let secret = rand::random();
        let parcel = Parcel {
            room: room.clone(),
            from,
            to,
            name,
            size,
            stage: Stage::Expected,
            until: now + ARRIVAL,
        };
        parcels.insert(secret, parcel);
        Ok(secret)
    }

    /// Begins to take a file in. None if none is expected there.
    pub fn begin(&self, room: &RoomName, secret: u128, now: Instant) -> Option<Arrival> {
        let mut parcels = self.lock();
        let parcel = parcels.get_mut(&secret)?;
        let expected = matches!(parcel.stage, Stage::Expected);
        if !expected || parcel.room != *room || parcel.until <= now {
            return None;
        }
        parcel.stage = Stage::Arriving;
        Some(Arrival {
            parcels: self.clone(),
            secret,
            whole: false,
            parcel: parcel.clone(),
        })
    }

    /// A file that is offered, and what is in it.
    pub fn get(&self, room: &RoomName, secret: u128, now: Instant) -> Option<(String, Bytes)> {
        let parcels = self.lock();
        let parcel = parcels.get(&secret)?;
        match &parcel.stage {
            Stage::Here(body) if parcel.room == *room && parcel.until > now => {
                Some((parcel.name.clone(), body.clone()))
            }
            _ => None,
        }
    }

    /// Forgets one.
    pub fn forget(&self, secret: u128) {
        self.lock().remove(&secret);
    }

    /// Forgets what has been offered for long enough.
    pub fn sweep(&self, now: Instant) {
        self.lock().retain(|_, parcel| parcel.until > now);
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u128, Parcel>> {
        // The list is whole after every statement that changes it.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Arrival {
    /// It is here, and offered until then.
    pub fn offer(mut self, body: Bytes, now: Instant) -> Instant {
        self.whole = true;
        let until = now + OFFERED;
        if let Some(parcel) = self.parcels.lock().get_mut(&self.secret) {
            parcel.stage = Stage::Here(body);
            parcel.until = until;
        }
        until
    }
}

impl Drop for Arrival {
    fn drop(&mut self) {
        if !self.whole {
            self.parcels.lock().remove(&self.secret);
        }
    }
}

/// A name that is safe to show and to save under: no path, nothing that turns text around or is not
/// seen. None if nothing is left.
pub fn file_name(text: &str) -> Option<String> {
    let seen = |c: &char| !c.is_control() && !turns(*c);
    let safe = |c| match c {
        '/' | '\\' | ':' | '*' | '?' | '"' | '<' | '>' | '|' => '_',
        c => c,
    };
    let name: String = text.chars().filter(seen).map(safe).collect();
    let name = name.trim_matches(|c: char| c.is_whitespace() || c == '.');
    let chars = name.chars().count();
    // The end says what kind of file it is.
    let name: String = name.chars().skip(chars.saturating_sub(NAME)).collect();
    (!name.is_empty()).then_some(name)
}

/// Marks that turn the text around them, or are nothing but invisible (Unicode's Bidi_Control,
/// zero-width characters, line and paragraph separators).
fn turns(c: char) -> bool {
    matches!(c, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

/// `Content-Disposition` (RFC 6266): to be saved under this name, never shown.
pub fn disposition(name: &str) -> String {
    let plain: String = name
        .chars()
        .map(|c| match c {
            ' '..='~' if c != '"' && c != '\\' && c != '%' => c,
            _ => '_',
        })
        .collect();
    let encoded: String = name
        .bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect();
    format!("attachment; filename=\"{plain}\"; filename*=UTF-8''{encoded}")
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);

    fn room(name: &str) -> RoomName {
        RoomName::new(name).unwrap()
    }

    #[test]
    fn a_file_is_taken_in_once_offered_for_a_while_and_gone() {
        let (parcels, start) = (Parcels::default(), Instant::now());
        let secret = parcels
            .expect(&room("a"), ANN, None, "x.txt", 5, start)
            .unwrap();
        assert!(parcels.get(&room("a"), secret, start).is_none(), "not yet");
        assert!(parcels.begin(&room("b"), secret, start).is_none());
        let arrival = parcels.begin(&room("a"), secret, start).unwrap();
        assert!(parcels.begin(&room("a"), secret, start).is_none(), "once");
        let until = arrival.offer(Bytes::from_static(b"hello"), start);
        let (name, body) = parcels.get(&room("a"), secret, start).unwrap();
        assert_eq!(
            (name.as_str(), body.as_ref()),
            ("x.txt", b"hello".as_slice())
        );
        assert!(parcels.get(&room("b"), secret, start).is_none());
        assert!(parcels.get(&room("a"), secret, until).is_none());
        parcels.sweep(until);
        assert!(parcels.lock().is_empty());
    }

    #[test]
    fn what_does_not_come_whole_is_forgotten() {
        let (parcels, start) = (Parcels::default(), Instant::now());
        let expect = || {
            parcels
                .expect(&room("a"), ANN, None, "x", 5, start)
                .unwrap()
        };
        drop(parcels.begin(&room("a"), expect(), start));
        assert!(parcels.lock().is_empty());
        let late = start + ARRIVAL;
        assert!(parcels.begin(&room("a"), expect(), late).is_none());
    }

    #[test]
    fn quotas_are_for_each_person_each_room_and_all() {
        let (parcels, start) = (Parcels::default(), Instant::now());
        let expect = |at: &str, from, size| {
            let made = parcels.expect(&room(at), from, None, "x", size, start);
            made.map_err(|refusal| refusal.code)
        };
        let most = LARGEST;
        assert_eq!(expect("a", ANN, LARGEST + 1), Err(ErrorCode::BadFile));
        assert!(expect("a", ANN, most).is_ok() && expect("a", ANN, most).is_ok());
        assert_eq!(expect("a", ANN, 1), Err(ErrorCode::FilesFull));
        for n in 0..4 {
            assert!(expect("a", ParticipantId(10 + n), most).is_ok());
        }
        assert_eq!(expect("a", BOB, 1), Err(ErrorCode::FilesFull), "the room");
        assert!(expect("b", BOB, 1).is_ok());
        let empty = (0..1_000).filter(|_| expect("c", ParticipantId(99), 0).is_ok());
        assert_eq!(
            empty.count() as u64,
            OF_PERSON / ENTRY,
            "empty ones count, too"
        );
        let later = start + ARRIVAL;
        let again = parcels.expect(&room("a"), ANN, None, "x", most, later);
        assert!(again.is_ok(), "what never came is forgotten");
    }

    #[test]
    fn names_are_safe_to_show_and_to_save_under() {
        let named = |text: &str| file_name(text).unwrap();
        assert_eq!(named("Plan für morgen.pdf"), "Plan für morgen.pdf");
        assert_eq!(named("../../etc/passwd"), "_.._etc_passwd");
        assert_eq!(named("C:\\x\\y.exe"), "C__x_y.exe");
        assert_eq!(named("photo\u{202e}gpj.exe"), "photogpj.exe");
        assert_eq!(named("<img src=x>.png\r\nX: y"), "_img src=x_.pngX_ y");
        assert_eq!(
            named(&format!("{}.pdf", "한".repeat(500))).chars().count(),
            NAME
        );
        assert!(named(&format!("{}.pdf", "x".repeat(500))).ends_with(".pdf"));
        for nothing in ["", "  ", "..", "\u{200b}\u{202e}", "\n"] {
            assert_eq!(file_name(nothing), None, "{nothing:?}");
        }
        assert_eq!(
            disposition("Plän 1%.txt"),
            "attachment; filename=\"Pl_n 1_.txt\"; filename*=UTF-8''Pl%C3%A4n%201%25.txt"
        );
    }
}
