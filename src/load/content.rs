//! What the sources of a run show: for those who encode it, and for those who compare with it.

use super::clip::{self, Clip};
use super::mark::{self, Mark};
use super::picture::Picture;
use super::scene::Scene;
use crate::gst::Library;
use crate::media::Size;

/// The loops of all sources of a run.
#[derive(Debug)]
pub struct Content {
    size: Size,
    /// Pictures of each loop.
    length: u32,
    shows: Shows,
}

#[derive(Debug)]
enum Shows {
    /// One for each source.
    Scenes(Vec<Scene>),
    /// The same for all.
    Footage(Vec<Picture>),
}

impl Content {
    /// A scene of its own for each source; the same seed gives the same ones.
    pub fn generated(sources: u8, seed: u64, size: Size, length: u32) -> Self {
        let seed = |source: u8| seed.wrapping_mul(1_000).wrapping_add(source.into());
        let scenes = (0..sources).map(|source| Scene::new(seed(source), size, length));
        Self {
            size,
            length,
            shows: Shows::Scenes(scenes.collect()),
        }
    }

    /// All sources show the same pictures of this size.
    pub fn footage(pictures: Vec<Picture>, size: Size) -> Self {
        Self {
            size,
            length: pictures.len() as u32,
            shows: Shows::Footage(pictures),
        }
    }

    /// Width and height of the pictures.
    pub fn size(&self) -> Size {
        self.size
    }

    /// How many pictures it has until it begins again.
    pub fn length(&self) -> u32 {
        self.length
    }

    /// Encodes the loop of a source, with its marks.
    ///
    /// # Errors
    /// Where the codec's encoder does not work.
    pub fn clip(
        &self,
        library: &Library,
        settings: clip::Settings,
        source: u8,
    ) -> Result<Clip, clip::Error> {
        Clip::encode(library, settings, self.length, |number, picture| {
            let frame = number as u16;
            self.draw(Mark { source, frame }, picture);
        })
    }

    /// Draws what a mark names, mark and all, over whatever was there. Nothing is drawn of what
    /// is not there.
    pub fn draw(&self, mark: Mark, picture: &mut Picture) {
        let frame = u32::from(mark.frame);
        match &self.shows {
            Shows::Scenes(scenes) => {
                let Some(scene) = scenes.get(usize::from(mark.source)) else {
                    return;
                };
                scene.draw(frame, picture);
            }
            Shows::Footage(pictures) => {
                let Some(shown) = pictures.get(frame as usize) else {
                    return;
                };
                picture.clone_from(shown);
            }
        }
        mark::draw(picture.luma_mut(), self.size, mark);
    }
}
