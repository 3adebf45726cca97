//! One tick of a room's video: every source's due frame, every mix's picture.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use gstreamer::Buffer;

use super::canvas::{Canvases, Content, Look, Scene, Slot};
use super::label::{self, BACKGROUND, CALM};
use super::place::place;
use super::plan::{MixEvent, MixId, Report, Tile, VideoMix, VideoPlan};
use super::tiles::Tiles;
use crate::clock::MediaTime;
use crate::decode::video::{Frame, Frames};
use crate::encode::video::PictureMeta;
use crate::id::ParticipantId;
use crate::media::{Rect, Size};
use crate::stats::Stats;

/// A picture that has not changed for so long is still.
const STILL_AFTER: Duration = Duration::from_millis(500);
/// Still pictures go out this far apart, to the next tick: avatars and empty rooms need no more,
/// and a keyframe is at hand within 120 ms. Not rarer: with pauses over 190 ms after 40 ms ones
/// a receiver counts a freeze (W3C `freezeCount`).
const STILL_GAP: Duration = Duration::from_millis(100);

/// What the video loop keeps from tick to tick.
pub struct Mixer {
    plan: VideoPlan,
    mixes: HashMap<MixId, Mix>,
    tiles: Tiles,
    stats: Arc<Stats>,
    report: Report,
}

struct Mix {
    canvases: Canvases,
    /// What the last picture that went out showed.
    looks: Vec<Look>,
    /// Whose frame of which serial was shown in it.
    shown: HashMap<ParticipantId, u64>,
    layout: Option<u64>,
    /// When anything changed last.
    changed: MediaTime,
    /// When a picture went out last.
    sent: MediaTime,
    /// The turn that the last picture took.
    turn: Option<u64>,
}

/// The frame of each source that is due at this tick, by the address of its queue: asked for
/// once however many mixes show it. The plan keeps the queues alive, so addresses do not recur.
type Due = HashMap<*const Frames, Option<Arc<Frame>>>;

impl Mixer {
    /// With nothing to do.
    pub fn new(stats: Arc<Stats>, report: Report) -> Self {
        let plan = VideoPlan {
            period: Duration::from_millis(40),
            mixes: Vec::new(),
        };
        Self {
            plan,
            mixes: HashMap::new(),
            tiles: Tiles::default(),
            stats,
            report,
        }
    }

    /// Does as `plan` says from the next tick on; keeps what it has in common with the old one.
    pub fn adopt(&mut self, plan: VideoPlan) {
        let size = |id: &MixId| plan.mixes.iter().find(|m| m.id == *id).map(|m| m.canvas);
        self.mixes
            .retain(|id, mix| size(id) == Some(mix.canvases.size()));
        self.plan = plan;
    }

    /// The plan it follows.
    pub fn plan(&self) -> &VideoPlan {
        &self.plan
    }

    /// Composes every mix's picture of the tick due at `at` and hands each to `push` as soon as
    /// it is ready, so that encoders start while the next one is composed.
    pub fn tick(&mut self, at: MediaTime, push: impl FnMut(&VideoMix, Buffer, PictureMeta)) {
        let due = self.due(at);
        self.compose(at, &due, push);
    }

    fn compose(
        &mut self,
        at: MediaTime,
        due: &Due,
        mut push: impl FnMut(&VideoMix, Buffer, PictureMeta),
    ) {
        for mix in &self.plan.mixes {
            let turn = turn(mix.fps, self.plan.period, at);
            let state = match self.mixes.entry(mix.id) {
                std::collections::hash_map::Entry::Occupied(state) => state.into_mut(),
                std::collections::hash_map::Entry::Vacant(slot) => match Mix::new(mix.canvas) {
                    Ok(state) => slot.insert(state),
                    Err(error) => {
                        tracing::warn!(%error, mix = mix.id.0, "no canvas of {:?}", mix.canvas);
                        continue;
                    }
                },
            };
            if turn.is_some() && state.turn == turn {
                continue;
            }
            let scene = scene(mix, due);
            if !state.wants(mix, &scene, at) {
                continue;
            }
            match state.canvases.compose(&scene, &mut self.tiles, at) {
                Ok(Some(picture)) => {
                    let arrivals = state.note(mix, &scene, due);
                    (state.sent, state.turn) = (at, turn);
                    let meta = PictureMeta {
                        at,
                        layout: mix.layout,
                        arrivals,
                    };
                    push(mix, picture, meta);
                    if state.layout.replace(mix.layout) != Some(mix.layout) {
                        (self.report)(MixEvent::LayoutShown {
                            mix: mix.id,
                            layout: mix.layout,
                            at,
                        });
                    }
                }
                Ok(None) => self.stats.dropped("canvas", 1),
                Err(error) => tracing::warn!(%error, mix = mix.id.0, "no picture"),
            }
        }
        let serials: Vec<u64> = due.values().flatten().map(|frame| frame.serial).collect();
        self.tiles.end_tick(|serial| serials.contains(&serial));
    }

    fn due(&self, at: MediaTime) -> Due {
        let mut due = Due::new();
        let tiles = self.plan.mixes.iter().flat_map(|mix| &mix.tiles);
        for frames in tiles.filter_map(|tile| tile.video.as_ref()) {
            due.entry(Arc::as_ptr(frames))
                .or_insert_with(|| frames.due(at));
        }
        due
    }
}

impl Mix {
    fn new(canvas: Size) -> Result<Self, gstreamer::glib::BoolError> {
        Ok(Self {
            canvases: Canvases::new(canvas)?,
            looks: Vec::new(),
            shown: HashMap::new(),
            layout: None,
            changed: MediaTime(0),
            sent: MediaTime(0),
            turn: None,
        })
    }

    /// Whether a picture of this scene is to go out.
    fn wants(&mut self, mix: &VideoMix, scene: &Scene, at: MediaTime) -> bool {
        if self.layout != Some(mix.layout) || scene.looks() != self.looks {
            self.changed = at;
        }
        at.since(self.changed) < STILL_AFTER || at.since(self.sent) >= STILL_GAP
    }

    /// Remembers what goes out; the arrivals of the frames that were not shown before.
    fn note(&mut self, mix: &VideoMix, scene: &Scene, due: &Due) -> Vec<MediaTime> {
        self.looks = scene.looks();
        let mut arrivals = Vec::new();
        let mut shown = HashMap::with_capacity(mix.tiles.len());
        for tile in &mix.tiles {
            if let Some(frame) = frame_of(tile, due) {
                if self.shown.get(&tile.who) != Some(&frame.serial) {
                    arrivals.push(frame.arrived);
                }
                shown.insert(tile.who, frame.serial);
            }
        }
        self.shown = shown;
        arrivals
    }
}

/// Which turn of a mix of so many pictures a second a tick falls into; of the ticks in one turn the
/// first has a picture, so that those left out are spread evenly. None: each tick has one.
fn turn(fps: u32, period: Duration, at: MediaTime) -> Option<u64> {
    let length = Duration::from_secs(1) / fps.max(1);
    (length > period).then(|| (u128::from(at.0) * u128::from(fps) / 1_000_000_000) as u64)
}

fn frame_of<'a>(tile: &Tile, due: &'a Due) -> Option<&'a Arc<Frame>> {
    due.get(&Arc::as_ptr(tile.video.as_ref()?))?.as_ref()
}

fn scene(mix: &VideoMix, due: &Due) -> Scene {
    if mix.tiles.is_empty() {
        return Scene {
            background: CALM,
            slots: vec![Slot {
                rect: Rect {
                    x: 0,
                    y: 0,
                    width: mix.canvas.width,
                    height: mix.canvas.height,
                },
                content: Content::Flat {
                    colour: CALM,
                    text: label::empty_room(mix.canvas),
                },
                label: None,
            }],
        };
    }
    Scene {
        background: BACKGROUND,
        slots: mix
            .tiles
            .iter()
            .map(|tile| Slot {
                rect: tile.rect,
                content: content(tile, frame_of(tile, due)),
                label: mix
                    .labels
                    .then(|| label::name_strip(&tile.name, tile.rect.size()))
                    .flatten(),
            })
            .collect(),
    }
}

fn content(tile: &Tile, frame: Option<&Arc<Frame>>) -> Content {
    let placed = frame.and_then(|frame| {
        let size = Size::new(frame.info.width(), frame.info.height());
        let placement = place(size, frame.rotation, tile.rect, tile.fit)?;
        Some((frame, placement))
    });
    match placed {
        Some((frame, placement)) => Content::Frame {
            frame: frame.clone(),
            placement,
        },
        None => Content::Flat {
            colour: label::avatar_colour(tile.who),
            text: label::initials(&tile.name, tile.rect.size()),
        },
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;
    use std::time::Instant;

    use super::super::layout::grid;
    use super::super::pixels::Yuv;
    use super::super::testing::{assert_near, look, plain};
    use super::*;
    use crate::encode::video::Input;
    use crate::media::Fit;

    const PATIENCE: Duration = Duration::from_secs(20);
    const SIZE: Size = Size::new(640, 360);
    const COLOURS: [Yuv; 3] = [
        Yuv::from_rgb(255, 0, 0),
        Yuv::from_rgb(0, 255, 0),
        Yuv::from_rgb(0, 0, 255),
    ];

    /// A room of three whose frames the test hands out.
    struct Room {
        mixer: Mixer,
        sources: Vec<Arc<Frames>>,
        due: Due,
        reports: Arc<Mutex<Vec<(u64, u64, u64)>>>,
        tick: u64,
    }

    impl Room {
        fn new() -> Self {
            let reports = Arc::<Mutex<Vec<_>>>::default();
            let noted = reports.clone();
            let report = Arc::new(move |event| {
                if let MixEvent::LayoutShown { mix, layout, at } = event {
                    noted
                        .lock()
                        .unwrap()
                        .push((mix.0, layout, at.0 / 40_000_000));
                }
            });
            Self {
                mixer: Mixer::new(Arc::default(), report),
                sources: (0..3)
                    .map(|_| Arc::new(Frames::new(Arc::default())))
                    .collect(),
                due: Due::new(),
                reports,
                tick: 0,
            }
        }

        /// The mix of everybody but `without`.
        fn mix(&self, id: u64, layout: u64, without: Option<usize>) -> VideoMix {
            let others: Vec<usize> = (0..3).filter(|n| Some(*n) != without).collect();
            let places = grid(SIZE, others.len(), 16);
            VideoMix {
                id: MixId(id),
                layout,
                canvas: SIZE,
                fps: 25,
                tiles: others
                    .into_iter()
                    .zip(places)
                    .map(|(n, rect)| Tile {
                        who: ParticipantId(n as u32),
                        name: crate::id::DisplayName::new("Ann").unwrap(),
                        rect,
                        fit: Fit::Crop,
                        video: Some(self.sources[n].clone()),
                    })
                    .collect(),
                labels: false,
                output: Input::nowhere(),
            }
        }

        fn adopt(&mut self, mixes: Vec<VideoMix>) {
            self.mixer.adopt(VideoPlan {
                period: Duration::from_millis(40),
                mixes,
            });
        }

        /// A new frame of a source, which had arrived at `arrived`.
        fn frame(&mut self, n: usize, arrived: u64) {
            let mut frame = plain(640, 360, COLOURS[n]);
            frame.arrived = MediaTime(arrived);
            let queue = Arc::as_ptr(&self.sources[n]);
            self.due.insert(queue, Some(Arc::new(frame)));
        }

        fn freeze(&mut self, n: usize) {
            self.due.insert(Arc::as_ptr(&self.sources[n]), None);
        }

        /// The pictures of a tick.
        fn tick(&mut self) -> Vec<(u64, Buffer, PictureMeta)> {
            let mut out = Vec::new();
            self.tick += 1;
            let at = MediaTime(self.tick * 40_000_000);
            self.mixer.compose(at, &self.due, |mix, picture, meta| {
                out.push((mix.id.0, picture, meta));
            });
            out
        }
    }

    #[test]
    fn nobody_is_in_their_own_mix() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 0));
        room.adopt((0..3).map(|n| room.mix(n as u64, 1, Some(n))).collect());
        let pictures = room.tick();
        assert_eq!(pictures.len(), 3);
        for (without, picture, _) in pictures {
            let others = (0..3).filter(|n| *n != without as usize);
            look(&picture, SIZE, |seen| {
                for (n, place) in others.zip(grid(SIZE, 2, 16)) {
                    let (x, y) = (place.x + place.width / 2, place.y + place.height / 2);
                    assert_near(seen.at(x, y), COLOURS[n], 2);
                }
            });
        }
    }

    #[test]
    fn a_source_without_a_due_frame_is_an_avatar() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 0));
        room.adopt(vec![room.mix(0, 1, Some(0))]);
        room.tick();
        room.freeze(1);
        let (_, picture, meta) = room.tick().remove(0);
        let place = grid(SIZE, 2, 16)[0];
        look(&picture, SIZE, |seen| {
            let colour = label::avatar_colour(ParticipantId(1));
            assert_eq!(seen.at(place.x + 4, place.y + 4), colour);
        });
        assert_eq!(meta.arrivals, []);
    }

    #[test]
    fn arrivals_are_of_frames_first_shown() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 100 + n as u64));
        room.adopt(vec![room.mix(0, 1, Some(0)), room.mix(1, 1, None)]);
        let arrivals = |room: &mut Room| -> Vec<Vec<u64>> {
            let pictures = room.tick();
            let metas = pictures.into_iter().map(|(_, _, meta)| meta.arrivals);
            metas.map(|a| a.iter().map(|t| t.0).collect()).collect()
        };
        assert_eq!(arrivals(&mut room), [vec![101, 102], vec![100, 101, 102]]);
        room.frame(2, 202);
        assert_eq!(arrivals(&mut room), [vec![202], vec![202]]);
        room.frame(0, 300);
        assert_eq!(arrivals(&mut room), [vec![], vec![300]]);
        // A new arrangement shows no new frame.
        room.adopt(vec![room.mix(0, 2, Some(0)), room.mix(1, 2, None)]);
        assert_eq!(arrivals(&mut room), [Vec::<u64>::new(), vec![]]);
    }

    #[test]
    fn each_arrangement_is_reported_once() {
        let mut room = Room::new();
        room.adopt(vec![room.mix(0, 1, Some(0)), room.mix(1, 1, None)]);
        room.tick();
        room.tick();
        room.adopt(vec![room.mix(0, 1, Some(0)), room.mix(1, 2, None)]);
        room.tick();
        room.tick();
        let reports = room.reports.lock().unwrap().clone();
        assert_eq!(reports, [(0, 1, 1), (1, 1, 1), (1, 2, 3)]);
    }

    #[test]
    fn still_pictures_go_out_less_often_and_any_change_at_once() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 0));
        room.adopt(vec![room.mix(0, 1, None)]);
        let sent: Vec<bool> = (0..60).map(|_| !room.tick().is_empty()).collect();
        assert!(sent[..12].iter().all(|sent| *sent));
        let later = sent[30..].iter().filter(|sent| **sent).count();
        assert_eq!(later, 10);
        for _ in 0..5 {
            room.frame(1, 9);
            assert_eq!(room.tick().len(), 1);
        }
    }

    #[test]
    fn a_slower_mix_leaves_ticks_out_evenly() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 0));
        let slower = |room: &Room, id, fps| VideoMix {
            fps,
            ..room.mix(id, 1, None)
        };
        let mixes = [25, 20, 10, 60].into_iter().enumerate();
        room.adopt(mixes.map(|(n, fps)| slower(&room, n as u64, fps)).collect());
        let mut sent = [const { Vec::new() }; 4];
        for n in 0..100 {
            room.frame(0, n);
            for (id, ..) in room.tick() {
                sent[id as usize].push(n);
            }
        }
        let counts = sent.each_ref().map(Vec::len);
        assert_eq!(counts, [100, 81, 41, 100], "the first tick has a picture");
        let gap = |ticks: &Vec<u64>| ticks.windows(2).map(|pair| pair[1] - pair[0]).max();
        assert_eq!(sent.each_ref().map(gap), [1, 2, 3, 1].map(Some));
    }

    #[test]
    fn an_empty_room_says_so() {
        let mut room = Room::new();
        let mut mix = room.mix(0, 1, None);
        mix.tiles.clear();
        room.adopt(vec![mix]);
        let until = Instant::now() + PATIENCE;
        let white = loop {
            assert!(Instant::now() < until, "no words; are fonts installed?");
            // Until the words are rendered, on their own thread.
            let Some((_, picture, _)) = room.tick().pop() else {
                std::thread::yield_now();
                continue;
            };
            let white = look(&picture, SIZE, |seen| {
                assert_eq!(seen.at(3, 3), CALM);
                let row = (150..210).flat_map(|y| (100..540).map(move |x| (x, y)));
                row.filter(|(x, y)| seen.at(*x, *y).y > 200).count()
            });
            if white > 0 {
                break white;
            }
        };
        assert!((100..5000).contains(&white), "{white}");
    }

    #[test]
    fn names_are_in_the_picture_where_the_plan_says_so() {
        let mut room = Room::new();
        (0..3).for_each(|n| room.frame(n, 0));
        let mut named = room.mix(1, 1, Some(0));
        named.labels = true;
        room.adopt(vec![room.mix(0, 1, Some(0)), named]);
        let bright = |picture: &Buffer| {
            let place = grid(SIZE, 2, 16)[1];
            look(picture, SIZE, |seen| {
                let bottom = place.y + place.height;
                let strip = (bottom - 24..bottom)
                    .flat_map(|y| (place.x..place.x + 60).map(move |x| (x, y)));
                strip.filter(|(x, y)| seen.at(*x, *y).y > 200).count()
            })
        };
        let until = Instant::now() + PATIENCE;
        loop {
            assert!(Instant::now() < until, "no name; are fonts installed?");
            room.frame(2, 0);
            let pictures = room.tick();
            assert_eq!(bright(&pictures[0].1), 0);
            if bright(&pictures[1].1) > 10 {
                break;
            }
            std::thread::yield_now();
        }
    }

    #[test]
    fn a_mix_that_leaves_the_plan_leaves_nothing_behind() {
        let mut room = Room::new();
        room.adopt(vec![room.mix(0, 1, None), room.mix(1, 1, Some(0))]);
        room.tick();
        let mut smaller = room.mix(0, 2, None);
        smaller.canvas = Size::new(320, 180);
        smaller.tiles.clear();
        room.adopt(vec![smaller]);
        let pictures = room.tick();
        assert_eq!(pictures.len(), 1);
        assert_eq!(pictures[0].1.size(), 320 * 180 * 3 / 2);
        room.adopt(Vec::new());
        assert!(room.mixer.mixes.is_empty());
    }
}
