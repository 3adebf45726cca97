//! The pictures of one mix: buffers that are used again as soon as the encoder has let go of
//! them, each remembering what it shows, so that only what changed is drawn.

use std::sync::Arc;

use gstreamer::{Buffer, ClockTime, glib};
use gstreamer_video::{VideoFormat, VideoFrameRef, VideoInfo};

use super::overlay::Overlay;
use super::pixels::{PictureMut, Yuv};
use super::place::Placement;
use super::tiles::Tiles;
use crate::clock::MediaTime;
use crate::decode::video::Frame;
use crate::media::{Rect, Size};

/// Most buffers of one mix: one drawn, two waiting before the encoder, one within it, and one to
/// spare. A mix that has none left loses this tick's picture; its encoder hangs.
const BUFFERS: usize = 5;

/// What one picture is to show.
#[derive(Debug, Clone)]
pub struct Scene {
    /// Between and around the slots.
    pub background: Yuv,
    /// From the first on; they do not overlap.
    pub slots: Vec<Slot>,
}

/// One place of a scene.
#[derive(Debug, Clone)]
pub struct Slot {
    /// Where.
    pub rect: Rect,
    /// What.
    pub content: Content,
    /// A strip over the lower left corner.
    pub label: Option<Arc<Overlay>>,
}

/// What stands in a slot.
#[derive(Debug, Clone)]
pub enum Content {
    /// A source's picture.
    Frame {
        /// The picture.
        frame: Arc<Frame>,
        /// Which part of it goes where; the rest of the slot is bars.
        placement: Placement,
    },
    /// One colour with something in its middle: an avatar, or words.
    Flat {
        /// The colour.
        colour: Yuv,
        /// In the middle.
        text: Option<Arc<Overlay>>,
    },
}

/// The identity of what a slot shows: equal looks are equal pixels. Holds no frames, which would
/// keep decoders from using their memory again.
#[derive(Debug, Clone, PartialEq)]
pub struct Look {
    rect: Rect,
    what: What,
    label: Option<Same>,
}

#[derive(Debug, Clone, PartialEq)]
enum What {
    Frame(u64, Placement),
    Flat(Yuv, Option<Same>),
}

/// Equal if it is the same object.
#[derive(Debug, Clone)]
struct Same(Arc<Overlay>);

impl PartialEq for Same {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Scene {
    /// What the scene looks like, slot by slot.
    pub fn looks(&self) -> Vec<Look> {
        self.slots.iter().map(Slot::look).collect()
    }
}

impl Slot {
    fn look(&self) -> Look {
        let same = |overlay: &Arc<Overlay>| Same(overlay.clone());
        Look {
            rect: self.rect,
            what: match &self.content {
                Content::Frame { frame, placement } => What::Frame(frame.serial, *placement),
                Content::Flat { colour, text } => What::Flat(*colour, text.as_ref().map(same)),
            },
            label: self.label.as_ref().map(same),
        }
    }
}

/// The recycled buffers of one mix.
pub struct Canvases {
    info: VideoInfo,
    all: Vec<Canvas>,
    /// A source that cannot be drawn is reported once, not 25 times a second.
    complained: bool,
}

struct Canvas {
    buffer: Buffer,
    background: Option<Yuv>,
    shows: Vec<Look>,
}

impl Canvases {
    /// For pictures of a size.
    pub fn new(size: Size) -> Result<Self, glib::BoolError> {
        let info = VideoInfo::builder(VideoFormat::I420, size.width, size.height).build()?;
        Ok(Self {
            info,
            all: Vec::new(),
            complained: false,
        })
    }

    /// The size of the pictures.
    pub fn size(&self) -> Size {
        Size::new(self.info.width(), self.info.height())
    }

    /// Draws a scene. `None` if every buffer is still with the encoder.
    pub fn compose(
        &mut self,
        scene: &Scene,
        tiles: &mut Tiles,
        at: MediaTime,
    ) -> Result<Option<Buffer>, glib::BoolError> {
        let looks = scene.looks();
        let Some(canvas) = self.free(&looks)? else {
            return Ok(None);
        };
        let canvas = &mut self.all[canvas];
        let buffer = canvas
            .buffer
            .get_mut()
            .expect("a free buffer is ours alone");
        {
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &self.info)?;
            let mut picture = PictureMut::of(&mut frame);
            let places = |looks: &[Look]| looks.iter().map(|l| l.rect).collect::<Vec<_>>();
            if canvas.background != Some(scene.background)
                || places(&canvas.shows) != places(&looks)
            {
                let size = picture.size();
                let whole = Rect {
                    x: 0,
                    y: 0,
                    width: size.width,
                    height: size.height,
                };
                picture.fill(whole, scene.background);
                canvas.background = Some(scene.background);
                canvas.shows.clear();
            }
            for (n, (slot, look)) in scene.slots.iter().zip(&looks).enumerate() {
                let before = canvas.shows.get(n);
                if before == Some(look) {
                    continue;
                }
                if let Err(error) = slot.draw(before, scene.background, tiles, &mut picture)
                    && !std::mem::replace(&mut self.complained, true)
                {
                    tracing::warn!(%error, "a source is not drawn");
                }
            }
        }
        canvas.shows = looks;
        buffer.set_pts(ClockTime::from_nseconds(at.0));
        buffer.set_dts(None);
        Ok(Some(canvas.buffer.clone()))
    }

    /// The free buffer that shows most of `looks` already, or a new one.
    fn free(&mut self, looks: &[Look]) -> Result<Option<usize>, glib::BoolError> {
        let alike = |canvas: &Canvas| {
            let pairs = canvas.shows.iter().zip(looks);
            pairs.filter(|(shown, look)| shown == look).count()
        };
        let free = (0..self.all.len())
            .filter(|n| self.all[*n].buffer.get_mut().is_some())
            .collect::<Vec<_>>();
        if let Some(best) = free.into_iter().max_by_key(|n| alike(&self.all[*n])) {
            return Ok(Some(best));
        }
        if self.all.len() == BUFFERS {
            return Ok(None);
        }
        self.all.push(Canvas {
            buffer: Buffer::with_size(self.info.size())?,
            background: None,
            shows: Vec::new(),
        });
        Ok(Some(self.all.len() - 1))
    }
}

impl Slot {
    /// Draws over what the slot showed `before`, `None` being the plain background.
    fn draw(
        &self,
        before: Option<&Look>,
        background: Yuv,
        tiles: &mut Tiles,
        picture: &mut PictureMut,
    ) -> Result<(), super::tiles::Error> {
        let drawn = match &self.content {
            Content::Frame { frame, placement } => {
                let bars = placement.target != self.rect;
                let same_bars = matches!(before, Some(Look { what: What::Frame(_, p), label: None, .. }) if p == placement);
                // A translucent label darkens the bars beneath it again each time it is drawn.
                if bars && !(same_bars && self.label.is_none()) {
                    picture.fill(self.rect, background);
                }
                let drawn = tiles.draw(frame, placement, picture);
                if drawn.is_err() {
                    picture.fill(self.rect, background);
                }
                drawn
            }
            Content::Flat { colour, text } => {
                picture.fill(self.rect, *colour);
                if let Some(text) = text {
                    let middle = |start: u32, room: u32, size: u32| {
                        start + ((room.saturating_sub(size) / 2) & !1)
                    };
                    let (rect, size) = (self.rect, text.size());
                    let x = middle(rect.x, rect.width, size.width);
                    let y = middle(rect.y, rect.height, size.height);
                    text.draw(picture, (x, y));
                }
                Ok(())
            }
        };
        if let Some(label) = &self.label {
            let down = self.rect.height.saturating_sub(label.size().height);
            label.draw(picture, (self.rect.x, self.rect.y + down));
        }
        drawn
    }
}

#[cfg(test)]
mod tests {
    use super::super::label::{self, BACKGROUND, CALM};
    use super::super::layout::grid;
    use super::super::place::place;
    use super::super::testing::{assert_near, look, plain, turned};
    use super::*;
    use crate::id::ParticipantId;
    use crate::media::{Fit, Rotation};

    const SIZE: Size = Size::new(640, 360);
    const RED: Yuv = Yuv::from_rgb(255, 0, 0);
    const GREEN: Yuv = Yuv::from_rgb(0, 255, 0);
    const BLUE: Yuv = Yuv::from_rgb(0, 0, 255);
    const WHITE: Yuv = Yuv::from_rgb(255, 255, 255);

    fn showing(frame: Frame, rect: Rect, fit: Fit) -> Slot {
        let size = Size::new(frame.info.width(), frame.info.height());
        let placement = place(size, frame.rotation, rect, fit).unwrap();
        Slot {
            rect,
            content: Content::Frame {
                frame: Arc::new(frame),
                placement,
            },
            label: None,
        }
    }

    fn avatar(who: u32, rect: Rect, text: Option<Arc<Overlay>>) -> Slot {
        Slot {
            rect,
            content: Content::Flat {
                colour: label::avatar_colour(ParticipantId(who)),
                text,
            },
            label: None,
        }
    }

    fn white(width: u32, height: u32, cover: u8) -> Arc<Overlay> {
        let pixels = vec![[255, 255, 255, cover]; (width * height) as usize];
        Arc::new(Overlay::from_rgba(Size::new(width, height), &pixels))
    }

    fn scene(slots: Vec<Slot>) -> Scene {
        Scene {
            background: BACKGROUND,
            slots,
        }
    }

    fn canvases() -> Canvases {
        crate::gst::init().unwrap();
        Canvases::new(SIZE).unwrap()
    }

    fn composed(canvases: &mut Canvases, scene: &Scene) -> Buffer {
        canvases
            .compose(scene, &mut Tiles::default(), MediaTime(7))
            .unwrap()
            .unwrap()
    }

    #[test]
    fn tiles_show_their_sources_and_gutters_the_background() {
        let places = grid(SIZE, 3, 16);
        let picture = composed(
            &mut canvases(),
            &scene(vec![
                showing(plain(640, 360, RED), places[0], Fit::Crop),
                showing(plain(320, 180, GREEN), places[1], Fit::Crop),
                showing(plain(1280, 720, BLUE), places[2], Fit::Crop),
            ]),
        );
        assert_eq!(picture.pts(), Some(ClockTime::from_nseconds(7)));
        look(&picture, SIZE, |seen| {
            for (place, colour) in places.iter().zip([RED, GREEN, BLUE]) {
                let (right, bottom) = (place.x + place.width, place.y + place.height);
                assert_near(
                    seen.at(right - 1 - place.width / 2, bottom - 1 - place.height / 2),
                    colour,
                    2,
                );
                assert_near(seen.at(place.x, place.y + place.height / 2), colour, 2);
                assert_near(seen.at(right - 1, place.y + place.height / 2), colour, 2);
                if right < SIZE.width {
                    assert_eq!(seen.at(right, place.y), BACKGROUND);
                }
                if bottom < SIZE.height {
                    assert_eq!(seen.at(place.x, bottom), BACKGROUND);
                }
            }
        });
    }

    #[test]
    fn what_does_not_fit_is_letterboxed() {
        let tile = grid(SIZE, 1, 16)[0];
        let phone = turned(640, 360, Rotation::R270, |picture| {
            picture.fill(tile, RED);
        });
        let picture = composed(
            &mut canvases(),
            &scene(vec![showing(phone, tile, Fit::Crop)]),
        );
        look(&picture, SIZE, |seen| {
            assert_near(seen.at(320, 180), RED, 2);
            assert_near(seen.at(320, 0), RED, 2);
            assert_eq!(seen.at(150, 180), BACKGROUND);
            assert_eq!(seen.at(490, 180), BACKGROUND);
        });
    }

    #[test]
    fn avatars_and_labels_are_drawn() {
        let tile = grid(SIZE, 1, 16)[0];
        let mut slot = avatar(1, tile, Some(white(20, 20, 255)));
        slot.label = Some(white(100, 24, 128));
        let picture = composed(&mut canvases(), &scene(vec![slot]));
        let colour = label::avatar_colour(ParticipantId(1));
        look(&picture, SIZE, |seen| {
            assert_eq!(seen.at(320, 180), WHITE);
            assert_eq!(seen.at(300, 180), colour);
            let labelled = seen.at(50, 350).y;
            assert!(labelled > colour.y + 60 && labelled < 200, "{labelled}");
            assert_eq!(seen.at(50, 335), colour);
            assert_eq!(seen.at(101, 350), colour);
        });
    }

    #[test]
    fn what_has_not_changed_is_not_drawn_again() {
        let places = grid(SIZE, 2, 16);
        let mut canvases = canvases();
        let mut slots = scene(vec![
            showing(plain(640, 360, RED), places[0], Fit::Crop),
            showing(plain(640, 360, GREEN), places[1], Fit::Crop),
        ]);
        let mut picture = composed(&mut canvases, &slots);
        drop(std::mem::take(&mut canvases.all));
        {
            let info = canvases.info.clone();
            let buffer = picture.get_mut().unwrap();
            let mut frame = VideoFrameRef::from_buffer_ref_writable(buffer, &info).unwrap();
            let whole = Rect {
                x: 0,
                y: 0,
                width: SIZE.width,
                height: SIZE.height,
            };
            PictureMut::of(&mut frame).fill(whole, WHITE);
        }
        canvases.all.push(Canvas {
            buffer: picture,
            background: Some(BACKGROUND),
            shows: slots.looks(),
        });
        slots.slots[1] = showing(plain(640, 360, BLUE), places[1], Fit::Crop);
        let picture = composed(&mut canvases, &slots);
        look(&picture, SIZE, |seen| {
            assert_eq!(seen.at(places[0].x + 9, 180), WHITE, "left as it was");
            assert_eq!(seen.at(places[1].x - 1, 180), WHITE, "left as it was");
            assert_near(seen.at(places[1].x + 9, 180), BLUE, 2);
        });
    }

    #[test]
    fn buffers_come_back_from_the_encoder() {
        let mut canvases = canvases();
        let tile = grid(SIZE, 1, 16)[0];
        let mut held: Vec<Buffer> = (0..BUFFERS)
            .map(|n| composed(&mut canvases, &scene(vec![avatar(n as u32, tile, None)])))
            .collect();
        let next = scene(vec![avatar(9, tile, None)]);
        let full = canvases.compose(&next, &mut Tiles::default(), MediaTime(0));
        assert!(full.unwrap().is_none());
        look(&held[2], SIZE, |seen| {
            assert_eq!(seen.at(9, 9), label::avatar_colour(ParticipantId(2)));
        });
        held.remove(2);
        composed(&mut canvases, &next);
        assert_eq!(canvases.all.len(), BUFFERS);
    }

    /// Whatever was drawn before, a recycled buffer shows exactly what a new one would.
    #[test]
    fn recycled_buffers_equal_fresh_ones() {
        use rand::rngs::SmallRng;
        use rand::{RngExt, SeedableRng};
        let mut random = SmallRng::seed_from_u64(2);
        let overlays = [white(40, 24, 128), white(80, 20, 255)];
        let sources = [(640, 360), (320, 240), (360, 640), (160, 90)];
        let mut recycled = canvases();
        let mut tiles = Tiles::default();
        let mut last: Vec<Slot> = Vec::new();
        let mut held = std::collections::VecDeque::new();
        for round in 0..400 {
            let count = if random.random_ratio(1, 8) || last.is_empty() {
                random.random_range(1..6)
            } else {
                last.len()
            };
            let slots: Vec<Slot> = grid(SIZE, count, 16)
                .into_iter()
                .enumerate()
                .map(|(n, rect)| {
                    if let Some(same) = last.get(n).filter(|s| s.rect == rect)
                        && random.random_ratio(1, 2)
                    {
                        return same.clone();
                    }
                    let (w, h) = sources[random.random_range(0..sources.len())];
                    let colour = Yuv::from_rgb(random.random(), random.random(), random.random());
                    let fit = if random.random() {
                        Fit::Crop
                    } else {
                        Fit::Whole
                    };
                    let overlay = overlays.get(random.random_range(0..3)).cloned();
                    let mut slot = if random.random_ratio(1, 4) {
                        avatar(random.random_range(0..3), rect, overlay.clone())
                    } else {
                        showing(plain(w, h, colour), rect, fit)
                    };
                    slot.label = overlay.filter(|_| random.random());
                    slot
                })
                .collect();
            let scene = Scene {
                background: if random.random_ratio(1, 20) {
                    CALM
                } else {
                    BACKGROUND
                },
                slots,
            };
            let at = MediaTime(round);
            let seen = recycled.compose(&scene, &mut tiles, at).unwrap().unwrap();
            let fresh = composed(&mut canvases(), &scene);
            assert!(
                seen.map_readable().unwrap() == fresh.map_readable().unwrap(),
                "round {round}"
            );
            held.push_back(seen);
            if held.len() > random.random_range(0..3) {
                held.pop_front();
            }
            last = scene.slots;
            let kept = random.random();
            tiles.end_tick(|_| kept);
        }
        assert!(recycled.all.len() <= 4);
    }
}
