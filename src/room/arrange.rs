//! Which picture stands in which place of one mix (pure).
//!
//! A grid shows the stage as it is. Where one place is large, the picture in it trades places
//! with the one that takes it over, and nobody else moves.

use crate::id::{ParticipantId, Source};
use crate::media::Layout;

/// What is to be arranged.
#[derive(Debug, Clone, Copy)]
pub struct Cast<'a> {
    /// The stage in reading order, without what the mix leaves out. None: an empty place.
    pub stage: &'a [Option<Source>],
    /// Those who speak or spoke, most recent first.
    pub speakers: &'a [ParticipantId],
    /// The order so far.
    pub before: &'a [Option<Source>],
}

/// The layout that is used for what is there: a screen has to be read, so while there is one it
/// is presented, and without one nothing is.
pub fn effective(layout: Layout, stage: &[Option<Source>]) -> Layout {
    let shares = stage.iter().flatten().any(|source| source.share);
    match (layout, shares) {
        (Layout::Solo, _) => Layout::Solo,
        (_, true) => Layout::Presentation,
        (Layout::Presentation, false) => Layout::Speaker,
        (layout, false) => layout,
    }
}

impl Cast<'_> {
    /// The order for an effective layout.
    pub fn order(&self, layout: Layout) -> Vec<Option<Source>> {
        match layout {
            Layout::Grid => self.stage.to_vec(),
            Layout::Solo => self.large().map(Some).into_iter().collect(),
            Layout::Presentation => {
                let screen = self.large();
                let speaker = self.speaker();
                [screen, speaker].into_iter().flatten().map(Some).collect()
            }
            Layout::Speaker => self.with_large(),
        }
    }

    /// What is worth the most room: the newest screen, else who speaks.
    fn large(&self) -> Option<Source> {
        let mut screens = self.stage.iter().flatten().filter(|s| s.share);
        screens.next_back().copied().or_else(|| self.speaker())
    }

    /// Who speaks or spoke last; who stood large before anybody did; anybody.
    fn speaker(&self) -> Option<Source> {
        let mut cameras = self.stage.iter().flatten().filter(|s| !s.share);
        let shown = |who: &ParticipantId| {
            let camera = Source::camera(*who);
            self.stage.contains(&Some(camera)).then_some(camera)
        };
        let speaks = self.speakers.iter().find_map(shown);
        let stands = self.before.first().copied().flatten();
        let stands = stands.filter(|s| !s.share && self.stage.contains(&Some(*s)));
        speaks.or(stands).or_else(|| cameras.next().copied())
    }

    /// Everybody, the large one first.
    fn with_large(&self) -> Vec<Option<Source>> {
        let mut new = self.stage.iter().filter(|s| !self.before.contains(s));
        let stays = |source: &Option<Source>| source.is_some() && self.stage.contains(source);
        let mut order: Vec<_> = match self.before.len() == self.stage.len() {
            // Newcomers take the places of those who went.
            true => self
                .before
                .iter()
                .map(|source| match stays(source) {
                    true => *source,
                    false => new.by_ref().find(|s| s.is_some()).copied().flatten(),
                })
                .collect(),
            false => {
                let stay = self.before.iter().filter(|s| stays(s)).copied();
                let stay: Vec<_> = stay.collect();
                let new = self.stage.iter().filter(|s| !stay.contains(s));
                stay.iter().chain(new).copied().collect()
            }
        };
        let large = self.speaker();
        if let Some(at) = order.iter().position(|s| large.is_some() && *s == large) {
            order.swap(0, at);
        }
        order
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cameras(who: &[u32]) -> Vec<Option<Source>> {
        let camera = |n: &u32| (*n > 0).then(|| Source::camera(ParticipantId(*n)));
        who.iter().map(camera).collect()
    }

    fn order(stage: &[u32], speakers: &[u32], before: &[u32], layout: Layout) -> Vec<u32> {
        let speakers: Vec<_> = speakers.iter().map(|n| ParticipantId(*n)).collect();
        let (stage, before) = (cameras(stage), cameras(before));
        let cast = Cast {
            stage: &stage,
            speakers: &speakers,
            before: &before,
        };
        let order = cast.order(layout);
        order.iter().map(|s| s.map_or(0, |s| s.who.0)).collect()
    }

    #[test]
    fn the_speaker_trades_places_with_the_one_before() {
        let (stage, speaker) = ([1, 2, 3, 4], Layout::Speaker);
        assert_eq!(order(&stage, &[], &[], speaker), [1, 2, 3, 4]);
        let once = order(&stage, &[3], &[1, 2, 3, 4], speaker);
        assert_eq!(once, [3, 2, 1, 4]);
        let twice = order(&stage, &[2, 3], &once, speaker);
        assert_eq!(twice, [2, 3, 1, 4]);
        assert_eq!(order(&stage, &[2, 3], &twice, speaker), twice);
        // Somebody off stage is not shown, however much they speak.
        assert_eq!(order(&stage, &[9, 2], &twice, speaker), twice);
    }

    #[test]
    fn newcomers_take_the_places_of_those_who_went() {
        let before = [2, 3, 1, 4];
        let swapped = order(&[1, 2, 9, 4], &[2], &before, Layout::Speaker);
        assert_eq!(swapped, [2, 9, 1, 4]);
        let left = order(&[1, 0, 3, 4], &[3], &before, Layout::Speaker);
        assert_eq!(left, [3, 0, 1, 4], "the large place is never the empty one");
        let fewer = order(&[1, 3, 4], &[2, 3], &left, Layout::Speaker);
        assert_eq!(fewer, [3, 1, 4]);
        let more = order(&[1, 3, 4, 7, 8], &[7], &fewer, Layout::Speaker);
        assert_eq!(more, [7, 1, 4, 3, 8]);
    }

    #[test]
    fn a_screen_is_presented_with_the_speaker_beside_it() {
        let mut stage = cameras(&[1, 2, 3]);
        let screen = Some(Source::screen(ParticipantId(2)));
        assert_eq!(effective(Layout::Presentation, &stage), Layout::Speaker);
        stage.push(screen);
        assert_eq!(effective(Layout::Grid, &stage), Layout::Presentation);
        assert_eq!(effective(Layout::Solo, &stage), Layout::Solo);
        let cast = Cast {
            stage: &stage,
            speakers: &[ParticipantId(3)],
            before: &[],
        };
        let presented = cast.order(Layout::Presentation);
        assert_eq!(presented, [screen, cameras(&[3])[0]]);
        assert_eq!(cast.order(Layout::Solo), [screen]);
    }

    #[test]
    fn solo_is_whoever_speaks() {
        assert_eq!(order(&[1, 2, 3], &[2], &[], Layout::Solo), [2]);
        assert_eq!(order(&[1, 2, 3], &[], &[2], Layout::Solo), [2]);
        assert_eq!(order(&[], &[2], &[], Layout::Solo), [0u32; 0]);
    }
}
