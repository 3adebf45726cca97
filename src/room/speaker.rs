//! Who speaks, and who of them is the dominant speaker (pure).
//!
//! Senders *claim* how loud they are in every packet (RFC 6464), so those whose sound is not
//! decoded can be ranked too. A claim only nominates: the sound of a nominee is decoded, and
//! they count as a speaker once its energy confirms what they say. Whose does not is a liar:
//! their claims mean nothing for a while. Liars, and senders who claim nothing, are judged by
//! decoded energy alone.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::clock::MediaTime;
use crate::id::ParticipantId;
use crate::room::activity::{Activity, BLOCK, SILENCE};

/// With so many active frames in the last second somebody speaks: a quarter of a second of sound.
/// A cough or a word is as much, a door or a keystroke is less.
const SPEAKS_AT: u8 = 12;
/// How long who seems to begin is worth decoding: longer than the pauses between sentences.
const NOMINATED: Duration = Duration::from_secs(2);
/// Decoded energy must confirm a claim within 200 ms, counted from when it can be there: sound
/// may wait as long in its queue, and is reported ten times a second. In blocks.
const CONFIRM: usize = 5;
/// For how many blocks decoded energy is remembered: longer than claims.
const HEARD: usize = 15;
/// Of these, how many tell what is decoded now.
const LATELY: usize = 3;
/// Decoded energy may be this far below the claim, dB: the one is a mean over 100 ms, the other
/// over a packet.
const BELOW_CLAIM: f32 = 20.0;
/// What confirms nothing however little was claimed, dBov.
const INAUDIBLE: f32 = -65.0;
/// A confirmation holds for this long.
const CONFIRMED: Duration = Duration::from_secs(2);
/// A liar's claims mean nothing for this long; twice as long each time.
const DISTRUST: Duration = Duration::from_secs(60);
/// But no longer than this.
const MOST_DISTRUST: Duration = Duration::from_secs(3600);
/// Steps that were missed by more are not made up for: a second is all that is remembered.
const MOST_BLOCKS: u32 = 10;

/// What somebody's packets said about their loudness since the last step.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Claims {
    /// One for each packet of 20 ms, dBov: 0 is the loudest.
    pub levels: Vec<f32>,
    /// Packets came that claimed nothing.
    pub bare: bool,
}

/// How loud decoded sound is.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Decoded {
    /// RMS of the last 100 ms, dBov.
    pub level: f32,
    /// Speech or music rather than background.
    pub speaking: bool,
}

impl Decoded {
    /// Nothing is to be heard.
    pub const SILENCE: Self = Self {
        level: SILENCE,
        speaking: false,
    };
}

/// Everybody who may speak.
#[derive(Debug, Default, Clone)]
pub struct Speakers {
    people: BTreeMap<ParticipantId, Speaker>,
    dominant: Option<ParticipantId>,
    /// Until when everything has been taken into account.
    at: Option<MediaTime>,
}

#[derive(Debug, Clone)]
struct Speaker {
    activity: Activity,
    pending: Claims,
    /// Whether packets carry claims; not known before the first.
    claims: Option<bool>,
    /// Since when, and how, the sound has been decoded.
    decoded: Option<(MediaTime, Decoded)>,
    /// How loud it was in the last blocks, newest first.
    heard: [f32; HEARD],
    /// When it last confirmed a claim.
    confirmed: Option<MediaTime>,
    distrusted_until: Option<MediaTime>,
    distrust: Duration,
    nominated: Option<MediaTime>,
    speaks: bool,
    spoke: Option<MediaTime>,
    dominated: Option<MediaTime>,
}

/// How somebody ranks among those who speak or spoke; the greater the more recent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Rank {
    /// Is the dominant speaker.
    pub dominant: bool,
    /// Speaks now.
    pub speaks: bool,
    /// When they spoke last.
    pub spoke: Option<MediaTime>,
    /// When they were the dominant speaker last.
    pub dominated: Option<MediaTime>,
}

impl Speakers {
    /// Packets of somebody came, with these claims.
    pub fn claim(&mut self, id: ParticipantId, claims: Claims) {
        let pending = &mut self.people.entry(id).or_default().pending;
        pending.levels.extend(claims.levels);
        pending.bare |= claims.bare;
    }

    /// Somebody's decoded sound is this loud; none: it is not decoded.
    pub fn decoded(&mut self, now: MediaTime, id: ParticipantId, decoded: Option<Decoded>) {
        let speaker = self.people.entry(id).or_default();
        let since = speaker.decoded.map_or(now, |(since, _)| since);
        speaker.decoded = decoded.map(|decoded| (since, decoded));
    }

    /// Somebody seems to begin just now.
    pub fn nominate(&mut self, now: MediaTime, id: ParticipantId) {
        self.people.entry(id).or_default().nominated = Some(now);
    }

    /// Somebody sends anew, perhaps with other claims.
    pub fn renew(&mut self, id: ParticipantId) {
        if let Some(speaker) = self.people.get_mut(&id) {
            speaker.claims = None;
        }
    }

    /// Somebody is muted: whatever still comes of them is not speech.
    pub fn mute(&mut self, id: ParticipantId) {
        if let Some(speaker) = self.people.get_mut(&id) {
            speaker.activity.hush();
            speaker.pending = Claims::default();
            speaker.nominated = None;
            speaker.speaks = false;
        }
        self.dominant = self.dominant.filter(|dominant| *dominant != id);
    }

    /// Somebody left.
    pub fn forget(&mut self, id: ParticipantId) {
        self.people.remove(&id);
        self.dominant = self.dominant.filter(|dominant| *dominant != id);
    }

    /// Judges what came until now, a block of 100 ms at a time.
    pub fn step(&mut self, now: MediaTime) {
        let at = *self.at.get_or_insert(now);
        let blocks = (now.since(at).as_nanos() / BLOCK.as_nanos()) as u32;
        if blocks == 0 {
            return;
        }
        self.at = Some(match blocks <= MOST_BLOCKS {
            true => at.plus(BLOCK * blocks),
            false => now,
        });
        for speaker in self.people.values_mut() {
            speaker.step(now, blocks.min(MOST_BLOCKS) as usize);
        }
        self.elect();
        if let Some(dominant) = self.dominant.and_then(|id| self.people.get_mut(&id)) {
            dominant.dominated = Some(now);
        }
    }

    /// The dominant speaker stays until another one outdoes them, or they leave.
    fn elect(&mut self) {
        let reigning = self.dominant.and_then(|id| self.people.get(&id));
        let challengers = self.people.iter().filter(|(_, s)| s.speaks);
        let best = match reigning {
            None => challengers
                .max_by_key(|(_, s)| s.activity.frames())
                .map(|(id, _)| *id),
            Some(reigning) => challengers
                .filter_map(|(id, s)| Some((s.activity.outdoes(&reigning.activity)?, id)))
                .max_by(|(a, _), (b, _)| a.total_cmp(b))
                .map(|(_, id)| *id),
        };
        self.dominant = best.or(self.dominant);
    }

    /// Who holds the floor, or held it last.
    pub fn dominant(&self) -> Option<ParticipantId> {
        self.dominant
    }

    /// How somebody ranks.
    pub fn rank(&self, id: ParticipantId) -> Rank {
        let Some(speaker) = self.people.get(&id) else {
            return Rank::default();
        };
        Rank {
            dominant: self.dominant == Some(id),
            speaks: speaker.speaks,
            dominated: speaker.dominated,
            spoke: speaker.spoke,
        }
    }

    /// Whether somebody can be judged only by what is decoded of them.
    pub fn is_opaque(&self, id: ParticipantId) -> bool {
        let speaker = self.people.get(&id);
        speaker.is_some_and(|s| s.claims == Some(false) || s.distrusted_until.is_some())
    }

    /// Whether somebody who speaks or seems to does so at this moment, and how loud they claim
    /// to be, dBov.
    pub fn nominated(&self, now: MediaTime, id: ParticipantId) -> Option<(bool, f32)> {
        let speaker = self.people.get(&id)?;
        let since = now.since(speaker.nominated?);
        let fresh = speaker.activity.is_fresh() || since < BLOCK;
        (since < NOMINATED).then(|| (fresh, speaker.activity.peak()))
    }
}

impl Default for Speaker {
    fn default() -> Self {
        Self {
            activity: Activity::default(),
            pending: Claims::default(),
            claims: None,
            decoded: None,
            heard: [SILENCE; HEARD],
            confirmed: None,
            distrusted_until: None,
            distrust: Duration::ZERO,
            nominated: None,
            speaks: false,
            spoke: None,
            dominated: None,
        }
    }
}

impl Speaker {
    fn step(&mut self, now: MediaTime, blocks: usize) {
        let heard = self.decoded.map_or(SILENCE, |(_, decoded)| decoded.level);
        for _ in 0..blocks {
            self.heard.rotate_right(1);
            self.heard[0] = heard;
        }
        let pending = std::mem::take(&mut self.pending);
        if !pending.levels.is_empty() {
            self.claims = Some(true);
        } else if pending.bare {
            self.claims = Some(false);
        }
        self.distrusted_until = self.distrusted_until.filter(|until| *until > now);
        let trusted = self.claims == Some(true) && self.distrusted_until.is_none();
        match trusted {
            true => {
                // Late steps find the frames of several blocks: each gets its share.
                let levels = &pending.levels[..];
                let end = |block: usize| levels.len() * block / blocks;
                for block in 0..blocks {
                    let levels = &levels[end(block)..end(block + 1)];
                    self.activity.block(levels);
                }
                self.verify(now);
            }
            false => {
                let loud = self.decoded.filter(|(_, decoded)| decoded.speaking);
                let level = loud.map(|(_, decoded)| decoded.level);
                (0..blocks).for_each(|_| self.activity.block(level.as_slice()));
            }
        }
        if self.activity.newest() > 0 {
            self.nominated = Some(now);
        }
        self.speaks = match self.speaks {
            true => self.activity.frames() > 0,
            false => self.activity.frames() >= SPEAKS_AT && (!trusted || self.is_confirmed(now)),
        };
        if self.speaks {
            self.spoke = Some(now);
        }
    }

    fn is_confirmed(&self, now: MediaTime) -> bool {
        self.confirmed.is_some_and(|at| now.since(at) < CONFIRMED)
    }

    /// Holds what is claimed against what is decoded.
    fn verify(&mut self, now: MediaTime) {
        let Some((since, _)) = self.decoded else {
            return;
        };
        let loudest = |blocks: &[f32]| blocks.iter().copied().fold(SILENCE, f32::max);
        let bears_out = |heard: f32, claimed: f32| heard > INAUDIBLE.max(claimed - BELOW_CLAIM);
        let claimed = self.activity.peak();
        if claimed > SILENCE && bears_out(loudest(&self.heard[..LATELY]), claimed) {
            self.confirmed = Some(now);
        }
        // What was claimed since then and long enough ago must have been heard.
        let decoded = (now.since(since).as_nanos() / BLOCK.as_nanos()) as usize;
        if let Some(claimed) = self.activity.sustained(CONFIRM..decoded)
            && !bears_out(loudest(&self.heard), claimed)
        {
            self.lied(now);
        }
    }

    fn lied(&mut self, now: MediaTime) {
        self.distrust = match self.distrust.is_zero() {
            true => DISTRUST,
            false => (self.distrust * 2).min(MOST_DISTRUST),
        };
        self.distrusted_until = Some(now.plus(self.distrust));
        (self.confirmed, self.nominated) = (None, None);
        (self.speaks, self.spoke, self.dominated) = (false, None, None);
        self.activity.hush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ANN: ParticipantId = ParticipantId(1);
    const BOB: ParticipantId = ParticipantId(2);

    fn ms(ms: u64) -> MediaTime {
        MediaTime(ms * 1_000_000)
    }

    /// Two people, 100 ms at a time.
    struct Room {
        speakers: Speakers,
        now: u64,
    }

    impl Room {
        fn new() -> Self {
            let mut speakers = Speakers::default();
            speakers.step(ms(0));
            Self { speakers, now: 0 }
        }

        /// Ann claims and is as loud as this, dBov.
        fn step(&mut self, claimed: f32, decoded: f32) {
            self.now += 100;
            self.speakers.claim(ANN, claims(claimed));
            let decoded = Decoded {
                level: decoded,
                speaking: decoded > -50.0,
            };
            self.speakers.decoded(ms(self.now), ANN, Some(decoded));
            self.speakers.step(ms(self.now));
        }

        fn speaks(&self) -> bool {
            self.speakers.rank(ANN).speaks
        }
    }

    fn claims(level: f32) -> Claims {
        Claims {
            levels: vec![level; 5],
            bare: false,
        }
    }

    #[test]
    fn an_honest_talker_speaks_within_half_a_second_and_stops_a_second_later() {
        let mut room = Room::new();
        (0..30).for_each(|_| room.step(-70.0, -70.0));
        let began = room.now;
        while !room.speaks() {
            // Decoded sound lags behind by 300 ms.
            let lagging = if room.now < began + 300 { -70.0 } else { -32.0 };
            room.step(-30.0, lagging);
        }
        assert!(room.now - began <= 500, "{}", room.now - began);
        assert_eq!(room.speakers.dominant(), Some(ANN));
        let ended = room.now;
        while room.speaks() {
            room.step(-70.0, -70.0);
        }
        assert_eq!(room.now - ended, 1000);
        assert_eq!(room.speakers.rank(ANN).spoke, Some(ms(room.now - 100)));
    }

    #[test]
    fn a_liar_never_speaks_and_is_not_believed_for_long() {
        let mut room = Room::new();
        (0..30).for_each(|_| room.step(-70.0, -70.0));
        let began = room.now;
        while !room.speakers.is_opaque(ANN) {
            room.step(-10.0, -90.0);
            assert!(!room.speaks(), "at {} ms", room.now - began);
        }
        assert!(room.now - began <= 700, "{}", room.now - began);
        // But what is really said counts.
        (0..10).for_each(|_| room.step(-10.0, -90.0));
        assert!(!room.speaks());
        (0..5).for_each(|_| room.step(-10.0, -25.0));
        assert!(room.speaks());
        (0..20).for_each(|_| room.step(-10.0, -90.0));
        assert!(!room.speaks());
        // A minute later they are tried again, and found out again, for twice as long.
        while room.speakers.is_opaque(ANN) {
            room.step(-10.0, -90.0);
        }
        let again = room.now;
        assert!((59_000..=61_500).contains(&(again - began)));
        while !room.speakers.is_opaque(ANN) {
            room.step(-10.0, -90.0);
            assert!(!room.speaks());
        }
        while room.speakers.is_opaque(ANN) {
            room.step(-10.0, -90.0);
        }
        assert!((119_000..=123_000).contains(&(room.now - again)));
    }

    #[test]
    fn claims_that_cannot_be_checked_only_nominate() {
        let mut speakers = Speakers::default();
        for n in 0..50 {
            speakers.claim(BOB, claims(if n < 20 { -70.0 } else { -20.0 }));
            speakers.step(ms(n * 100));
        }
        assert!(!speakers.rank(BOB).speaks);
        assert_eq!(speakers.nominated(ms(5_000), BOB), Some((true, -20.0)));
        assert!(!speakers.is_opaque(BOB));
        assert_eq!(speakers.nominated(ms(7_500), BOB), None);
    }

    #[test]
    fn who_claims_nothing_is_judged_by_what_is_decoded() {
        let mut speakers = Speakers::default();
        for n in 0..10 {
            let claims = Claims {
                bare: true,
                ..Claims::default()
            };
            speakers.claim(BOB, claims);
            let (level, speaking) = (-30.0, true);
            let decoded = Decoded { level, speaking };
            speakers.decoded(ms(n * 100), BOB, Some(decoded));
            speakers.step(ms(n * 100));
        }
        assert!(speakers.is_opaque(BOB) && speakers.rank(BOB).speaks);
        assert_eq!(speakers.dominant(), Some(BOB));
        speakers.forget(BOB);
        assert_eq!(speakers.dominant(), None);
    }

    #[test]
    fn clicks_and_a_restless_room_are_not_speech() {
        let mut speakers = Speakers::default();
        let mut noise = 1u32;
        for n in 0..3_000u64 {
            let levels = (0..5).map(|frame| {
                noise ^= noise << 13;
                noise ^= noise >> 17;
                noise ^= noise << 5;
                // Ten dB from the quietest to the loudest moment, and two keystrokes a second.
                let click = n % 5 == 0 && frame == 2;
                if click {
                    -20.0
                } else {
                    -52.0 + (noise % 100) as f32 / 10.0
                }
            });
            let (levels, bare) = (levels.collect(), false);
            speakers.claim(BOB, Claims { levels, bare });
            let (level, speaking) = (-45.0, true);
            speakers.decoded(ms(n * 100), BOB, Some(Decoded { level, speaking }));
            speakers.step(ms(n * 100));
            assert!(n < 30 || !speakers.rank(BOB).speaks, "after {n} blocks");
        }
    }
}
