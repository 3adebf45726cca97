//! Text to pictures: one thread for the whole process loads the fonts and renders, so that no
//! tick ever waits for either. Whoever asks gets the picture, or nothing yet and asks again.
//!
//! Text is shown as it is: there is no markup, and characters that steer a layout are blanked.

use std::collections::HashMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, SyncSender, TrySendError, sync_channel};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

use cosmic_text::{
    Align, Attrs, Buffer, Color, Ellipsize, EllipsizeHeightLimit, Family, FontSystem, Metrics,
    Shaping, SwashCache, Wrap,
};

use super::overlay::Overlay;
use crate::media::Size;

/// What to render; also names the picture in the cache.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Line {
    /// One line; what does not fit ends in an ellipsis.
    pub text: String,
    /// Font size, pixels.
    pub pixels: u32,
    /// Widest the picture may become, pixels.
    pub width: u32,
    /// How it looks.
    pub style: Style,
}

/// How a line looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Style {
    /// White, cut to the ink: to be centred by eye.
    Plain,
    /// White on a translucent dark strip.
    Strip,
}

/// Pictures kept. A full room needs some twenty sizes of forty names; the least recently used
/// half goes when there are more.
const KEPT: usize = 1024;

/// Lines waiting to be rendered, at a millisecond or so each. When full, askers ask again at
/// their next tick.
const WAITING: usize = 256;

/// Families to write in, the first that is installed; signs they lack are taken from any other.
const FAMILIES: [&str; 5] = [
    "Noto Sans",
    "DejaVu Sans",
    "Liberation Sans",
    "Open Sans",
    "Roboto",
];

/// The strip behind a label: enough for white text over a white picture (WCAG: 4.5 to 1).
const STRIP: [u8; 4] = [0, 0, 0, 160];

/// The picture of a line; `None` while it is not ready yet, or where no font can show it.
pub fn picture(line: &Line) -> Option<Arc<Overlay>> {
    static SHARED: OnceLock<Shared> = OnceLock::new();
    SHARED.get_or_init(Shared::start).picture(line)
}

enum State {
    Waiting,
    Ready(Arc<Overlay>),
    /// No font, or the text could not be rendered: never tried again.
    Impossible,
}

struct Entry {
    state: State,
    used: u64,
}

#[derive(Default)]
struct Cache {
    entries: HashMap<Line, Entry>,
    /// Grows with every question.
    clock: u64,
}

struct Shared {
    cache: Arc<Mutex<Cache>>,
    work: SyncSender<Line>,
}

impl Shared {
    fn start() -> Self {
        let (work, lines) = sync_channel(WAITING);
        let cache = Arc::<Mutex<Cache>>::default();
        let filled = cache.clone();
        let thread = std::thread::Builder::new()
            .name("text".into())
            .spawn(move || render_all(&lines, &filled));
        if let Err(error) = thread {
            // Avatars stay plain colours; meetings go on.
            tracing::error!(%error, "no thread for text: names are not drawn");
        }
        Self { cache, work }
    }

    fn picture(&self, line: &Line) -> Option<Arc<Overlay>> {
        let mut cache = lock(&self.cache);
        cache.clock += 1;
        let used = cache.clock;
        if let Some(entry) = cache.entries.get_mut(line) {
            entry.used = used;
            return match &entry.state {
                State::Ready(overlay) => Some(overlay.clone()),
                State::Waiting | State::Impossible => None,
            };
        }
        match self.work.try_send(line.clone()) {
            Ok(()) => cache.insert(line.clone(), State::Waiting),
            // The next tick asks again; without a thread there is nothing to ask.
            Err(TrySendError::Full(_) | TrySendError::Disconnected(_)) => {}
        }
        None
    }
}

impl Cache {
    fn insert(&mut self, line: Line, state: State) {
        if self.entries.len() >= KEPT {
            let mut used: Vec<u64> = self.entries.values().map(|e| e.used).collect();
            let (_, median, _) = used.select_nth_unstable(KEPT / 2);
            let median = *median;
            self.entries.retain(|_, entry| entry.used > median);
        }
        let used = self.clock;
        self.entries.insert(line, Entry { state, used });
    }
}

fn lock(cache: &Mutex<Cache>) -> MutexGuard<'_, Cache> {
    // Every change to the map is a single insertion or removal: it is whole after a panic.
    cache.lock().unwrap_or_else(PoisonError::into_inner)
}

fn render_all(lines: &Receiver<Line>, cache: &Mutex<Cache>) {
    let mut renderer = Renderer::new();
    while let Ok(line) = lines.recv() {
        let rendered = catch_unwind(AssertUnwindSafe(|| renderer.render(&line)));
        let rendered = rendered.unwrap_or_else(|_| {
            // Shaping code is large and names come from strangers.
            tracing::warn!(text = ?line.text, "a name could not be rendered");
            renderer = Renderer::new();
            None
        });
        let state = rendered.map_or(State::Impossible, |o| State::Ready(Arc::new(o)));
        lock(cache).insert(line, state);
    }
}

struct Renderer {
    fonts: FontSystem,
    glyphs: SwashCache,
}

impl Renderer {
    fn new() -> Self {
        let mut fonts = FontSystem::new();
        if fonts.db().is_empty() {
            tracing::warn!("no fonts are installed: names and initials are not drawn");
        }
        let has = |family: &&&str| {
            let mut families = fonts.db().faces().flat_map(|face| &face.families);
            families.any(|(name, _)| name == **family)
        };
        if let Some(family) = FAMILIES.iter().find(has) {
            fonts.db_mut().set_sans_serif_family(*family);
        }
        Self {
            fonts,
            glyphs: SwashCache::new(),
        }
    }

    fn render(&mut self, line: &Line) -> Option<Overlay> {
        if self.fonts.db().is_empty() {
            return None;
        }
        let pixels = line.pixels as f32;
        let padding = match line.style {
            Style::Plain => 0,
            Style::Strip => (line.pixels / 2).next_multiple_of(2),
        };
        let room = line.width.checked_sub(2 * padding).filter(|w| *w > 0)?;
        let height = line.pixels * 3 / 2;
        let mut buffer = Buffer::new(&mut self.fonts, Metrics::new(pixels, height as f32));
        buffer.set_wrap(Wrap::None);
        buffer.set_ellipsize(Ellipsize::End(EllipsizeHeightLimit::Lines(1)));
        buffer.set_size(Some(room as f32), Some(height as f32));
        let attrs = Attrs::new().family(Family::SansSerif);
        let text = one_line(&line.text);
        // Left even if the text runs from right to left: the picture is cut to what is drawn.
        buffer.set_text(&text, &attrs, Shaping::Advanced, Some(Align::Left));
        buffer.shape_until_scroll(&mut self.fonts, false);
        let missing = |run: cosmic_text::LayoutRun| run.glyphs.iter().any(|g| g.glyph_id == 0);
        if line.style == Style::Plain && buffer.layout_runs().any(missing) {
            // A plain avatar says more than the empty box of a sign no font has.
            return None;
        }
        let drawn = buffer
            .layout_runs()
            .map(|run| run.line_w.ceil() as u32)
            .max()?
            .min(room);
        let mut ink = Ink::new(
            Size::new(drawn + 2 * padding, height),
            match line.style {
                Style::Plain => [255, 255, 255, 0],
                Style::Strip => STRIP,
            },
        );
        let white = Color::rgb(255, 255, 255);
        buffer.draw(&mut self.fonts, &mut self.glyphs, white, |x, y, w, h, c| {
            for (dy, dx) in (0..h as i32).flat_map(|dy| (0..w as i32).map(move |dx| (dy, dx))) {
                ink.over(x + dx + padding as i32, y + dy, c.as_rgba());
            }
        });
        match line.style {
            Style::Plain => ink.cut(),
            Style::Strip => Some(ink),
        }
        .map(|ink| Overlay::from_rgba(ink.size, &ink.rgba))
    }
}

/// Blanks what would break the line or draw nothing sensible.
fn one_line(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\u{2028}' | '\u{2029}' => ' ',
            c if c.is_control() => ' ',
            c => c,
        })
        .collect()
}

/// An RGBA picture (straight alpha) of even size.
struct Ink {
    size: Size,
    rgba: Vec<[u8; 4]>,
}

impl Ink {
    fn new(size: Size, background: [u8; 4]) -> Self {
        let size = Size::new(
            size.width.next_multiple_of(2).max(2),
            size.height.next_multiple_of(2).max(2),
        );
        Self {
            size,
            rgba: vec![background; (size.width * size.height) as usize],
        }
    }

    /// Puts a pixel over what is there; outside the picture it is lost.
    fn over(&mut self, x: i32, y: i32, [r, g, b, a]: [u8; 4]) {
        let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else {
            return;
        };
        if x >= self.size.width || y >= self.size.height || a == 0 {
            return;
        }
        let below = &mut self.rgba[(y * self.size.width + x) as usize];
        let above = u32::from(a) * 255;
        let beneath = u32::from(below[3]) * (255 - u32::from(a));
        let whole = above + beneath;
        for (below, colour) in below.iter_mut().zip([r, g, b]) {
            *below = ((u32::from(colour) * above + u32::from(*below) * beneath) / whole) as u8;
        }
        below[3] = (whole / 255) as u8;
    }

    /// The part with anything in it.
    fn cut(self) -> Option<Self> {
        let width = self.size.width as usize;
        let inked = |n: &usize| self.rgba[*n][3] > 0;
        let spots: Vec<usize> = (0..self.rgba.len()).filter(inked).collect();
        let (top, bottom) = (spots.first()? / width, spots.last()? / width);
        let left = spots.iter().map(|n| n % width).min()?;
        let right = spots.iter().map(|n| n % width).max()?;
        let size = Size::new((right - left + 1) as u32, (bottom - top + 1) as u32);
        let mut cut = Ink::new(size, [255, 255, 255, 0]);
        let stride = cut.size.width as usize;
        for y in top..=bottom {
            let row = &self.rgba[y * width..][left..=right];
            cut.rgba[(y - top) * stride..][..row.len()].copy_from_slice(row);
        }
        Some(cut)
    }
}

#[cfg(test)]
mod tests {
    use super::super::pixels::Yuv;
    use super::super::pixels::testing::Owned;
    use super::*;

    fn line(text: &str, style: Style) -> Line {
        Line {
            text: text.into(),
            pixels: 20,
            width: 200,
            style,
        }
    }

    /// Luma of an overlay drawn on black.
    fn drawn(overlay: &Overlay) -> Vec<u8> {
        let size = overlay.size();
        let mut page = Owned::new(size.width, size.height, Yuv::from_rgb(0, 0, 0));
        overlay.draw(&mut page.picture_mut(), (0, 0));
        let seen = page.picture();
        (0..size.height)
            .flat_map(|y| (0..size.width).map(move |x| (x, y)))
            .map(|(x, y)| seen.at(x, y).y)
            .collect()
    }

    #[test]
    fn a_name_is_white_on_its_strip() {
        let overlay = Renderer::new().render(&line("Ann", Style::Strip)).unwrap();
        assert_eq!(overlay.size().height, 30);
        assert!((40..120).contains(&overlay.size().width), "{overlay:?}");
        let white = drawn(&overlay).into_iter().filter(|y| *y > 200).count();
        assert!((40..1000).contains(&white), "{white} white pixels");
    }

    #[test]
    fn initials_are_cut_to_their_ink() {
        let overlay = Renderer::new().render(&line("HM", Style::Plain)).unwrap();
        let size = overlay.size();
        assert!((12..20).contains(&size.height), "{size:?}");
        let luma = drawn(&overlay);
        let first_row = &luma[..size.width as usize];
        assert!(first_row.iter().any(|y| *y > 100), "starts with ink");
    }

    #[test]
    fn long_names_end_in_an_ellipsis() {
        let mut renderer = Renderer::new();
        let long = renderer
            .render(&line(&"Wilhelmina ".repeat(6), Style::Strip))
            .unwrap();
        assert!(
            (150..=200).contains(&long.size().width),
            "{:?}",
            long.size()
        );
    }

    #[test]
    fn no_name_panics() {
        let mut renderer = Renderer::new();
        for text in [
            "김철수",
            "עברית and English",
            "مرحبا 123",
            "👩‍🚀👨‍👩‍👧‍👦🇰🇷",
            "e\u{301}\u{302}\u{303}\u{304}\u{305}\u{306}\u{307}\u{308}",
            "\u{202e}reversed\u{202c}",
            "a\u{2028}b\u{2029}c",
            "\u{200d}\u{fe0f}\u{200b}",
            "\u{e000}\u{10ffff}",
            "   ",
            "",
            "𒐫﷽",
            "<b>not markup</b> &amp; \\n",
        ] {
            for style in [Style::Plain, Style::Strip] {
                for (pixels, width) in [(20, 200), (12, 30), (28, 16), (300, 1280)] {
                    let line = Line {
                        text: text.repeat(3),
                        pixels,
                        width,
                        style,
                    };
                    if let Some(overlay) = renderer.render(&line) {
                        assert!(overlay.size().width <= width.next_multiple_of(2));
                    }
                }
            }
        }
    }

    #[test]
    fn pictures_are_made_on_another_thread_and_kept() {
        let (work, lines) = sync_channel(1);
        let cache = Arc::<Mutex<Cache>>::default();
        let shared = Shared {
            cache: cache.clone(),
            work,
        };
        let asked = line("Kept", Style::Strip);
        assert!(shared.picture(&asked).is_none());
        assert!(shared.picture(&asked).is_none(), "asked for once only");
        let other = line("Full", Style::Strip);
        assert!(shared.picture(&other).is_none(), "no room to ask");
        let thread = std::thread::spawn(move || render_all(&lines, &cache));
        let first = loop {
            if let Some(overlay) = shared.picture(&asked) {
                break overlay;
            }
            std::thread::yield_now();
        };
        assert!(Arc::ptr_eq(&first, &shared.picture(&asked).unwrap()));
        drop(shared);
        thread.join().unwrap();
    }

    #[test]
    fn the_cache_forgets_what_was_not_asked_for() {
        let mut cache = Cache::default();
        for n in 0..KEPT * 3 {
            cache.clock += 1;
            cache.insert(line(&n.to_string(), Style::Plain), State::Impossible);
            assert!(cache.entries.len() <= KEPT);
        }
        assert!(
            cache
                .entries
                .contains_key(&line(&(KEPT * 3 - 1).to_string(), Style::Plain))
        );
        assert!(!cache.entries.contains_key(&line("0", Style::Plain)));
    }
}
