//! One tick of a room's video: every source's due frame, every mix's picture.

use std::collections::HashMap;
use std::sync::Arc;

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

/// A picture that has not changed for so many ticks (half a second at 25 a second) is still.
const STILL_AFTER: u32 = 12;
/// Of still pictures every third is encoded: avatars and empty rooms need no more, and a keyframe
/// is still at hand within 120 ms. Not rarer: with pauses over 190 ms after 40 ms ones a receiver
/// counts a freeze (W3C `freezeCount`).
const STILL_EVERY: u32 = 3;

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
    /// Ticks since anything changed.
    still: u32,
}

/// The frame of each source that is due at this tick, by the address of its queue: asked for
/// once however many mixes show it. The plan keeps the queues alive, so addresses do not recur.
type Due = HashMap<*const Frames, Option<Arc<Frame>>>;

impl Mixer {
    /// With nothing to do.
    pub fn new(stats: Arc<Stats>, report: Report) -> Self {
        let plan = VideoPlan {
            period: std::time::Duration::from_millis(40),
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
    pub fn tick(&mut self, at: MediaTime, mut push: impl FnMut(&VideoMix, Buffer, PictureMeta)) {
        let due = self.due(at);
        for mix in &self.plan.mixes {
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
            let scene = scene(mix, &due);
            if !state.wants(mix, &scene) {
                continue;
            }
            match state.canvases.compose(&scene, &mut self.tiles, at) {
                Ok(Some(picture)) => {
                    let arrivals = state.note(mix, &scene, &due);
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
            still: 0,
        })
    }

    /// Whether a picture of this scene is to go out.
    fn wants(&mut self, mix: &VideoMix, scene: &Scene) -> bool {
        if self.layout != Some(mix.layout) || scene.looks() != self.looks {
            self.still = 0;
            return true;
        }
        self.still += 1;
        self.still < STILL_AFTER || (self.still - STILL_AFTER).is_multiple_of(STILL_EVERY)
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
