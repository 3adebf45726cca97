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
        let buffer = canvas.buffer.get_mut().expect("a free buffer is ours alone");
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
                        start + (room.saturating_sub(size) / 2 & !1)
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
